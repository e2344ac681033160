"""Activity: one word for lists, which says what a task is about, or whom it waits for."""

from collections.abc import Callable

import pytest

from taskdock.core.activity import activity_of
from taskdock.core.inputs import TurnEnd
from taskdock.core.message import Message
from taskdock.core.tab import Tab
from unit.core import givens as g
from unit.core.story import TAB, TaskStory


def held_without_a_queue() -> TaskStory:
    """A turn did not complete, and nothing waits behind it."""
    story = g.working()
    story.end_turn(TurnEnd.FAILED)
    return story


def stalled() -> TaskStory:
    """The first message waits in a tab whose session is made anew."""
    story = g.session_lost()
    story.send("msg-9")
    return story


@pytest.mark.parametrize(
    ("given", "activity"),
    [
        (g.waiting_for_repo, "provisioning"),
        (g.queued, "provisioning"),
        (g.naming, "provisioning"),
        (g.creating, "provisioning"),
        (g.starting_agent, "provisioning"),
        (g.opening_session, "provisioning"),
        (g.observing, "provisioning"),
        (g.replacing, "provisioning"),
        (g.sending, "working"),
        (g.working, "working"),
        (g.delivered, "working"),
        (g.cancelling, "working"),
        (stalled, "working"),
        (g.looking_mid_turn, "working"),
        (g.idle, "idle"),
        (g.looking, "idle"),
        (g.session_lost, "idle"),
        (g.closed, "idle"),
        (g.closing_mid_turn, "idle"),
        (held_without_a_queue, "idle"),
        (g.asked, "needs_you"),
        (g.answered, "working"),
        (g.held, "needs_you"),
        (g.second_tab_failed, "needs_you"),
        (g.failed_creating, "failed"),
        (g.failed_looking, "failed"),
        (g.STOP.failed_ending, "failed"),
        (g.KILL.failed_ending, "failed"),
        (g.STOP.settling, "stopped"),
        (g.STOP.ending, "stopped"),
        (g.STOP.done, "stopped"),
        (g.ARCHIVE.settling, "archived"),
        (g.ARCHIVE.done, "archived"),
        (g.KILL.settling, "archived"),
        (g.KILL.done, "archived"),
    ],
)
def test_activity_is_the_first_word_that_fits(given: Callable[[], TaskStory], activity: str) -> None:
    """A task that runs needs somebody, works or is idle, by its open tabs; one that does not is what its status is about."""
    assert given().task.activity.value == activity


def test_only_a_queue_that_waits_behind_a_turn_needs_somebody() -> None:
    """A held tab is nothing to do about until something is queued in it; the user's next message lifts the hold."""
    story = held_without_a_queue()
    assert (story.tab(TAB).held, story.task.activity.value) == (True, "idle")
    story = g.held()
    assert (story.tab(TAB).held, story.task.activity.value) == (True, "needs_you")
    story.send("msg-9")
    assert (story.tab(TAB).held, story.task.activity.value) == (False, "working")


@pytest.mark.parametrize("given", [pytest.param(v, id=k) for k, v in g.TASKS.items() if k != "no_task"])
def test_activity_is_always_the_projection(given: g.Given[TaskStory]) -> None:
    """The word that is stored is the one that status, tabs and queues give."""
    story = given()
    waiting = {m.tab_id for m in story.boundary.all(Message) if m.at in ("queued", "sending")}
    tabs = story.boundary.all(Tab)
    assert story.task.activity is activity_of(story.task, tabs, lambda tab_id: tab_id in waiting)
