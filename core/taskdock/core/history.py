"""History: what happened, kind by kind, as people and clients read it.

Owns: `HistoryKind` (stable names, part of the contract) and `HistoryEvent`.
Never: a prompt, a transcript or a secret in `data`.
Reads as: an order or a policy calls `Draft.note` -> Change -> the store appends it and mirrors it into the feed.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum

from attrs import field, frozen

Json = str | int | float | bool | None
"""The plain values that history data is made of."""


class HistoryKind(Enum):
    """Every kind of event, in the order of a record's life."""

    TASK_CREATED = "task.created"
    TASK_ATTACHED = "task.attached"
    TASK_PROVISION_QUEUED = "task.provision_queued"
    TASK_STEP_STARTED = "task.step_started"
    TASK_STEP_FAILED = "task.step_failed"
    TASK_NAMED = "task.named"
    TASK_RUNNING = "task.running"
    TASK_FAILED = "task.failed"
    TASK_RETRIED = "task.retried"
    TASK_STOPPED = "task.stopped"
    TASK_RESUMED = "task.resumed"
    TASK_ARCHIVED = "task.archived"
    TASK_UNARCHIVED = "task.unarchived"
    TASK_KILLED = "task.killed"
    TASK_RENAMED = "task.renamed"
    SANDBOX_CREATED = "sandbox.created"
    SANDBOX_ADOPTED = "sandbox.adopted"
    SANDBOX_LOST = "sandbox.lost"
    SANDBOX_RELEASED = "sandbox.released"
    SANDBOX_REAPED = "sandbox.reaped"
    WORK_COLLECTED = "work.collected"
    WORK_GIVEN_UP = "work.given_up"
    BRANCH_MOVED = "branch.moved"
    TAB_OPENED = "tab.opened"
    TAB_READY = "tab.ready"
    TAB_FAILED = "tab.failed"
    TAB_CLOSED = "tab.closed"
    MESSAGE_SENT = "message.sent"
    MESSAGE_EDITED = "message.edited"
    MESSAGE_WITHDRAWN = "message.withdrawn"
    MESSAGE_FAILED = "message.failed"
    TURN_STARTED = "turn.started"
    TURN_ENDED = "turn.ended"
    PERMISSION_ASKED = "permission.asked"
    PERMISSION_ANSWERED = "permission.answered"
    REPO_ADDED = "repo.added"
    REPO_STEP_FAILED = "repo.step_failed"
    REPO_READY = "repo.ready"
    REPO_FAILED = "repo.failed"
    REPO_RETRIED = "repo.retried"
    REPO_REMOVED = "repo.removed"
    REPO_CLONE_REMOVED = "repo.clone_removed"
    REPO_CLONE_KEPT = "repo.clone_kept"
    JOB_QUEUED = "job.queued"
    JOB_STARTED = "job.started"
    JOB_STEP = "job.step"
    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"


@frozen
class HistoryEvent:
    """One event of a boundary: `data` depends on the kind and never holds what a list must not show."""

    kind: HistoryKind
    at: datetime
    tab_id: str | None = None
    data: Mapping[str, Json] = field(factory=dict)
