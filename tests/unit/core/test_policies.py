"""Policies: what the status of a task means for its tabs, and of a tab for its messages, where both move in one step."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from taskdock.core import intents, task_policies
from taskdock.core.change import Draft
from taskdock.core.errors import Conflict
from taskdock.core.inputs import CancelTurn, SandboxPhase, TurnEnd
from taskdock.core.message import Message
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from unit.core import givens as g
from unit.core.cases import Case
from unit.core.story import MESSAGE_2, PERMANENT, TAB, TAB_2, TRANSIENT, TaskStory
from unit.core.test_rows import CASES


def tried() -> TaskStory:
    """A tab whose session failed once and is tried again."""
    story = g.session_lost()
    story.fail(intents.ResumeSession, TRANSIENT)
    assert story.tab().tries is not None
    return story


def finish(story: TaskStory) -> None:
    """Bring an ending to its end, whatever it waits for."""
    if story.open(intents.CollectWork):
        story.collect("c2")
    if story.open(intents.StopSandbox):
        story.stop_sandbox()
    if story.open(intents.DestroySandbox):
        story.release()


@pytest.mark.parametrize(("end", "at"), [("stop", "stopped"), ("archive", "archived")])
def test_tries_of_a_tab_end_where_its_task_rests(end: str, at: str) -> None:
    """A task that is stopped or archived and goes on later tries its sessions anew."""
    story = tried()
    getattr(story, end)()
    finish(story)
    assert (story.at, story.tab().tries) == (at, None)


def test_tries_of_a_tab_end_with_the_failure_of_its_task() -> None:
    """So does one that failed; while it only looks, they count on."""
    story = tried()
    story.lose_sandbox()
    assert (story.at, story.tab().tries is None) == ("running/observe", False)
    story.fail(intents.ObserveSandbox, PERMANENT)
    assert (story.at, story.tab().tries) == ("error/running/observe", None)


def test_session_that_is_being_made_is_not_waited_for() -> None:
    """While a stop settles the turn of one tab, another one whose session is only being made waits for its task already."""
    story = g.two_tabs()
    story.send(MESSAGE_2, TAB)
    story.begin_turn(TAB)
    story.lose_session(TAB_2)
    assert story.tab(TAB_2).at == "pending_session_create"
    story.stop()
    assert (story.at, story.tab(TAB).at, story.tab(TAB_2).at) == (
        "stopping/settle",
        "ready",
        "pending_provision",
    )


def test_resume_that_was_wanted_happens_with_the_stop() -> None:
    """A task that is to go on does so in the very step in which it is stopped, and not before."""
    story = g.STOP.ending()
    story.resume()
    assert story.at == "stopping/stop"
    story.stop_sandbox()
    assert (story.at, story.task.resume_wanted) == ("init_create_sandbox/create", False)


@pytest.mark.parametrize("given", [g.failed_looking, g.failed_agent, g.failed_creating])
def test_tab_opened_on_a_failed_task_waits_no_longer_than_it(given: g.Given[TaskStory]) -> None:
    """Tabs fail with their task, stay failed while it does, and wait again in the step in which it goes on."""
    story = given()
    assert story.tab().at == "error/task"
    story.retry()
    assert story.tab().at == "pending_provision"


def test_killed_task_leaves_no_tab_waiting() -> None:
    """A kill closes failed tabs as well; none goes on with a task that left its error that way."""
    for given in (g.failed_looking, g.second_tab_failed, g.failed_session):
        story = given()
        story.kill()
        assert story.tab(TAB).at == "closed"


def test_unsent_message_comes_back_beside_a_running_turn() -> None:
    """A prompt that has not begun is taken back, whatever the tabs before it are doing."""
    story = g.two_tabs()
    story.send("msg-3", TAB)
    story.begin_turn(TAB)
    story.send("msg-4", TAB_2)
    story.lose_sandbox()
    assert (story.message("msg-3").at, story.message("msg-4").at) == ("sending", "queued")
    assert [intent.subject for intent in story.open(intents.SendPrompt)] == ["tab:tab-1"]


# What a rule says of itself


def state_of(draft: Draft) -> tuple[object, ...]:
    """All that a rule may change."""
    records = [*draft.all(Task), *draft.all(Tab), *draft.all(Message)]
    return tuple(records), tuple(draft.open)


def watched(rule: Callable[[Draft], bool]) -> Callable[[Draft], bool]:
    """The rule, and a look at whether it tells the truth."""

    def watch(draft: Draft) -> bool:
        before = state_of(draft)
        moved = rule(draft)
        assert moved is (state_of(draft) != before), rule.__name__
        return moved

    return watch


MOVES = [
    pytest.param(case, id=f"{table}: {case.arc}")
    for table, cases in CASES.items()
    if table != "repo"
    for case in cases
]


@pytest.mark.parametrize("case", MOVES)
def test_rule_tells_whether_it_changed_anything(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules are applied until none says that it changed something; one that is wrong there ends that too early or never."""
    story = case.given()
    monkeypatch.setattr(task_policies, "RULES", tuple(map(watched, task_policies.RULES)))
    assert story.do(case.input(story) if callable(case.input) else case.input).ignored is None


@pytest.mark.parametrize(
    "given",
    [g.working, g.delivered, g.asked, g.two_tabs, g.second_tab_pending, g.closing_mid_turn, g.KILL.settling],
)
@pytest.mark.parametrize("end", ["stop", "archive", "kill", "close", "lose_session", "lose_sandbox"])
def test_rule_tells_the_truth_mid_turn(
    given: g.Given[TaskStory], end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where turns run, with what the agent asked in them."""
    story = given()
    monkeypatch.setattr(task_policies, "RULES", tuple(map(watched, task_policies.RULES)))
    with suppress(Conflict):
        getattr(story, end)()


def test_rule_tells_the_truth_when_a_task_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where a stopped task is to go on, and where a look that sessions waited for is over."""
    stopping, looking = g.STOP.ending(), g.looking_session_pending()
    stopping.resume()
    monkeypatch.setattr(task_policies, "RULES", tuple(map(watched, task_policies.RULES)))
    stopping.stop_sandbox()
    assert stopping.at == "init_create_sandbox/create"
    looking.observe(SandboxPhase.RUNNING)
    assert looking.at == "running"


# Why a turn was interrupted


def lose_and_see(phase: SandboxPhase) -> Callable[[TaskStory], object]:
    """The sandbox is found like this."""

    def told(story: TaskStory) -> object:
        story.lose_sandbox()
        return story.observe(phase)

    return told


def lose_and_fail(story: TaskStory) -> object:
    """Nobody can say what became of the sandbox."""
    story.lose_sandbox()
    return story.fail(intents.ObserveSandbox, PERMANENT)


def close_in_time(story: TaskStory) -> object:
    """The tab is closed, and the turn does not end."""
    story.close()
    return story.wake("closing")


def cancel_in_vain(story: TaskStory) -> object:
    """The agent is asked to end the turn, and does not."""
    story.do(CancelTurn(TAB))
    return story.wake("cancelling")


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (close_in_time, "the tab was closed"),
        (lose_and_fail, "it broke"),
        (lose_and_see(SandboxPhase.STOPPED), "the task's sandbox was lost"),
        (lose_and_see(SandboxPhase.FAILED), "the task's sandbox was lost"),
        (TaskStory.lose_session, "the agent's process ended"),
        (cancel_in_vain, "the agent's session was lost"),
    ],
    ids=["closed", "failed", "stopped", "broken", "process", "session"],
)
def test_interrupted_turn_says_why(what: Callable[[TaskStory], object], why: str) -> None:
    """A turn that did not end by itself tells what ended it."""
    story = g.delivered()
    what(story)
    assert story.tab().last_end is TurnEnd.INTERRUPTED
    assert story.tab().last_end_detail == why
