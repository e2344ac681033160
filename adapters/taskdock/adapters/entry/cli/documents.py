"""Documents: records as JSON, with keys that scripts may rely on.

Owns: every key that `--json` prints; a key is added, never renamed or removed.
Never: a prompt; texts of messages are in the transcript alone.
Reads as: a command -> a document -> output.py.

    task    id workspace repo_id provider agent model permission_mode title branch base on_branch status activity step failure head
            moved moved_to moved_by sandbox generation created_at updated_at; shown alone also: version waits_for available_actions tabs
            queued held permissions
    tab     id task_id number name agent model status turn message_id held last_end last_end_detail turns_ended session_id
            sandbox failure opened_at updated_at closed_at; shown alone also: available_actions
    permission id tab_id title options (id name kind) status asked_at option_id
    message id task_id tab_id number status reason created_at updated_at
    repo    id workspace name remote trunk head status step failure created_at updated_at
    job     id repo_id workspace number kind branch parent push undo_of requested_by waiting status step cancel_asked result (outcome
            changed conflicts blocked skipped pushed) error (kind reason hint log_tail) created_at updated_at started_at finished_at
    branches repo_id trunk trunk_head read_at branches jobs
    step    name attempt started_at retry_at waits_for job_id progress last_progress_at
    failure step class reason attempts retry log_tail
    event   number boundary kind at tab_id data
    item    tab_id position source kind at body
    receipt the fields of TaskReceipt, TabReceipt, RepoReceipt or JobReceipt; of a detached command also `scheduled`: whether a
            process carries it out now (null: not known)

Times are ISO 8601 in UTC. What is not there is null. Lists are `{"tasks": [...]}`, `{"tabs": ...}`, `{"repos": ...}`, `{"jobs": ...}`,
`{"messages": ...}`, `{"events": ...}`, `{"items": ...}`, `{"checks": ...}`, `{"sandboxes": ...}`. A watched or followed line has `position` and `type` (task, tab,
message, repo, job, branches, history, transcript, snapshot, reset, rest), and under the name of its type what it is about.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from taskdock.core.branches import Branches
from taskdock.core.job import Job
from taskdock.core.job_record import JobResult
from taskdock.core.message import Message
from taskdock.core.repo import Repo
from taskdock.core.step import Failure, Step
from taskdock.core.tab import Permission, Tab
from taskdock.core.task import Task
from taskdock.ports.store import Item, StoredEvent
from taskdock.services.dock import BranchesView, TaskView

Document = dict[str, Any]


def task_document(task: Task) -> Document:
    """A task as a list shows it."""
    return {
        **_fields(task, "id", "workspace", "repo_id", "provider", "agent", "model", "permission_mode"),
        **_fields(task, "title", "branch", "base", "on_branch"),
        "status": task.status.value,
        "activity": task.activity.value,
        "step": _step(task.step),
        "failure": _failure(task.failure),
        **_fields(task, "head", "moved", "moved_to", "moved_by"),
        "sandbox": task.sandbox.name if task.box_ordered else None,
        "generation": task.generation,
        **_times(task, "created_at", "updated_at"),
    }


def view_document(view: TaskView) -> Document:
    """A task with its tabs and what may be asked of each."""
    return {
        **task_document(view.task),
        "version": view.version,
        "waits_for": view.waits_for,
        "available_actions": _actions(view.available_actions, view.task.id),
        "tabs": [shown_tab_document(view, tab) for tab in view.tabs],
        "queued": [message_document(message) for message in view.queued],
        "held": list(view.held),
        "permissions": [permission_document(permission) for permission in view.permissions],
    }


def shown_tab_document(view: TaskView, tab: Tab) -> Document:
    """A tab and what may be asked of it."""
    return {**tab_document(tab), "available_actions": _actions(view.available_actions, tab.id)}


def tab_document(tab: Tab) -> Document:
    """A tab."""
    return {
        **_fields(tab, "id", "task_id", "number", "name", "agent", "model"),
        "status": tab.status.value,
        "turn": tab.turn.at,
        "message_id": tab.turn.message_id,
        "held": tab.held,
        "last_end": tab.last_end.value if tab.last_end else None,
        **_fields(tab, "last_end_detail", "turns_ended", "session_id", "sandbox"),
        "failure": _failure(tab.failure),
        **_times(tab, "opened_at", "updated_at", "closed_at"),
    }


def permission_document(permission: Permission) -> Document:
    """What an agent asks, or asked."""
    return {
        **_fields(permission, "id", "tab_id", "title"),
        "options": [_fields(option, "id", "name", "kind") for option in permission.options],
        "status": permission.at,
        **_times(permission, "asked_at"),
        "option_id": permission.option_id,
    }


def message_document(message: Message) -> Document:
    """A message, without its text."""
    return {
        **_fields(message, "id", "task_id", "tab_id", "number"),
        "status": message.status.value,
        "reason": message.reason,
        **_times(message, "created_at", "updated_at"),
    }


def repo_document(repo: Repo) -> Document:
    """A repo."""
    return {
        **_fields(repo, "id", "workspace", "name", "remote", "trunk", "head"),
        "status": repo.status.value,
        "step": _step(repo.step),
        "failure": _failure(repo.failure),
        **_times(repo, "created_at", "updated_at"),
    }


def job_document(job: Job) -> Document:
    """A job of a repo."""
    result, failure = job.result, job.failure
    return {
        **_fields(job, "id", "repo_id", "workspace", "number"),
        "kind": job.kind.value,
        **_fields(job, "branch", "parent", "push", "undo_of", "requested_by"),
        "waiting": [waiting.task_id for waiting in job.waiting],
        "status": job.status.value,
        "step": _step(job.step),
        "cancel_asked": job.cancel_asked,
        "result": None if result is None else _result(result),
        "error": None
        if failure is None
        else {"kind": failure.kind.value, **_fields(failure, "reason", "hint", "log_tail")},
        **_times(job, "created_at", "updated_at", "started_at", "finished_at"),
    }


def _result(result: JobResult) -> Document:
    return {
        "outcome": "partial" if result.is_partial else "clean",
        "changed": {branch: [moved.old, moved.new] for branch, moved in result.changed.items()},
        "conflicts": {branch: list(files) for branch, files in result.conflicts.items()},
        **{name: dict(getattr(result, name)) for name in ("blocked", "skipped", "pushed")},
    }


def branches_document(view: BranchesView) -> Document:
    """A repo's branches as they were last seen, with the jobs that are queued or running."""
    return {
        "repo_id": view.repo.id,
        "trunk": view.repo.trunk,
        "trunk_head": view.seen.trunk_head,
        **_times(view.seen, "read_at"),
        "branches": [attrs.asdict(branch) for branch in view.seen.seen],
        "jobs": [job_document(job) for job in view.jobs],
    }


def event_document(event: StoredEvent) -> Document:
    """A history event."""
    return {
        "number": event.number,
        "boundary": event.boundary,
        "kind": event.event.kind.value,
        "at": _time(event.event.at),
        "tab_id": event.event.tab_id,
        "data": dict(event.event.data),
    }


def item_document(item: Item) -> Document:
    """A transcript item."""
    return {
        **_fields(item, "tab_id", "position", "source", "kind"),
        "at": _time(item.at),
        "body": dict(item.body),
    }


def record_document(record: object) -> tuple[str, Document]:
    """Any record with the name of its type."""
    if isinstance(record, Task):
        return "task", task_document(record)
    if isinstance(record, Tab):
        return "tab", tab_document(record)
    if isinstance(record, Message):
        return "message", message_document(record)
    if isinstance(record, Job):
        return "job", job_document(record)
    if isinstance(record, Branches):
        return "branches", {
            "repo_id": record.id,
            "branches": [attrs.asdict(branch) for branch in record.seen],
        }
    assert isinstance(record, Repo)
    return "repo", repo_document(record)


def _step(step: Step | None) -> Document | None:
    if step is None:
        return None
    return {
        **_fields(step, "name", "attempt", "waits_for", "job_id", "progress"),
        **_times(step, "started_at", "retry_at", "last_progress_at"),
    }


def _failure(failure: Failure | None) -> Document | None:
    if failure is None:
        return None
    return {
        "class": failure.failure_class.value,
        **_fields(failure, "step", "reason", "attempts", "retry", "log_tail"),
    }


def _actions(actions: Mapping[str, Sequence[str]], record_id: str) -> list[str]:
    return list(actions.get(record_id, ()))


def _fields(record: object, *names: str) -> Document:
    return {name: getattr(record, name) for name in names}


def _times(record: object, *names: str) -> Document:
    return {name: _time(getattr(record, name)) for name in names}


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
