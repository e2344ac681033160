"""Attach givens: every status of a task that shall work on a branch which was there before it, each reached by a script."""

from taskdock.core import inputs, intents
from taskdock.core.job_record import BranchSeen, JobErrorKind, JobFailure, JobResult
from unit.core.givens_repo import cloned, cloning
from unit.core.shelf import repo_given, task_given
from unit.core.story import JOB, START, THEIRS, RepoStory, TaskStory, a_task

AWAIT = inputs.AwaitBranch("task-1", 3, THEIRS)
ASKED_JOB = "job-5cbe1026bff40597878e"
"""The id that the question above leads to."""
REGISTERED = inputs.JobEnded(
    JobResult(), branches=(BranchSeen(THEIRS, "c7"),), trunk_head="c1", read_at=START
)
NOT_REGISTERED = inputs.JobEnded(JobResult(), JobFailure(JobErrorKind.USER_ERROR, "nobody has it", "push it"))


@task_given
def attaching() -> TaskStory:
    """Created on a branch that its repo has not seen lately."""
    story = a_task()
    story.create(on_branch=THEIRS)
    return story


@task_given
def attaching_by_job() -> TaskStory:
    """The same, and it knows the job that it waits for."""
    story = attaching()
    story.do(inputs.BranchAwaited(story.task.ask, JOB))
    return story


@task_given
def attached() -> TaskStory:
    """Its branch was registered; nobody has claimed the naming yet."""
    story = attaching_by_job()
    story.do(inputs.BranchReady(story.task.ask, JOB, "c7"))
    return story


@task_given
def attached_at_once() -> TaskStory:
    """Created on a branch that its repo has seen just now."""
    story = a_task()
    story.create(on_branch=THEIRS, read_seconds_ago=1.0)
    return story


@task_given
def failed_attaching() -> TaskStory:
    """Nobody has a branch of that name."""
    story = attaching_by_job()
    story.do(inputs.BranchFailed(story.task.ask, JOB, "nobody has it"))
    return story


@task_given
def stopped_attaching() -> TaskStory:
    """Stopped while it waited for its branch."""
    story = attaching_by_job()
    story.stop()
    return story


@task_given
def archived_attaching() -> TaskStory:
    """Archived while it waited for its branch."""
    story = attaching_by_job()
    story.archive()
    return story


@repo_given
def job_is_waited_for() -> RepoStory:
    """A job registers a branch that a task waits for."""
    story = cloned()
    story.do(AWAIT)
    return story


@repo_given
def job_is_waited_for_while_cloning() -> RepoStory:
    """The same is kept while the clone is being made."""
    story = cloning()
    story.do(AWAIT)
    return story


@repo_given
def job_nobody_waits_for_any_more() -> RepoStory:
    """The task that waited for it has ended."""
    story = job_is_waited_for()
    story.do(inputs.NoLongerWaits("task-1", 3))
    return story


@repo_given
def job_waited_for_is_done() -> RepoStory:
    """The branch was registered, and the task is told."""
    story = job_is_waited_for()
    story.succeed(intents.RunRepoJob, REGISTERED)
    return story
