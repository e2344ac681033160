"""Attach: a task on a branch that was there before it, the job that it waits for, and what the two boundaries say to each other."""

from datetime import timedelta

import pytest
from attrs import evolve

from taskdock.core import inputs, intents
from taskdock.core.change import BranchHold
from taskdock.core.errors import Conflict
from taskdock.core.inputs import AwaitBranch, BranchAwaited, BranchFailed, BranchReady, NoLongerWaits
from taskdock.core.intents import RunRepoJob, Tell
from taskdock.core.job import Job
from taskdock.core.job_record import JobKind
from taskdock.core.repo import Waiting
from unit.core import givens as g
from unit.core.givens_attach import ASKED_JOB, AWAIT, NOT_REGISTERED, REGISTERED
from unit.core.story import JOB, PERMANENT, REPO, TASK, THEIRS, RepoStory, TaskStory, a_create, a_task
from unit.core.test_repos import answers as told
from unit.core.test_repos import deliver


def the_job(story: RepoStory) -> Job:
    """The job that registers the branch."""
    return story.boundary.get(Job, ASKED_JOB)


# The task's side


@pytest.mark.parametrize(("seconds", "at"), [(0.0, "init_enqueue_provision"), (300.0, "init_enqueue_provision"),
                                             (300.001, "init_attach_branch")])  # fmt: skip
def test_task_starts_at_once_on_a_branch_that_was_seen_lately(seconds: float, at: str) -> None:
    """A look at the branches that found it counts for three hundred seconds; then a job has to look again."""
    story = a_task()
    story.create(on_branch=THEIRS, read_seconds_ago=seconds)
    assert story.at == at


def test_how_long_a_look_counts_is_a_figure() -> None:
    """The config says how old a look may be."""
    story = a_task()
    story.boundary.figures = evolve(story.boundary.figures, branch_fresh_seconds=5.0)
    story.create(on_branch=THEIRS, read_seconds_ago=6.0)
    assert story.at == "init_attach_branch"


def test_fresh_branch_of_a_repo_without_its_clone_waits_for_that() -> None:
    """A branch that was seen is no clone: that one is waited for as ever."""
    create = a_create(repo_is_ready=False, on_branch=THEIRS)
    story = a_task()
    story.do(evolve(create, branch_read_at=story.now))
    assert story.at == "init_enqueue_provision/wait_repo"


@pytest.mark.parametrize("given", [g.attaching, g.attached_at_once])
def test_branch_is_held_and_started_from(given: g.Given[TaskStory]) -> None:
    """The branch is the task's own from the first commit on, and where it starts; it cannot be given another."""
    story = given()
    assert (story.task.branch, story.task.base, story.task.on_branch) == (THEIRS, THEIRS, True)
    assert story.boundary.hold == BranchHold(REPO, THEIRS, TASK)
    with pytest.raises(Conflict):
        story.do(inputs.SetBranch("better"))


def test_waiting_names_its_job() -> None:
    """First the branch is waited for, then, by its id, the job that registers it."""
    story = g.attaching()
    assert story.task.step is not None
    assert (story.task.step.waits_for, story.task.step.job_id) == ("branch theirs of repo-1", None)
    story.do(BranchAwaited(story.task.ask, JOB))
    assert story.task.step is not None
    assert (story.task.step.waits_for, story.task.step.job_id) == ("job-1, which registers theirs", JOB)
    assert len(story.open(Tell)) == 1


def test_branch_that_is_ready_is_named_by_what_it_is() -> None:
    """The naming is told that the branch has to be there; the repo is ready by then, whatever it was before."""
    story = a_task()
    story.do(a_create(repo_is_ready=False, on_branch=THEIRS))
    story.do(BranchReady(story.task.ask, JOB, None))
    body = story.open(intents.EnsureName)[0].body
    assert isinstance(body, intents.EnsureName)
    assert (body.branch, body.base, body.is_there, body.is_kept) == (THEIRS, THEIRS, True, False)
    assert (story.task.repo_is_ready, story.task.is_attached) == (True, True)


def test_branch_is_looked_for_once() -> None:
    """A task that is stopped after it got its branch goes on from there, and does not ask for it again."""
    story = g.attached()
    story.stop()
    story.resume()
    assert story.at == "init_enqueue_provision"


def test_failure_says_which_job_and_why() -> None:
    """The reason names branch and job; a retry asks anew, under another number."""
    story = g.failed_attaching()
    assert story.task.failure is not None
    assert story.task.failure.reason == "The branch 'theirs' cannot be worked on: nobody has it (job-1)"
    assert story.task.failure.retry == "looks for the branch again"
    before = story.task.ask
    story.retry()
    assert story.task.ask > before
    assert [intent.body for intent in story.open(Tell)][-1] == Tell(
        REPO, AwaitBranch(TASK, story.task.ask, THEIRS)
    )


def test_answer_to_an_older_question_is_ignored() -> None:
    """After a retry neither the old job's end nor its name counts."""
    story = g.failed_attaching()
    old = story.task.ask
    story.retry()
    for late in (BranchReady(old, JOB, "c7"), BranchFailed(old, JOB, "no"), BranchAwaited(old, JOB)):
        assert story.do(late).ignored == "it answers an older question"


def test_question_that_cannot_be_asked_is_answered_by_that() -> None:
    """A repo that cannot be told anything fails the task instead of having it wait for ever."""
    story = g.attaching()
    story.fail(Tell, PERMANENT, "there is no such repo")
    assert story.at == "error/init_attach_branch"


@pytest.mark.parametrize("end", ["stop", "archive", "kill"])
def test_task_that_ends_takes_its_question_back(end: str) -> None:
    """Stopped, archived or killed while it waits, it tells the repo, after the question itself has got there or not."""
    story = g.attaching()
    asked = story.claim(Tell)
    getattr(story, end)()
    (back,) = story.open(Tell)
    assert back.body == Tell(REPO, NoLongerWaits(TASK, story.task.ask))
    assert asked.id not in story.boundary.outbox
    assert story.boundary.claimable(story.now) == []
    story.boundary.end(asked)
    assert story.boundary.claimable(story.now) == [back]


def test_taken_back_question_outlives_the_next_end() -> None:
    """A kill right after the stop still lets the repo know."""
    story = g.stopped_attaching()
    story.kill()
    assert story.at == "killed"
    assert [intent.body for intent in story.open(Tell)] == [Tell(REPO, NoLongerWaits(TASK, story.task.ask))]
    story.fail(Tell, PERMANENT, "there is no such repo")
    assert (story.at, story.kinds()) == ("killed", [])


# The repo's side


def test_repo_queues_a_job_and_says_which() -> None:
    """The job is a register of the branch, asked by the task, and its id is the first answer."""
    story = g.job_is_waited_for()
    job = the_job(story)
    assert (job.kind, job.branch, job.parent) == (JobKind.REGISTER_EXISTING_BRANCH, THEIRS, None)
    assert (job.requested_by, job.waiting) == (TASK, (Waiting(TASK, 3),))
    assert told(story) == [(TASK, BranchAwaited(3, ASKED_JOB))]


def test_equal_job_that_waits_is_joined() -> None:
    """A user has asked for the same: one job serves both."""
    story = g.job_runs()
    story.do(inputs.RequestJob("job-2", JobKind.REGISTER_EXISTING_BRANCH, THEIRS))
    story.do(AWAIT)
    assert [job.id for job in story.boundary.all(Job)] == [JOB, "job-2"]
    assert story.boundary.get(Job, "job-2").waiting == (Waiting(TASK, 3),)
    assert told(story) == [(TASK, BranchAwaited(3, "job-2"))]
    assert story.boundary.get(Job, "job-2").updated_at == story.now


def test_running_job_is_not_joined() -> None:
    """It may have fetched before the branch was pushed: another one looks again."""
    story = g.job_is_waited_for()
    story.start(RunRepoJob)
    story.do(AwaitBranch("task-2", 1, THEIRS))
    assert [job.at for job in story.boundary.all(Job)] == ["running", "queued"]


def test_question_that_comes_twice_is_one_question() -> None:
    """Before its answer and after it: a repeated question changes nothing, however often."""
    story = g.job_is_waited_for()
    assert story.do(AWAIT).ignored == "it changes nothing"
    story.succeed(RunRepoJob, REGISTERED)
    assert story.do(AWAIT).ignored == "it changes nothing"
    assert len(story.boundary.all(Job)) == 1


def test_newer_question_replaces_the_older_one() -> None:
    """A task that asks again waits once, for the job that serves its last question."""
    story = g.job_is_waited_for()
    story.do(AwaitBranch(TASK, 8, "other"))
    assert [job.waiting for job in story.boundary.all(Job)] == [(), (Waiting(TASK, 8),)]
    story.do(NoLongerWaits(TASK, 3))
    assert story.boundary.all(Job)[1].waiting == (Waiting(TASK, 8),)


def test_done_job_tells_where_the_branch_stands() -> None:
    """Who waits is told the head as the job read it; the job is waited for no more."""
    story = g.job_waited_for_is_done()
    assert told(story)[-1] == (TASK, BranchReady(3, ASKED_JOB, "c7"))
    assert the_job(story).waiting == ()


def test_head_that_could_not_be_read_is_left_out() -> None:
    """The branch is registered all the same."""
    story = g.job_is_waited_for()
    story.succeed(RunRepoJob, evolve(REGISTERED, branches=None))
    assert told(story)[-1] == (TASK, BranchReady(3, ASKED_JOB, None))


def test_failed_job_tells_why_and_what_to_do() -> None:
    """The task gets the job's reason with its hint."""
    story = g.job_is_waited_for()
    story.succeed(RunRepoJob, NOT_REGISTERED)
    assert told(story)[-1] == (TASK, BranchFailed(3, ASKED_JOB, "nobody has it; push it"))


def test_job_that_nobody_could_run_tells_why() -> None:
    """An execution that failed for good is an end like any other."""
    story = g.job_is_waited_for()
    story.fail(RunRepoJob, PERMANENT, "the disk is full", log_tail="fatal: no space")
    assert told(story)[-1] == (
        TASK,
        BranchFailed(3, ASKED_JOB, "the disk is full; Ask for it again.", "fatal: no space"),
    )


def test_job_is_kept_while_the_clone_is_made() -> None:
    """It runs as soon as there is a clone, and ends with a word when there will be none."""
    story = g.job_is_waited_for_while_cloning()
    assert the_job(story).at == "queued"
    ready = story.copy()
    ready.clone()
    assert len(ready.open(RunRepoJob)) == 1
    story.fail(intents.CloneRepo, PERMANENT, "no such remote")
    assert told(story)[-1] == (
        TASK, BranchFailed(3, ASKED_JOB, "no such remote; Retry the repo, then ask again."),
    )  # fmt: skip


def test_question_starts_a_failed_clone_again() -> None:
    """So a mended remote needs no separate step: the job is kept for the new clone."""
    story = g.clone_failed()
    story.do(AWAIT)
    assert (story.repo.at, the_job(story).at) == ("cloning", "queued")


def test_nobody_is_told_who_no_longer_waits() -> None:
    """The job goes on for its own sake."""
    story = g.job_nobody_waits_for_any_more()
    assert the_job(story).updated_at == story.now
    before = told(story)
    story.succeed(RunRepoJob, REGISTERED)
    assert (the_job(story).at, told(story)) == ("completed", before)


@pytest.mark.parametrize(
    ("given", "at"),
    [
        (g.job_is_waited_for_while_cloning, "queued"),
        (g.job_is_waited_for, "queued"),
        (g.job_is_waited_for, "running"),
    ],
)
def test_job_that_is_waited_for_ends_by_force_only(given: g.Given[RepoStory], at: str) -> None:
    """Queued or running: who waits is named, and by force told that it was cancelled, when that is over."""
    story = given()
    if at == "running":
        story.start(RunRepoJob)
    with pytest.raises(Conflict, match=r"waited for by task-1: cancel it with force") as refused:
        story.do(inputs.CancelJob(ASKED_JOB))
    assert (refused.value.status, refused.value.record_id) == (at, ASKED_JOB)
    before = told(story)
    story.do(inputs.CancelJob(ASKED_JOB, force=True))
    if at == "running":
        assert told(story) == before
        assert story.do(inputs.CancelJob(ASKED_JOB)).ignored == "it was asked to end already"
        story.succeed(RunRepoJob, REGISTERED)
    assert the_job(story).at == "cancelled"
    assert told(story)[-1] == (TASK, BranchFailed(3, ASKED_JOB, "its job was cancelled"))


def test_job_that_nobody_waits_for_any_more_needs_no_force() -> None:
    """The task that waited has ended, so nobody is failed by a cancel."""
    story = g.job_nobody_waits_for_any_more()
    story.do(inputs.CancelJob(ASKED_JOB))
    assert the_job(story).at == "cancelled"


# Both


def _together(task: TaskStory, repo: RepoStory) -> None:
    deliver(task, repo)
    while repo.open(RunRepoJob):
        repo.succeed(RunRepoJob, REGISTERED)
        deliver(task, repo)


def test_task_goes_on_with_its_branch() -> None:
    """From the create to the naming nobody has to be asked but the repo, which makes its clone meanwhile."""
    task, repo = g.attaching(), g.cloning()
    deliver(task, repo)
    assert task.task.step is not None
    assert task.task.step.job_id == repo.boundary.all(Job)[0].id
    repo.clone()
    _together(task, repo)
    assert (task.at, task.task.is_attached) == ("init_enqueue_provision", True)


def test_retry_after_the_branch_appeared() -> None:
    """A branch that nobody had is pushed; the retry queues another job, and the task goes on."""
    task, repo = g.attaching(), g.cloned()
    deliver(task, repo)
    repo.succeed(RunRepoJob, NOT_REGISTERED)
    deliver(task, repo)
    assert task.at == "error/init_attach_branch"
    task.retry()
    _together(task, repo)
    assert task.at == "init_enqueue_provision"
    assert [job.at for job in repo.boundary.all(Job)] == ["error", "completed"]


def test_stop_and_resume_leave_one_question() -> None:
    """Whichever of the two Tells gets there first, the repo remembers the later question."""
    for first in (0, 1):
        task, repo = g.stopped_attaching(), g.cloned()
        task.resume()
        bodies = [intent.body for intent in task.open(Tell)]
        ordered = bodies if first == 0 else list(reversed(bodies))
        for body in ordered:
            assert isinstance(body, Tell)
            repo.do(body.input)
        waiting = [one for job in repo.boundary.all(Job) for one in job.waiting]
        assert waiting == [Waiting(TASK, task.task.ask)]


def test_look_in_the_future_counts() -> None:
    """A clock that stepped back makes nobody wait."""
    story = a_task()
    create = evolve(a_create(on_branch=THEIRS), branch_read_at=story.now + timedelta(hours=1))
    story.do(create)
    assert story.at == "init_enqueue_provision"
