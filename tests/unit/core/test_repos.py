"""Stories of repos: cloned in the background, awaited by tasks, answered to each by the number of its question."""

import pytest
from attrs import evolve

from taskdock.core import intents
from taskdock.core.errors import Conflict, NotFound
from taskdock.core.inputs import (
    AwaitReady,
    Cloned,
    Failed,
    FailureClass,
    OutcomeReported,
    Progressed,
    RepoFailed,
    RepoReady,
    RetryRepo,
    RetryTask,
    Succeeded,
    Told,
)
from taskdock.core.intents import Tell
from taskdock.core.repo import Repo, RepoStatus
from taskdock.core.step import Failure, Step
from unit.core import givens as g
from unit.core.story import PERMANENT, REPO, TRANSIENT, UNKNOWN, UNREACHABLE, RepoStory, TaskStory, kinds_of


def answers(story: RepoStory) -> list[tuple[str, object]]:
    """Whom the repo is about to tell what."""
    bodies = [intent.body for intent in story.open(Tell)]
    return [(body.target, body.input) for body in bodies if isinstance(body, Tell)]


def deliver(task: TaskStory, repo: RepoStory) -> None:
    """Carry every Tell between the two until none is left, as an executor would."""
    for _ in range(10):
        for story, other in ((task, repo), (repo, task)):
            for intent in story.open(Tell):
                assert isinstance(intent.body, Tell)
                other.do(intent.body.input)
                story.succeed(Tell, Told())


def test_repo_is_registered_and_cloned() -> None:
    """A repo is there at once, cloned in the background, and ready with trunk and head."""
    story = g.cloning()
    assert (story.repo.status, story.repo.trunk) == (RepoStatus.CLONING, None)
    assert story.open(intents.CloneRepo)[0].body == intents.CloneRepo(
        "repo-1", "https://git.example/acme/api"
    )
    story.clone()
    assert (story.repo.status, story.repo.trunk, story.repo.head) == (RepoStatus.READY, "main", "c0")
    assert (story.repo.step, story.kinds()) == (None, [])


def test_repo_is_of_its_workspace_from_the_first_change_on() -> None:
    """What registers a repo, and the clone that it orders, count for the workspace that it was registered in."""
    change = g.no_repo().add()
    assert (change.workspace, [intent.workspace for intent in change.ordered]) == ("default", ["default"])


def test_repo_stands_in_its_record() -> None:
    """From its registration over a failure to its clone the record tells what there is, and nothing that is over."""
    story = g.no_repo()
    story.add()
    added = Repo(
        REPO, "default", "acme/api", "https://git.example/acme/api", created_at=story.now, updated_at=story.now,
        at="cloning", step=Step("cloning", attempt=1, started_at=story.now),
    )  # fmt: skip
    assert story.repo == added
    story.boundary.report(
        story.claim(intents.CloneRepo), Failed(PERMANENT, "no", log_tail="fatal"), story.now
    )
    failure = Failure("cloning", PERMANENT, "no", attempts=1, retry="clones again", log_tail="fatal")
    assert story.repo == evolve(added, at="error", step=None, failure=failure)
    story.do(RetryRepo())
    again = evolve(added, step=Step("cloning", 1, story.now), updated_at=story.now)
    assert story.repo == again
    story.clone()
    assert story.repo == evolve(again, at="ready", step=None, trunk="main", head="c0", updated_at=story.now)


def test_newest_answers_are_remembered() -> None:
    """A question that was answered gets no second answer, as long as 256 others were not answered since."""
    story = g.cloned()
    for number in range(256):
        story.ask(f"task-{number}", 1)
    assert story.ask("task-0", 1).ignored == "it changes nothing"
    story.ask("task-256", 1)
    assert [waiting.task_id for waiting in story.repo.answered] == [f"task-{n}" for n in range(1, 257)]
    assert story.ask("task-1", 1).ignored == "it changes nothing"
    assert story.ask("task-0", 1).ignored is None


def test_everybody_who_asked_is_told_once() -> None:
    """When the clone is there, each waiting task gets the answer to its own question, and nobody waits any more."""
    story = g.cloning_awaited()
    story.clone()
    assert answers(story) == [("task-1", RepoReady(1)), ("task-2", RepoReady(4))]
    assert story.repo.waiting == ()


def test_each_answer_queues_for_itself() -> None:
    """A task that cannot be told holds up no other one, and no later answer to itself."""
    story = g.cloning_awaited()
    story.clone()
    places = [(intent.subject, intent.lane) for intent in story.open(Tell)]
    assert places == [("tell:task-1:1", "tell"), ("tell:task-2:4", "tell")]


def test_everybody_who_asked_is_told_of_a_failure() -> None:
    """When the clone fails, each waiting task gets the reason and the log."""
    story = g.cloning_awaited()
    story.boundary.report(
        story.claim(intents.CloneRepo), Failed(PERMANENT, "no such remote", log_tail="fatal"), story.now
    )
    answer = RepoFailed(1, "no such remote", "fatal")
    assert answers(story)[0] == ("task-1", answer)
    assert story.repo.failure is not None
    assert (story.repo.failure.reason, story.repo.failure.attempts) == ("no such remote", 1)


def test_who_was_told_waits_no_more() -> None:
    """A task that was told of a failure is not told of a later success unless it asks again."""
    story = g.cloning_awaited()
    story.fail(intents.CloneRepo, PERMANENT)
    assert story.repo.waiting == ()
    for _ in range(2):
        story.succeed(Tell, Told())
    story.do(RetryRepo())
    story.clone()
    assert answers(story) == []


def test_ready_repo_answers_at_once() -> None:
    """A question to a ready repo is answered in the same commit."""
    story = g.cloned()
    story.ask("task-7", 3)
    assert answers(story) == [("task-7", RepoReady(3))]


def test_later_question_replaces_the_earlier_one() -> None:
    """A task that asks again is told once, by its latest number."""
    story = g.cloning()
    story.ask("task-1", 1)
    story.ask("task-1", 5)
    story.clone()
    assert answers(story) == [("task-1", RepoReady(5))]


def test_earlier_question_that_comes_late_replaces_nothing() -> None:
    """A question delivered again after a later one must not take its place: its answer would be ignored."""
    story = g.cloning()
    story.ask("task-1", 5)
    story.ask("task-1", 1)
    story.clone()
    assert ("task-1", RepoReady(5)) in answers(story)


def test_question_delivered_twice_changes_nothing() -> None:
    """The same question again, while the clone is being made, is no change at all."""
    story = g.cloning_awaited()
    assert story.ask("task-1", 1).ignored == "it changes nothing"


def test_question_delivered_twice_to_a_ready_repo_is_answered_once() -> None:
    """The same question again, while its answer is on its way, orders no second answer."""
    story = g.cloned()
    story.ask("task-1", 1)
    story.ask("task-1", 1)
    assert answers(story) == [("task-1", RepoReady(1))]


@pytest.mark.parametrize("failure", [TRANSIENT, UNREACHABLE, UNKNOWN])
def test_clone_is_tried_five_times(failure: FailureClass) -> None:
    """What may pass is tried again with a pause, and told as an attempt; the fifth is the last."""
    story = g.cloning()
    for attempt in range(1, 5):
        before = story.open(intents.CloneRepo)[0]
        change = story.fail(intents.CloneRepo, failure)
        assert kinds_of(change) == ("CloneRepo", "repo.step_failed")
        after = story.open(intents.CloneRepo)[0]
        assert after.not_before is not None
        assert after.not_before - story.now == story.boundary.figures.backoff(before.id, attempt)
        assert story.repo.step is not None
        assert (story.repo.step.attempt, story.repo.step.retry_at) == (attempt + 1, after.not_before)
    story.fail(intents.CloneRepo, failure)
    assert story.repo.status is RepoStatus.ERROR


@pytest.mark.parametrize("again", ["retry", "add", "ask"])
def test_failed_clone_starts_again(again: str) -> None:
    """A retry, adding it again, or a task that asks: each starts the clone again, with all its attempts."""
    story = g.clone_failed()
    match again:
        case "retry":
            story.do(RetryRepo())
        case "add":
            story.add()
        case _:
            story.ask("task-7", 3)
    assert (story.repo.status, story.repo.failure, story.kinds()) == (RepoStatus.CLONING, None, ["CloneRepo"])
    assert story.open(intents.CloneRepo)[0].attempt == 1
    story.clone()
    assert story.repo.status is RepoStatus.READY


@pytest.mark.parametrize("given", [g.cloning, g.cloned])
def test_adding_again_changes_nothing(given: g.Given[RepoStory]) -> None:
    """A repo is registered once per remote; adding it again is a success."""
    assert given().add().ignored == "the repo is registered already"


@pytest.mark.parametrize("given", [g.cloning, g.cloned])
def test_retry_is_for_failed_clones(given: g.Given[RepoStory]) -> None:
    """There is nothing to retry while the clone is being made or there."""
    with pytest.raises(Conflict, match="cannot be asked to retry"):
        given().do(RetryRepo())


def test_unknown_repo() -> None:
    """A command to a repo that is not there is not found; a question to it is ignored."""
    with pytest.raises(NotFound, match="repo-1"):
        g.no_repo().do(RetryRepo())
    assert g.no_repo().do(AwaitReady("task-1", 1)).ignored == "there is no such repo"


def test_progress_is_shown() -> None:
    """The sentence of a running clone is in the step, and goes when the clone is there."""
    story = g.cloning()
    intent = story.claim(intents.CloneRepo)
    story.do(Progressed(intent.id, intent.issue, "40 %"))
    step = story.repo.step
    assert step is not None
    assert (step.name, step.attempt, step.progress, step.last_progress_at) == (
        "cloning",
        1,
        "40 %",
        story.now,
    )
    story.fail(intents.CloneRepo, TRANSIENT)
    step = story.repo.step
    assert step is not None
    assert (step.attempt, step.progress) == (2, None)
    story.clone()
    assert story.repo.step is None


def test_what_comes_late_says_so() -> None:
    """An outcome or a progress of an intent that is not open any more changes nothing, and tells why."""
    story = g.cloning()
    late = story.claim(intents.CloneRepo)
    story.clone()
    report = OutcomeReported(late.id, late.issue, Succeeded(Cloned("main", "c9")))
    assert story.do(report).ignored == "the intent is not open"
    assert story.do(Progressed(late.id, late.issue, "90 %")).ignored == "the intent is not open"
    assert story.repo.head == "c0"


def test_progress_of_an_answer_is_nobodys_step() -> None:
    """A repo that is ready has no step to show a sentence in, whatever it still tells."""
    story = g.cloned()
    story.ask()
    tells = story.claim(Tell)
    assert story.do(Progressed(tells.id, tells.issue, "half")).ignored == "no step is under way"


def test_unheard_answer_is_told_again() -> None:
    """A Tell that did not get through is repeated until it does, and never changes the repo."""
    story = g.cloned()
    story.ask("task-7", 3)
    for attempt in range(2, 30):
        story.fail(Tell, TRANSIENT)
        assert story.open(Tell)[0].attempt == attempt
    assert answers(story) == [("task-7", RepoReady(3))]


# A task and its repo, with their messages carried to and fro


def test_task_and_repo_find_each_other() -> None:
    """A task created during the clone goes on when the clone is there."""
    task, repo = g.waiting_for_repo(), g.cloning()
    deliver(task, repo)
    assert task.at == "init_enqueue_provision/wait_repo"
    repo.clone()
    deliver(task, repo)
    assert (task.at, task.kinds(), repo.kinds()) == ("init_enqueue_provision", ["EnsureName"], [])


def test_task_fails_with_its_repo_and_goes_on_after_a_retry() -> None:
    """A failed clone fails the task; its retry starts the clone again, and the task comes up with it."""
    task, repo = g.waiting_for_repo(), g.cloning()
    deliver(task, repo)
    repo.fail(intents.CloneRepo, PERMANENT, "no such remote")
    deliver(task, repo)
    assert (task.at, task.tab().at) == ("error/init_enqueue_provision/wait_repo", "error/task")
    task.do(RetryTask())
    deliver(task, repo)
    assert repo.repo.status is RepoStatus.CLONING
    repo.clone()
    deliver(task, repo)
    assert task.at == "init_enqueue_provision"


def test_question_that_cannot_be_asked_fails_the_task() -> None:
    """A task whose question can never reach its repo rests in error instead of waiting for ever."""
    story = g.waiting_for_repo()
    story.fail(Tell, PERMANENT, "there is no such repo")
    assert story.at == "error/init_enqueue_provision/wait_repo"


def test_question_of_before_a_retry_does_not_fail_the_one_after_it() -> None:
    """Only the question that the task waits for can fail it: an earlier one that was never asked is no answer to it."""
    story = g.failed_waiting()
    earlier = story.claim(Tell)
    story.do(RetryTask())
    story.boundary.report(earlier, Failed(PERMANENT, "there is no such repo"), story.now)
    assert story.at == "init_enqueue_provision/wait_repo"


def test_redelivered_question_does_not_restart_a_failed_clone() -> None:
    """A question that was answered already, delivered once more, starts nothing: its task has failed and waits for a retry."""
    story = g.cloning()
    story.ask("task-1", 1)
    story.fail(intents.CloneRepo, PERMANENT)
    story.succeed(Tell, Told())
    story.ask("task-1", 1)
    assert story.repo.status is RepoStatus.ERROR
