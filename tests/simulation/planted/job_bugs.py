"""Job bugs: what goes wrong with the jobs of a repo: ends, joins, undos, and who works in the clone.

Owns: one context manager per bug; its docstring is the sentence in the table.
Never: two bugs in one.
Reads as: table.py -> this -> planting.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from attrs import evolve

from simulation.planted.planting import redirected, replaced
from taskdock.core import inputs, repo_asks, repo_boundary, repo_jobs
from taskdock.core.change import Draft
from taskdock.core.inputs import FailureClass
from taskdock.core.intents import RunRepoJob
from taskdock.core.job import CANCELLED, COMPLETED, MACHINE, QUEUED, RUNNING, Job, JobCursor
from taskdock.core.job_record import JobResult
from taskdock.core.machine import must_fire
from taskdock.core.repo import READY, Repo
from taskdock.core.task_asks import TaskAsks
from taskdock.services import job_requests
from taskdock.services.receipts import JobReceipt
from taskdock.services.requests import Request
from taskdock.services.stepping import Decision
from taskdock.testing.simulation.gits import Gits
from taskdock.testing.simulation.stack import SimulatedStack


@contextmanager
def changed_lost_by_a_failed_job() -> Iterator[None]:
    """A job that failed does not tell what it had moved before."""
    take_end = JobCursor.take_end

    def take(cursor: JobCursor) -> None:
        take_end(cursor)
        if cursor.job.failure is not None:
            cursor._put(result=evolve(cursor.job.result or JobResult(), changed={}))

    with replaced(JobCursor, "take_end", take):
        yield


@contextmanager
def failed_job_not_settled() -> Iterator[None]:
    """A job whose run failed for good ends without anybody looking what it did."""

    def is_late(cursor: JobCursor) -> bool:
        failed = cursor._failed
        return failed is not None and failed.failure_class is FailureClass.DEADLINE and not cursor.job.settles

    with replaced(JobCursor, "must_be_settled", is_late):
        yield


@contextmanager
def joined_job_lost() -> Iterator[None]:
    """Who joins a job that waits is given the id of the one that was never made."""

    def requested(decision: Decision, command: inputs.RequestJob) -> JobReceipt:
        change = decision.change
        return JobReceipt(command.job_id, change.boundary, QUEUED, change.version, position=0)

    with replaced(job_requests, "_requested", requested):
        yield


@contextmanager
def two_jobs_at_once() -> Iterator[None]:
    """A job begins while another one of its repo is running."""

    def settle(draft: Draft) -> None:
        repo = draft.get(Repo, draft.slice.boundary)
        for job in [job for job in draft.all(Job) if job.at == QUEUED and repo.at == READY]:
            must_fire(MACHINE, JobCursor(draft, job.id), "turn")

    def run(cursor: JobCursor) -> None:
        """Order it with the runs of the others out of sight."""
        draft = cursor._draft
        others = {
            intent.id: intent
            for intent in draft.intents(RunRepoJob)
            if isinstance(intent.body, RunRepoJob) and intent.body.job_id != cursor._id
        }
        draft.open = {id_: intent for id_, intent in draft.open.items() if id_ not in others}
        real(cursor)
        draft.open |= others

    real = JobCursor.run
    with replaced(repo_jobs, "settle", settle), replaced(JobCursor, "run", run):
        yield


@contextmanager
def two_gits_at_once() -> Iterator[None]:
    """A process works in a clone without asking who else does."""

    async def wait_for(_gits: Gits, _repo_id: str) -> None:
        return None

    with replaced(Gits, "_wait_for", wait_for):
        yield


@contextmanager
def undo_over_a_moved_head() -> Iterator[None]:
    """An undo puts branches back that others have moved since."""
    with replaced(SimulatedStack, "refuse", staticmethod(lambda _elsewhere: None)):
        yield


@contextmanager
def cancelled_told_as_completed() -> Iterator[None]:
    """A job that was ended by its user counts as done."""
    with redirected(MACHINE, "job_ended", RUNNING, CANCELLED, COMPLETED):
        yield


@contextmanager
def queued_twice_after_a_lost_answer() -> Iterator[None]:
    """The idempotency key of a request for a job is not stored."""
    keyed = Request._keyed

    def unkeyed(request: Request[Any], receipt: Any) -> Any:  # noqa: ANN401
        return None if request._kind is JobReceipt else keyed(request, receipt)

    with replaced(Request, "_keyed", unkeyed):
        yield


@contextmanager
def job_never_goes_on() -> Iterator[None]:
    """A job that a crash cut off is refused to go on, because its start was told before."""
    told = repo_boundary._HANDLERS[inputs.Started]

    def started(draft: Draft, fact: inputs.Started) -> str | None:
        intent = draft.matching(fact.intent_id, fact.issue)
        if isinstance(intent, str):
            return intent
        return "it has begun already" if intent.started else told(draft, fact)

    with patch.dict(repo_boundary._HANDLERS, {inputs.Started: started}):
        yield


@contextmanager
def job_ends_twice() -> Iterator[None]:
    """The end of a job is noted by each of two orders."""
    be_over = JobCursor.be_over

    def over(cursor: JobCursor) -> None:
        be_over(cursor)
        be_over(cursor)

    with replaced(JobCursor, "be_over", over):
        yield


@contextmanager
def job_left_behind() -> Iterator[None]:
    """When a job ends, the one that waits for it is not begun."""

    def settle(draft: Draft) -> None:
        if not any(isinstance(intent.body, RunRepoJob) for intent in draft.slice.intents):
            real(draft)

    real = repo_jobs.settle
    with replaced(repo_jobs, "settle", settle):
        yield


@contextmanager
def new_branch_not_registered() -> Iterator[None]:
    """The branch that a task's first work made is not taken into the stack."""
    with replaced(TaskAsks, "tell_born", lambda _cursor, _head: None):
        yield


@contextmanager
def moved_branch_not_shown() -> Iterator[None]:
    """A task is not told that a job moved its branch."""
    with replaced(repo_asks, "tell_moved", lambda _draft, _job_id, _value: None):
        yield
