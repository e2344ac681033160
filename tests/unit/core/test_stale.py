"""Stale and repeated: what comes late, twice, or about something else changes nothing."""

from collections.abc import Callable, Iterator

import pytest
from attrs import evolve

from taskdock.core.change import Change
from taskdock.core.inputs import (
    AgentReady,
    CloseTab,
    Delivered,
    Failed,
    KillTask,
    OutcomeReported,
    Progressed,
    SandboxLost,
    SessionLost,
    Started,
    Succeeded,
    TaskInput,
)
from taskdock.core.intents import EnsureAgent, EnsureName, SendPrompt
from unit.core import givens as g
from unit.core.givens import TASKS
from unit.core.product import VALUES, answer, claimed
from unit.core.story import PERMANENT, TAB, TAB_2, TRANSIENT, TaskStory


def outcomes(story: TaskStory) -> Iterator[tuple[str, int, TaskInput]]:
    """Every outcome and fact of every open intent, with the intent's id and issue."""
    for intent in claimed(story):
        for value in VALUES[type(intent.body)]:
            yield intent.id, intent.issue, OutcomeReported(intent.id, intent.issue, Succeeded(value))
        yield intent.id, intent.issue, OutcomeReported(intent.id, intent.issue, Failed(TRANSIENT, "it broke"))
        yield intent.id, intent.issue, OutcomeReported(intent.id, intent.issue, Failed(PERMANENT, "it broke"))
        yield intent.id, intent.issue, Started(intent.id, intent.issue)
        yield intent.id, intent.issue, Progressed(intent.id, intent.issue, "half way")
        if isinstance(intent.body, SendPrompt):
            yield intent.id, intent.issue, Delivered(intent.id, intent.issue)


EVERY = [pytest.param(given, id=name) for name, given in TASKS.items() if name != "no_task"]


@pytest.mark.parametrize("given", EVERY)
def test_earlier_issue_is_over(given: Callable[[], TaskStory]) -> None:
    """What an execution says after its intent was claimed again changes nothing."""
    story = given()
    for _, issue, input_ in outcomes(story):
        assert isinstance(input_, OutcomeReported | Started | Progressed | Delivered)
        late = answer(story, evolve(input_, issue=issue - 1))
        assert isinstance(late, Change)
        assert late.ignored == f"issue {issue - 1} is over, {issue} is running"


@pytest.mark.parametrize("given", EVERY)
def test_outcome_counts_once(given: Callable[[], TaskStory]) -> None:
    """The same outcome a second time changes nothing: the intent is not open any more."""
    start = given()
    for _, _, input_ in list(outcomes(start)):
        if not isinstance(input_, OutcomeReported):
            continue
        story = start.copy()
        assert story.do(input_).ignored is None
        before = story.boundary.slice
        assert story.do(input_).ignored == "the intent is not open"
        assert story.boundary.slice == before


def test_cancelled_intent_brings_nothing() -> None:
    """The outcome of an intent that a kill superseded changes nothing."""
    story = g.starting_agent()
    intent = story.claim(EnsureAgent)
    story.do(KillTask())
    late = story.do(OutcomeReported(intent.id, intent.issue, Succeeded(AgentReady())))
    assert late.ignored == "the intent is not open"
    assert story.at == "killing/destroy"


def test_started_of_an_earlier_issue_is_refused() -> None:
    """An execution that was given up may not call any more, however late it gets there."""
    story = g.queued()
    first = story.claim(EnsureName)
    story.boundary.restart()
    second = story.claim(EnsureName)
    assert story.do(Started(first.id, first.issue)).ignored == "issue 1 is over, 2 is running"
    assert story.do(Started(second.id, second.issue)).ignored is None
    assert story.at == "init_ensure_name"


def test_lost_session_of_yesterday_is_no_news() -> None:
    """A loss that names another session than the tab's changes nothing, and so does one of a tab nobody knows."""
    story = g.session_lost()
    story.get_session("s2")
    assert story.do(SessionLost(TAB, 1, 1, "late")).ignored == "the tab has another session"
    assert story.do(SessionLost(TAB_2, 1, 1, "late")).ignored == "the tab has another session"
    assert story.tab().at == "ready"


def test_lost_session_is_lost_once() -> None:
    """The same loss a second time changes nothing, so one loss costs one session."""
    story = g.session_lost()
    assert story.do(SessionLost(TAB, 1, 1, "the agent's process ended")).ignored
    assert story.tab().session == 2


def test_lost_session_of_a_closed_tab_is_no_news() -> None:
    """A tab that is closed has nothing to lose."""
    story = g.closed()
    assert story.do(SessionLost(TAB, 1, 1, "late")).ignored == "the tab is closed"


def test_lost_sandbox_of_another_name_is_no_news() -> None:
    """Only the loss of the task's own sandbox counts, and only once."""
    story = g.idle()
    assert story.do(SandboxLost("td-other-task-1-g1", "late")).ignored == "the task has another sandbox"
    story.lose_sandbox()
    assert story.lose_sandbox().ignored == "the task is running"


@pytest.mark.parametrize(
    "given", [g.queued, g.looking, g.observing, g.rescuing, g.replacing, g.STOP.ending, g.STOP.done]
)
def test_lost_sandbox_is_no_news_to_who_looks_or_leaves(given: g.Given[TaskStory]) -> None:
    """A task that has no sandbox, looks at it already or ends it learns nothing from its loss."""
    story = given()
    assert story.do(SandboxLost(story.task.sandbox.name, "late")).ignored


def test_progress_after_the_step_is_dropped() -> None:
    """A sentence about a copy has no step to stand in."""
    story = g.copying()
    intent = next(iter(claimed(story)))
    assert story.do(Progressed(intent.id, intent.issue, "half way")).ignored == "no step is under way"


def test_wake_of_a_closed_tab_does_not_ring() -> None:
    """The clock of a closing tab is taken back when the tab is closed before."""
    story = g.closed()
    assert story.kinds() == []
    assert story.do(CloseTab(TAB)).ignored


def test_fact_about_another_kind_of_intent_changes_nothing() -> None:
    """A receipt that names an intent which sends nothing is ignored, like one that names none."""
    story = g.creating()
    intent = next(iter(claimed(story)))
    assert story.do(Delivered(intent.id, intent.issue)).ignored


def test_receipt_before_the_start_changes_nothing() -> None:
    """Nothing can have been delivered before an execution said that it begins."""
    story = g.sending()
    story.send("msg-2")
    assert story.deliver().ignored
    assert len(story.open(SendPrompt)) == 1


def test_end_of_a_turn_that_never_began_leaves_nothing_behind() -> None:
    """An end without a start settles the message all the same: nothing stays in `sending` without a prompt."""
    story = g.sending()
    story.end_turn()
    assert story.message().at != "sending" or story.open(SendPrompt)


def test_fact_about_no_task_changes_nothing() -> None:
    """What is told of a task that is not there is ignored, with the reason; only a command is refused."""
    for fact in (SandboxLost("td-other-task-1-g1", "late"), SessionLost(TAB, 1, 1, "late")):
        assert g.no_task().do(fact).ignored == "there is no such task"
