"""Step: the work under way in a record, and why it failed.

Owns: `Step`, `Tries` and `Failure`, which task, tab and repo share.
Never: a decision; both only tell people what the machines did.
Reads as: a room's orders write them -> clients show them.
"""

from datetime import datetime

from attrs import frozen

from taskdock.core.inputs import FailureClass


@frozen
class Step:
    """The step under way: `attempt` counts from 1, `waits_for` names what it waits for, if that is not itself.

    `job_id` is the repo's job that it waits for.
    """

    name: str
    attempt: int
    started_at: datetime
    retry_at: datetime | None = None
    waits_for: str | None = None
    progress: str | None = None
    last_progress_at: datetime | None = None
    job_id: str | None = None


@frozen
class Tries:
    """The runs that an intent had before something else came between: the next one of this kind counts on from here."""

    kind: str
    attempt: int
    deadline_at: datetime | None


@frozen
class Failure:
    """Why a record rests in `error`, and what a retry will do."""

    step: str
    failure_class: FailureClass
    reason: str
    attempts: int
    retry: str
    log_tail: str | None = None
