"""Policies: what the status of a task means for its tabs, and of a tab for its messages, where both move in one step."""

import pytest

from taskdock.core import intents
from unit.core import givens as g
from unit.core.story import MESSAGE_2, PERMANENT, TAB, TAB_2, TRANSIENT, TaskStory


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
