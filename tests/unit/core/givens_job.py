"""Job givens: every status that a job can be in, each reached by a script."""

from taskdock.core import inputs, intents
from taskdock.core.inputs import FailureClass
from taskdock.core.job_record import BranchSeen, JobErrorKind, JobFailure, JobKind, JobResult, Moved
from unit.core.givens_repo import cloned, cloning
from unit.core.shelf import repo_given
from unit.core.story import JOB, PERMANENT, START, RepoStory

JOB_CHANGED = JobResult(changed={"one": Moved("a1", "a2")})
SYNC = inputs.RequestJob(JOB, JobKind.SYNC_REPO)
RESTACK = inputs.RequestJob("job-2", JobKind.RESTACK_SUBTREE, branch="one", push=True, requested_by="ada")
UNDO = inputs.RequestJob("job-3", JobKind.UNDO, undo_of=JOB)
JOB_ENDED = inputs.JobEnded(JOB_CHANGED, branches=(BranchSeen("one", "a2"),), trunk_head="c1", read_at=START)
JOB_FAILED = inputs.JobEnded(JobResult(), JobFailure(JobErrorKind.CONFLICT, "every branch is in conflict"))


@repo_given
def job_waits_for_clone() -> RepoStory:
    """A job is queued, and the clone is still being made."""
    story = cloning()
    story.do(SYNC)
    return story


@repo_given
def job_has_its_turn() -> RepoStory:
    """A job's run is ordered, and nobody has begun it."""
    story = cloned()
    story.do(SYNC)
    return story


@repo_given
def job_runs() -> RepoStory:
    """A job is running."""
    story = job_has_its_turn()
    story.start(intents.RunRepoJob)
    return story


@repo_given
def job_waits_for_job() -> RepoStory:
    """One job is running, and another one waits."""
    story = job_runs()
    story.do(RESTACK)
    return story


@repo_given
def job_is_settled_after_cancel() -> RepoStory:
    """A job that was running is cancelled: the run that only settles is ordered."""
    story = job_runs()
    story.do(inputs.CancelJob(JOB))
    return story


@repo_given
def job_is_settled_after_failure() -> RepoStory:
    """A job ran out of time: the run that only settles is ordered."""
    story = job_runs()
    story.fail(intents.RunRepoJob, FailureClass.DEADLINE)
    return story


@repo_given
def job_completed() -> RepoStory:
    """A job moved a branch."""
    story = job_runs()
    story.succeed(intents.RunRepoJob, JOB_ENDED)
    return story


@repo_given
def job_failed() -> RepoStory:
    """A job could not do anything."""
    story = job_runs()
    story.succeed(intents.RunRepoJob, JOB_FAILED)
    return story


@repo_given
def job_was_cancelled() -> RepoStory:
    """A job was cancelled, and had moved a branch before."""
    story = job_is_settled_after_cancel()
    story.succeed(intents.RunRepoJob, JOB_ENDED)
    return story


@repo_given
def job_could_not_be_run() -> RepoStory:
    """Nobody could run it to an end, nor settle it."""
    story = job_is_settled_after_failure()
    story.fail(intents.RunRepoJob, PERMANENT)
    return story
