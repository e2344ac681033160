"""Ends of jobs: whatever ends one tells what it changed, and what can be undone follows from it."""

import pytest

from taskdock.core import inputs
from taskdock.core.inputs import FailureClass
from taskdock.core.intents import RunRepoJob
from taskdock.core.job import Job
from taskdock.core.job_record import JobErrorKind, JobKind
from unit.core import givens_job as j
from unit.core.story import DEADLINE, JOB, PERMANENT, TRANSIENT, UNKNOWN, RepoStory


def the_job(story: RepoStory, job_id: str = JOB) -> Job:
    """The job as it stands."""
    return story.boundary.get(Job, job_id)


def order_of(story: RepoStory) -> RunRepoJob:
    """What is ordered for it."""
    body = story.open(RunRepoJob)[0].body
    assert isinstance(body, RunRepoJob)
    return body


@pytest.mark.parametrize(
    ("failure_class", "kind"),
    [(PERMANENT, JobErrorKind.CONFIG_ERROR), (DEADLINE, JobErrorKind.TIMEOUT)],
    ids=["permanent", "deadline"],
)
def test_a_run_that_failed_for_good_is_settled(failure_class: FailureClass, kind: JobErrorKind) -> None:
    """A run that fails for good leaves the job running until it is settled; then it tells what moved, and why it failed."""
    story = j.job_runs()
    story.start(RunRepoJob)
    story.fail(RunRepoJob, failure_class, "it broke")
    assert the_job(story).at == "running"
    assert order_of(story).settles
    story.succeed(RunRepoJob, j.JOB_ENDED)
    job = the_job(story)
    assert job.at == "error"
    assert job.result == j.JOB_CHANGED
    assert job.failure is not None
    assert (job.failure.kind, job.failure.reason) == (kind, "it broke")
    assert story.repo.undoable == (JOB,)


def test_a_run_without_attempts_left_is_settled() -> None:
    """The last attempt that failed leaves the clone to be looked at, since an earlier one may have moved branches."""
    story = j.job_runs()
    while not order_of(story).settles:
        story.pass_time(600)
        story.start(RunRepoJob)
        story.fail(RunRepoJob, UNKNOWN, "no answer")
    story.pass_time(600)
    story.fail(RunRepoJob, TRANSIENT, "held")
    assert order_of(story).settles
    story.pass_time(600)
    story.succeed(RunRepoJob, j.JOB_ENDED)
    job = the_job(story)
    assert (job.at, job.result) == ("error", j.JOB_CHANGED)
    assert job.failure is not None
    assert job.failure.reason == "no answer"


def test_a_job_that_nobody_can_settle_keeps_its_first_reason() -> None:
    """When settling fails for good too, the job ends with why it failed first, and tells nothing of what it changed."""
    job = the_job(j.job_could_not_be_run())
    assert (job.at, job.result) == ("error", None)
    assert job.failure is not None
    assert job.failure.kind is JobErrorKind.TIMEOUT


def test_a_cancelled_job_that_nobody_can_settle_says_why() -> None:
    """It ends as cancelled, and with the reason for which nobody can tell what it changed."""
    story = j.job_is_settled_after_cancel()
    story.fail(RunRepoJob, PERMANENT, "the disk is full")
    job = the_job(story)
    assert (job.at, job.result) == ("cancelled", None)
    assert job.failure is not None
    assert job.failure.reason == "the disk is full"


def test_the_end_of_a_queued_job_leaves_the_one_that_runs() -> None:
    """Each job's end takes back its own run alone."""
    story = j.job_waits_for_job()
    change = story.do(inputs.CancelJob(story.boundary.all(Job)[-1].id))
    assert change.cancelled == ()
    assert [type(record) for record in change.records] == [Job]
    assert order_of(story).job_id == JOB


def test_a_cancel_while_it_is_settled_counts() -> None:
    """A job that is cancelled while it is settled after a failure ends as cancelled."""
    story = j.job_is_settled_after_failure()
    story.do(inputs.CancelJob(JOB))
    story.succeed(RunRepoJob, j.JOB_ENDED)
    job = the_job(story)
    assert (job.at, job.failure, job.result) == ("cancelled", None, j.JOB_CHANGED)


def test_an_undo_that_was_cancelled_leaves_its_job_undoable() -> None:
    """Only an undo that is through takes its job off those that can be undone."""
    story = j.job_completed()
    story.do(j.UNDO)
    story.start(RunRepoJob)
    story.do(inputs.CancelJob("job-3"))
    story.succeed(RunRepoJob, inputs.JobEnded(j.JOB_FAILED.result))
    assert the_job(story, "job-3").at == "cancelled"
    assert story.repo.undoable == (JOB,)
    story.do(inputs.RequestJob("job-4", JobKind.UNDO, undo_of=JOB))
    story.succeed(RunRepoJob, j.JOB_ENDED)
    assert story.repo.undoable == ("job-4",)


def test_a_second_execution_is_told_to_go_on() -> None:
    """Start and step of an execution that goes on after a crash are accepted, also in the very instant of the first."""
    story = j.job_runs()
    story.start(RunRepoJob)
    intent = story.open(RunRepoJob)[0]
    at = story.now
    for _ in range(2):
        for fact in (
            inputs.Started(intent.id, intent.issue),
            inputs.JobStepped(intent.id, intent.issue, "lock", 0, 0),
        ):
            story.now = at
            assert story.do(fact).ignored is None
