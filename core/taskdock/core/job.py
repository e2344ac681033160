"""Job: one action on a repo's branches, run in the background, shown, cancelled and undone.

Owns: the rules, the job table, the `Job` record, its guards and orders. What it can be and bring stands in job_record.py.
Never: git; a second job of a repo while one runs.
Reads as: repo_boundary fires triggers here -> the row alone sets the status.

Rule 1. A job is queued at once. Its turn comes when its repo is ready and no other job of it has the turn, oldest first; it
        is `running` from the commit on that says that its clone is about to be taken.
Rule 2. Each attempt commits its start, then each of its steps, before it touches anything; the same job again after a crash
        recovers what was left and goes on.
Rule 3. A job that is cancelled while it runs, that ran out of time, or that no attempt brought to an end, is settled by one
        more run, which only makes the clone clean again and tells what changed. Until then it stays `running`.
Rule 4. Every end says what changed, read from the heads; so a job that failed or was cancelled can be undone, too.
"""

from datetime import datetime
from typing import Any

from attrs import evolve, frozen

from taskdock.core.change import Draft, Place
from taskdock.core.history import HistoryKind
from taskdock.core.inputs import Failed, FailureClass, JobEnded
from taskdock.core.intents import Intent, RunRepoJob
from taskdock.core.job_record import JobErrorKind, JobFailure, JobKind, JobResult, JobStatus
from taskdock.core.machine import NEW, Row, build, guard, order
from taskdock.core.repo import Repo, Waiting
from taskdock.core.step import Step

QUEUED, RUNNING, COMPLETED, ERROR, CANCELLED = (status.value for status in JobStatus)
FINAL = (COMPLETED, ERROR, CANCELLED)
LANE = "job"

STATES: dict[str, tuple[str, ...]] = {
    NEW: (),
    QUEUED: (),
    RUNNING: ("run",),
    COMPLETED: ("be_over",),
    ERROR: ("be_over",),
    CANCELLED: ("be_over",),
}

ROWS = (
    Row("request", NEW, QUEUED, then="note_queued"),
    Row("turn", QUEUED, "=", then="run"),
    Row("begin", QUEUED, RUNNING, then="note_started"),
    Row("failed", QUEUED, "=", when="may_try_again", then=("note_failed_attempt", "run")),
    Row("failed", QUEUED, ERROR, then="take_failure"),
    Row("repo_failed", QUEUED, ERROR, then="take_repo_failure"),
    Row("cancel", QUEUED, CANCELLED),
    Row("cancel", RUNNING, "=", then="ask_to_end"),
    Row("job_ended", RUNNING, CANCELLED, when="cancel_was_asked", then="take_end"),
    Row("job_ended", RUNNING, ERROR, when="did_fail", then="take_end"),
    Row("job_ended", RUNNING, ERROR, when="had_failed", then="take_end"),
    Row("job_ended", RUNNING, COMPLETED, then="take_end"),
    Row("failed", RUNNING, "=", when="may_try_again", then="note_failed_attempt"),
    Row("failed", RUNNING, "=", when="must_be_settled", then="settle_after_failure"),
    Row("failed", RUNNING, CANCELLED, when="cancel_was_asked", then="take_failure"),
    Row("failed", RUNNING, ERROR),
)


@frozen
class Job:
    """A job as it is stored. `at` is its machine state, written by the table alone."""

    id: str
    repo_id: str
    workspace: str
    number: int
    """Counted from 1 in its repo."""
    kind: JobKind
    created_at: datetime
    updated_at: datetime
    branch: str | None = None
    parent: str | None = None
    push: bool = False
    """Whether the branches that it moves are pushed."""
    undo_of: str | None = None
    """The job whose changes are put back."""
    if_stacked: bool = False
    """Whether the branch is left out where its parent is in no stack."""
    requested_by: str | None = None
    waiting: tuple[Waiting, ...] = ()
    """The tasks that are told how it ends."""
    at: str = NEW
    started_at: datetime | None = None
    finished_at: datetime | None = None
    step: Step | None = None
    cancel_asked: bool = False
    settles: bool = False
    """It is being settled: nothing of what was asked is begun any more."""
    result: JobResult | None = None
    failure: JobFailure | None = None

    @property
    def status(self) -> JobStatus:
        """The status of the contract."""
        return JobStatus(self.at)

    @property
    def target(self) -> tuple[JobKind, str | None, str | None, bool, str | None]:
        """What is asked; an equal job that is still queued is the same job."""
        return self.kind, self.branch, self.parent, self.push, self.undo_of


class JobCursor:
    """Guards and orders of the table, on one job of one draft."""

    def __init__(
        self,
        draft: Draft,
        job_id: str,
        *,
        value: object = None,
        intent: Intent | None = None,
        failed: Failed | None = None,
    ) -> None:
        self._draft = draft
        self._id = job_id
        self._value = value
        self._intent = intent
        self._failed = failed

    @property
    def job(self) -> Job:
        """The job as it stands in the draft."""
        return self._draft.get(Job, self._id)

    @property
    def state(self) -> str:
        """The machine state; only `transitions` assigns it, row by row."""
        return self.job.at

    @state.setter
    def state(self, entered: str) -> None:
        if entered != self.job.at:
            step = (self.job.step or self._first_step()) if entered == RUNNING else None
            self._put(at=entered, step=step)

    def _first_step(self) -> Step:
        return Step("lock", attempt=1, started_at=self._draft.now)

    def _put(self, **changes: Any) -> None:
        self._draft.put(evolve(self.job, updated_at=self._draft.now, **changes))

    def _end(self) -> JobEnded:
        assert isinstance(self._value, JobEnded)
        return self._value

    # Guards

    @guard
    def cancel_was_asked(self) -> bool:
        """Somebody asked it to end before all was done."""
        return self.job.cancel_asked

    @guard
    def did_fail(self) -> bool:
        """It says that it failed."""
        return self._end().failure is not None

    @guard
    def had_failed(self) -> bool:
        """It was settled, since no attempt came to an end."""
        return self.job.settles

    @guard
    def may_try_again(self) -> bool:
        """The failure may pass, and attempts and deadline allow one more run."""
        return self._draft.next_attempt_at(self._intent, self._failed) is not None

    @guard
    def must_be_settled(self) -> bool:
        """It had the clone in its hands, and nobody told what it did: somebody has to look."""
        return not self.job.settles

    # Orders of rows

    @order
    def note_queued(self) -> None:
        """Somebody asked for it."""
        self._draft.note(HistoryKind.JOB_QUEUED, **self._told())

    @order
    def note_started(self) -> None:
        """Its clone is about to be taken."""
        self._put(started_at=self._draft.now)
        self._draft.note(HistoryKind.JOB_STARTED, **self._told())

    @order
    def ask_to_end(self) -> None:
        """Take back what runs; the run after it only settles."""
        self._put(cancel_asked=True, settles=True)
        self._take_back()

    @order
    def settle_after_failure(self) -> None:
        """The run after this one only settles; what went wrong is what the job will end with."""
        assert self._failed is not None
        self._put(settles=True, failure=_failure_of(self._failed))

    @order
    def take_end(self) -> None:
        """What it did, and why not more."""
        before = None if self.job.cancel_asked else self.job.failure
        self._put(result=self._end().result, failure=self._end().failure or before)

    @order
    def take_failure(self) -> None:
        """It could not begin, or nobody could settle what was cancelled: then what it changed is not known."""
        assert self._failed is not None
        self._put(failure=_failure_of(self._failed))

    @order
    def take_repo_failure(self) -> None:
        """There is no clone to work in."""
        repo = self._draft.get(Repo, self.job.repo_id)
        reason = repo.failure.reason if repo.failure is not None else "its clone failed"
        self._put(failure=JobFailure(JobErrorKind.UNREACHABLE, reason, "Retry the repo, then ask again."))

    @order
    def note_failed_attempt(self) -> None:
        """One attempt failed and another follows."""
        assert self._failed is not None and self._intent is not None
        retry_at = self._draft.next_attempt_at(self._intent, self._failed)
        assert retry_at is not None
        step = evolve(
            self.job.step or self._first_step(),
            attempt=self._intent.attempt + 1,
            retry_at=retry_at,
            progress=None,
        )
        self._put(step=step)
        self._draft.note(
            HistoryKind.JOB_STEP,
            step=step.name,
            attempt=self._intent.attempt,
            retry_at=retry_at.isoformat(),
            reason=self._failed.reason,
            **self._told(),
        )

    # Orders of states

    @order
    def run(self) -> None:
        """Order the next run, unless one is open; it is its own then, since no other job has the turn."""
        job, draft = self.job, self._draft
        if draft.intents(RunRepoJob):
            return
        body = RunRepoJob(
            repo_id=job.repo_id,
            job_id=job.id,
            kind=job.kind,
            branch=job.branch,
            parent=job.parent,
            push=job.push,
            undo_of=job.undo_of,
            if_stacked=job.if_stacked,
            settles=job.settles,
        )
        # A run that settles is a new kind of work: it has its own attempts and its own time.
        after = self._intent if self._is_same(body) else None
        not_before = draft.next_attempt_at(after, self._failed)
        draft.order(body, Place(LANE, LANE), not_before=not_before, after=after)

    def _is_same(self, body: RunRepoJob) -> bool:
        return self._intent is not None and self._intent.body == body

    def _take_back(self) -> None:
        for intent in list(self._draft.open.values()):
            if isinstance(intent.body, RunRepoJob) and intent.body.job_id == self._id:
                self._draft.cancel(intent)

    @order
    def be_over(self) -> None:
        """Say how it ended."""
        self._put(finished_at=self._draft.now)
        self._take_back()
        kinds = {
            COMPLETED: HistoryKind.JOB_COMPLETED,
            ERROR: HistoryKind.JOB_FAILED,
            CANCELLED: HistoryKind.JOB_CANCELLED,
        }
        job = self.job
        changed = 0 if job.result is None else len(job.result.changed)
        conflicts = 0 if job.result is None else len(job.result.conflicts)
        failure = job.failure
        self._draft.note(
            kinds[job.at],
            changed=changed,
            conflicts=conflicts,
            reason=None if failure is None else failure.reason,
            error=None if failure is None else failure.kind.value,
            **self._told(),
        )

    def _told(self) -> dict[str, Any]:
        job = self.job
        return {"job": job.id, "what": job.kind.value, "branch": job.branch, "parent": job.parent}


def _failure_of(failed: Failed) -> JobFailure:
    """What an attempt's failure means for a job: the run itself tells of everything that git says."""
    kinds = {
        FailureClass.UNREACHABLE: JobErrorKind.UNREACHABLE,
        FailureClass.DEADLINE: JobErrorKind.TIMEOUT,
        FailureClass.PERMANENT: JobErrorKind.CONFIG_ERROR,
    }
    kind = kinds.get(failed.failure_class, JobErrorKind.BUG)
    return JobFailure(kind, failed.reason, "Ask for it again.", failed.log_tail)


MACHINE = build(STATES, ROWS, JobCursor)
