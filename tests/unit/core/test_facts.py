"""Facts: what comes too late, or fits nothing, is ignored with its reason; the rest leaves what it says, to the last field."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from taskdock.core import inputs, intents
from taskdock.core.inputs import Input, SandboxReaped, SessionLost
from taskdock.core.step import Failure
from taskdock.core.tab import Permission
from unit.core import givens as g
from unit.core.story import MESSAGE, OPTIONS, PERMANENT, PERMISSION, TAB, TAB_2, TaskStory, kinds_of

Told = Callable[[TaskStory], Input]
OURS = "td-75b98ee5-task-1-g1"
NO_PROMPT = "no prompt of this intent was started"
SETTLED = "its delivery is settled already"
OVER = "the turn in which it was asked is over"
ANOTHER_SESSION = "the tab has another session"


def delivered(kind: type[intents.Body]) -> Told:
    """The agent has the message of this intent, it is said."""

    def told(story: TaskStory) -> Input:
        intent = story.claim(kind)
        return inputs.Delivered(intent.id, intent.issue)

    return told


def progressed(kind: type[intents.Body]) -> Told:
    """Somebody says how far it is."""

    def told(story: TaskStory) -> Input:
        intent = story.claim(kind)
        return inputs.Progressed(intent.id, intent.issue, "half of it is done")

    return told


def asked(tab: str = TAB, message: str = MESSAGE, permission: str = "perm-2") -> Told:
    """The agent asks."""
    return lambda _: inputs.PermissionAsked(tab, message, permission, "Run make?", OPTIONS)


def lost(tab: str = TAB, generation: int = 1, session: int = 1) -> Told:
    """The agent's process is gone."""
    return lambda _: SessionLost(tab, generation, session, "it ended")


IGNORED: list[tuple[g.Given[TaskStory], Told, str]] = [
    (g.idle_copying, progressed(intents.CollectWork), "no step is under way"),
    (g.creating_begun, delivered(intents.CreateSandbox), NO_PROMPT),
    (g.sending, delivered(intents.SendPrompt), NO_PROMPT),
    (g.delivered, delivered(intents.SendPrompt), SETTLED),
    (g.idle, asked(), OVER),
    (g.delivered, asked(tab="tab-9"), OVER),
    (g.delivered, asked(message="msg-9"), OVER),
    (g.asked, asked(permission=PERMISSION), "it is known already"),
    (g.idle, lost(tab="tab-9"), ANOTHER_SESSION),
    (g.idle, lost(generation=2), ANOTHER_SESSION),
    (g.idle, lost(session=2), ANOTHER_SESSION),
    (g.failed_agent, lost(generation=0, session=0), "the tab is error"),
    (g.idle, lambda _: inputs.SandboxLost("another", "it was deleted"), "the task has another sandbox"),
    (g.looking, lambda _: inputs.SandboxLost(OURS, "it was deleted"), "the task is running"),
    (
        g.idle,
        lambda _: SandboxReaped(OURS, "nobody needs it"),
        "the task is running, and this is its sandbox",
    ),
    (g.waiting_for_repo, lambda _: inputs.RepoReady(9), "it answers an older question"),
    (g.waiting_for_repo, lambda _: inputs.RepoFailed(9, "gone"), "it answers an older question"),
    (g.queued, lambda _: inputs.RepoReady(0), "the task does not wait for its repo"),
    (g.attaching_by_job, lambda _: inputs.BranchAwaited(1, "job-1"), "the job is known already"),
    (g.attached, lambda _: inputs.BranchAwaited(1, "job-1"), "the task does not wait for its repo"),
]


@pytest.mark.parametrize(
    ("given", "told", "why"), IGNORED, ids=[f"{number}: {why}" for number, (_, _, why) in enumerate(IGNORED)]
)
def test_fact_that_fits_nothing_is_ignored(given: g.Given[TaskStory], told: Told, why: str) -> None:
    """Nothing changes, and the reason says what it did not fit."""
    story = given()
    assert story.do(told(story)).ignored == why


def test_started_create_says_when() -> None:
    """The window of a create counts from its last start; nothing else that starts moves it."""
    story = g.creating()
    story.start(intents.CreateSandbox)
    assert story.task.create_began == story.now
    story.succeed(intents.CreateSandbox, inputs.SandboxReady(adopted=False))
    began = story.task.create_began
    story.start(intents.EnsureAgent)
    assert story.task.create_began == began


def test_progress_is_a_sentence_with_its_time() -> None:
    """The step under way says how far it is, and when that was said."""
    story = g.creating()
    story.do(progressed(intents.CreateSandbox)(story))
    assert story.task.step is not None
    assert (story.task.step.progress, story.task.step.last_progress_at) == ("half of it is done", story.now)


def test_question_stands_in_the_turn() -> None:
    """What the agent asks is kept with its options, beside what it asked before."""
    story = g.asked()
    story.do(asked()(story))
    first, second = story.tab().turn.permissions
    assert (first.id, story.tab().updated_at) == (PERMISSION, story.now)
    assert second == Permission("perm-2", TAB, "Run make?", OPTIONS, story.now, "asked")


@pytest.mark.parametrize("given", [g.ARCHIVE.done, g.KILL.done])
def test_sandbox_of_a_task_that_let_go_is_reaped(given: g.Given[TaskStory]) -> None:
    """What is found of an archived or killed task is ended, and told."""
    story = given()
    change = story.do(SandboxReaped(story.task.sandbox.name, "nobody needs it"))
    assert kinds_of(change) == ("", "sandbox.reaped")


def test_lost_session_costs_its_turn() -> None:
    """The turn of a session that was lost is interrupted, and says why."""
    story = g.delivered()
    story.lose_session(reason="it ran out of memory")
    tab = story.tab()
    assert (tab.turn.at, tab.last_end, tab.held) == ("none", inputs.TurnEnd.INTERRUPTED, True)


def test_session_lost_behind_a_closed_tab_ends_the_turn() -> None:
    """Where the tab itself does not move any more, its turn ends with the agent's process."""
    story = g.KILL.settling()
    assert (story.tab().at, story.tab().turn.at) == ("closed", "cancelling")
    story.lose_session(reason="it ran out of memory")
    assert story.tab().last_end is inputs.TurnEnd.INTERRUPTED
    assert story.tab().last_end_detail == "it ran out of memory"


def test_session_lost_too_often_fails_its_tab() -> None:
    """A tab whose agent is lost again and again says so, as something that was not reached."""
    story = g.session_lost_often()
    story.lose_session(reason="it ended")
    failure = story.tab().failure
    assert failure is not None
    assert failure.failure_class is inputs.FailureClass.UNREACHABLE


def test_failed_clone_fails_its_task() -> None:
    """The task says what became of its repo, with the last lines of what git said."""
    story = g.waiting_for_repo()
    story.do(inputs.RepoFailed(1, "no such remote", "fatal: not found"))
    assert story.task.failure == Failure(
        step="init_enqueue_provision/wait_repo",
        failure_class=PERMANENT,
        reason="The repo cannot be cloned: no such remote",
        attempts=1,
        retry="starts the clone again and waits for it",
        log_tail="fatal: not found",
    )


def test_second_tab_is_not_touched_by_the_loss_of_the_first() -> None:
    """A lost session is that of one tab."""
    story = g.two_tabs()
    before = story.tab(TAB_2)
    story.lose_session(TAB)
    assert story.tab(TAB_2) == before


def test_repo_that_is_ready_is_remembered() -> None:
    """A task that heard of its repo does not ask again."""
    story = g.waiting_for_repo()
    story.do(inputs.RepoReady(1))
    assert story.task.repo_is_ready
    assert story.now - story.task.updated_at == timedelta(0)
