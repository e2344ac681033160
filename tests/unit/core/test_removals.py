"""Stories of removals: a repo that nobody needs is let go of, its clone goes or stays, and adding it again brings it back."""

from collections.abc import Callable

import pytest
from attrs import evolve

from taskdock.core import inputs
from taskdock.core.branches import Branches
from taskdock.core.errors import Conflict, NotFound
from taskdock.core.inputs import (
    BranchBorn,
    CancelJob,
    CloneRemoved,
    RemoveRepo,
    RepoFailed,
    UnarchiveTask,
)
from taskdock.core.intents import CloneRepo, RemoveClone, Tell
from taskdock.core.repo import WAS_REMOVED, RepoStatus
from taskdock.core.step import Failure, Step
from unit.core import givens as g
from unit.core import givens_job as j
from unit.core.story import (
    JOB,
    PERMANENT,
    REPO,
    TRANSIENT,
    RepoStory,
    a_create,
    a_repo,
    a_task,
    an_add,
    kinds_of,
)


def test_removal_needs_that_no_task_is_live() -> None:
    """What the boundary cannot see, whether a task needs the repo, is asked of the commit; not again of a tombstone."""
    assert g.cloned().do(RemoveRepo()).needs_no_task_of == REPO
    assert g.cloning().do(RemoveRepo()).needs_no_task_of == REPO
    assert g.clone_failed().do(RemoveRepo()).needs_no_task_of == REPO
    assert g.removed_but_for_its_clone().do(RemoveRepo()).needs_no_task_of is None


def test_create_and_unarchive_need_the_repo() -> None:
    """Whatever makes a task live says in its commit that its repo must not be removed; nothing else does."""
    assert a_task().do(a_create()).needs_repo == REPO
    assert g.ARCHIVE.done().do(UnarchiveTask()).needs_repo == REPO
    assert g.idle().do(inputs.RenameTask("Other")).needs_repo is None


def test_task_waits_for_a_repo_that_came_back() -> None:
    """A task that is unarchived while its repo is cloned anew waits for the clone, whatever it knew before."""
    story = g.ARCHIVE.done()
    assert story.task.repo_is_ready
    change = story.do(UnarchiveTask(repo_is_ready=False))
    assert (story.task.at, kinds_of(change)[0]) == ("init_enqueue_provision/wait_repo", "Tell")


def test_jobs_hold_a_removal_up() -> None:
    """A repo with a job that is queued or runs is not removed; the refusal names the jobs, and says what to do."""
    for given in (j.job_waits_for_clone, j.job_has_its_turn, j.job_runs, j.job_is_settled_after_cancel):
        story = given()
        with pytest.raises(Conflict, match=f"{JOB}.* Cancel them") as rejected:
            story.do(RemoveRepo())
        assert (rejected.value.record_id, "remove" in rejected.value.available_actions) == (REPO, False)
    assert j.job_completed().do(RemoveRepo()).ignored is None


def test_nothing_is_asked_of_a_removed_repo() -> None:
    """A job of a tombstone is refused with what to do; there is no job to cancel, and nothing to retry."""
    for given in (g.removing, g.removed, g.removed_but_for_its_clone):
        story = given()
        with pytest.raises(Conflict, match="was removed: add its remote again") as rejected:
            story.do(j.SYNC)
        assert (rejected.value.status, rejected.value.record_id) == ("removed", REPO)
        with pytest.raises(Conflict):
            story.do(CancelJob(JOB))
        with pytest.raises(Conflict):
            story.do(inputs.RetryRepo())


def test_tombstone_answers_every_question() -> None:
    """A task that asks a removed repo, for its clone or for a branch, is told once that it was removed."""
    story = g.removed()
    story.do(inputs.AwaitReady("task-1", 1))
    story.do(inputs.AwaitBranch("task-2", 4, "theirs"))
    told = [intent.body for intent in story.open(Tell)]
    assert told == [Tell("task-1", RepoFailed(1, WAS_REMOVED)), Tell("task-2", RepoFailed(4, WAS_REMOVED))]
    assert story.do(inputs.AwaitBranch("task-2", 4, "theirs")).ignored is not None
    born = story.do(BranchBorn("task-3", 1, "mine", "main", "a1"))
    assert born.ignored == "the repo was removed"


def test_waiting_tasks_are_told_of_a_removal() -> None:
    """What still waits for the clone when the repo is removed gets its answer."""
    story = g.cloning_awaited()
    story.do(RemoveRepo())
    assert [intent.body for intent in story.open(Tell)] == [
        Tell("task-1", RepoFailed(1, WAS_REMOVED)),
        Tell("task-2", RepoFailed(4, WAS_REMOVED)),
    ]
    assert story.repo.waiting == ()


def test_removal_takes_the_clone_back_that_is_being_made() -> None:
    """The clone under way is not wanted any more; its removal waits until that execution has ended."""
    story = g.cloning()
    clone = story.claim(CloneRepo)
    change = story.do(RemoveRepo())
    assert change.cancelled == (clone.id,)
    assert story.boundary.claimable(story.now) == []
    story.boundary.end(clone)
    assert [intent.body for intent in story.boundary.claimable(story.now)] == [RemoveClone(REPO)]


def test_clone_that_is_gone_leaves_nothing_behind() -> None:
    """With the clone go its trunk, its branches, and what could be undone."""
    story = j.job_completed()
    assert story.repo.undoable == (JOB,)
    story.do(RemoveRepo())
    assert story.repo.undoable == (JOB,)
    story.succeed(RemoveClone, CloneRemoved())
    repo = story.repo
    assert (repo.trunk, repo.head, repo.undoable, repo.step, repo.failure) == (None, None, (), None, None)
    assert story.boundary.get(Branches, REPO) == Branches(REPO)


def test_clone_that_stays_is_told_with_its_reason() -> None:
    """A clone that had to stay rests with the reason, and with all that was known of it; removing again looks again."""
    story = g.removed_but_for_its_clone()
    reason = Failure("remove_clone", PERMANENT, "the clone stays", 1, "looks again whether the clone can go")
    assert (story.repo.status, story.repo.failure, story.repo.trunk) == (RepoStatus.REMOVED, reason, "main")
    assert (story.repo.step, story.open(RemoveClone)) == (None, [])
    story.do(RemoveRepo())
    again = story.repo
    assert (again.step, again.failure) == (Step("remove_clone", 1, story.now), None)
    assert story.do(RemoveRepo()).ignored == "the repo is removed already"


def test_removal_is_tried_again() -> None:
    """A remote that does not answer is asked again, a few times; then the clone stays."""
    story = g.removing()
    for _ in range(4):
        assert kinds_of(story.fail(RemoveClone, TRANSIENT)) == ("RemoveClone", "repo.step_failed")
    assert story.repo.step is not None and story.repo.step.attempt == 5
    assert kinds_of(story.fail(RemoveClone, TRANSIENT)) == ("", "repo.clone_kept")


def test_removing_twice_is_one_removal() -> None:
    """A second removal changes nothing; there is no removing what never was."""
    assert g.removing().do(RemoveRepo()).ignored == "the repo is removed already"
    assert g.removed().do(RemoveRepo()).ignored == "the repo is removed already"
    with pytest.raises(NotFound):
        a_repo().do(RemoveRepo())


@pytest.mark.parametrize("given", [g.removing, g.removed, g.removed_but_for_its_clone])
def test_adding_again_brings_the_repo_back(given: Callable[[], RepoStory]) -> None:
    """The same remote is the same repo again, spelled and named as it is now; its clone is made, or taken over."""
    story = given()
    removal = story.open(RemoveClone)
    change = story.do(evolve(an_add(), name="again", remote="https://git.example/acme/api.git"))
    assert (story.repo.status, story.repo.name, story.repo.failure) == (RepoStatus.CLONING, "again", None)
    assert story.open(CloneRepo)[0].body == CloneRepo(REPO, "https://git.example/acme/api.git")
    assert change.cancelled == tuple(intent.id for intent in removal)
    assert kinds_of(change) == ("CloneRepo", "repo.added")
    story.clone()
    assert story.repo.status is RepoStatus.READY
    assert story.do(j.SYNC).ignored is None


def test_question_of_a_task_orders_no_second_removal() -> None:
    """A task that asks while the clone goes is answered; the clone goes once."""
    story = g.removing()
    before = story.open(RemoveClone)
    change = story.do(inputs.AwaitReady("task-1", 1))
    assert (kinds_of(change)[0], story.open(RemoveClone)) == ("Tell", before)


def test_removal_that_was_taken_back_does_not_begin() -> None:
    """An execution that asks right before the first file goes is told that nobody wants it any more."""
    story = g.removing()
    intent = story.claim(RemoveClone)
    story.add()
    assert story.do(inputs.Started(intent.id, intent.issue)).ignored is not None
    again = g.removing()
    wanted = again.claim(RemoveClone)
    assert again.do(inputs.Started(wanted.id, wanted.issue)).marked_started == (wanted.id,)
