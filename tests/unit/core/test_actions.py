"""Available actions: what a client is offered is what `step` accepts, and what it is not offered changes nothing."""

from collections.abc import Callable, Iterator

import pytest

from taskdock.core import repo_boundary, task_boundary
from taskdock.core.change import Change
from taskdock.core.errors import Conflict
from taskdock.core.inputs import (
    CloseTab,
    Input,
    KillTask,
    OpenTab,
    RetryRepo,
    RetryTab,
    RetryTask,
    SendMessage,
)
from taskdock.core.tab import Tab
from unit.core import givens as g
from unit.core.givens import REPOS, TASKS
from unit.core.product import answer
from unit.core.story import TAB, TAB_2, TASK, RepoStory, Story, TaskStory

TASK_COMMANDS: dict[str, Input] = {"retry": RetryTask(), "kill": KillTask(), "open_tab": OpenTab("tab-9")}


def tab_commands(tab_id: str) -> dict[str, Input]:
    """The least that each action of a tab needs to be valid: closing needs force when messages are queued."""
    return {
        "retry": RetryTab(tab_id),
        "close": CloseTab(tab_id, force=True),
        "send": SendMessage(tab_id, "msg-9", "Go."),
    }


def commands(story: TaskStory) -> Iterator[tuple[str, str, Input]]:
    """Every action on every record: the record, the action, its command."""
    yield from ((TASK, action, command) for action, command in TASK_COMMANDS.items())
    for tab in story.boundary.all(Tab):
        yield from ((tab.id, action, command) for action, command in tab_commands(tab.id).items())


def is_accepted(story: Story, command: Input) -> bool:
    """Whether the command changes anything."""
    answered = answer(story, command)
    return isinstance(answered, Change) and answered.ignored is None


@pytest.mark.parametrize(
    "given", [pytest.param(given, id=name) for name, given in TASKS.items() if name != "no_task"]
)
def test_offered_is_accepted(given: Callable[[], TaskStory]) -> None:
    """An action is offered exactly when its command changes something; the others are rejected or done already."""
    story = given()
    offered = task_boundary.available_actions(story.boundary.slice)
    assert offered.keys() == {TASK, *(tab.id for tab in story.boundary.all(Tab))}
    for record, action, command in commands(story):
        assert is_accepted(story, command) is (action in offered[record]), f"{action} of {record}"


@pytest.mark.parametrize(
    "given", [pytest.param(given, id=name) for name, given in TASKS.items() if name != "no_task"]
)
def test_conflict_names_what_is_offered(given: Callable[[], TaskStory]) -> None:
    """A rejected command tells the status of its record and the actions that the record offers now."""
    story = given()
    offered = task_boundary.available_actions(story.boundary.slice)
    statuses = {TASK: story.task.status, **{tab.id: tab.status for tab in story.boundary.all(Tab)}}
    for record, _, command in commands(story):
        conflict = answer(story, command)
        if isinstance(conflict, Conflict):
            assert conflict.available_actions == offered[record]
            assert conflict.status == statuses[record].value


@pytest.mark.parametrize(
    ("given", "task", "tab"),
    [
        (g.waiting_for_repo, "kill open_tab", "close send"),
        (g.creating, "kill open_tab", "close send"),
        (g.idle, "kill open_tab", "close send"),
        (g.closing_idle, "kill open_tab", ""),
        (g.closed, "kill open_tab", ""),
        (g.failed_creating, "retry kill open_tab", "close send"),
        (g.failed_session, "retry kill open_tab", "close send"),
        (g.settling, "", ""),
        (g.collecting, "", ""),
        (g.failed_collecting, "retry kill", ""),
        (g.failed_destroying, "retry kill", ""),
        (g.killed, "", ""),
    ],
)
def test_offers_by_status(given: Callable[[], TaskStory], task: str, tab: str) -> None:
    """The offers of a task and of its first tab, status by status."""
    offered = task_boundary.available_actions(given().boundary.slice)
    assert " ".join(offered[TASK]) == task
    assert " ".join(offered[TAB]) == tab


def test_failed_session_of_a_running_task_can_be_retried() -> None:
    """A tab that failed on its own offers retry, while its neighbour does not."""
    offered = task_boundary.available_actions(g.second_tab_failed().boundary.slice)
    assert offered[TAB_2] == ("retry", "close", "send")
    assert offered[TAB] == ("close", "send")


@pytest.mark.parametrize(
    "given", [pytest.param(given, id=name) for name, given in REPOS.items() if name != "no_repo"]
)
def test_repo_offers_what_it_accepts(given: Callable[[], RepoStory]) -> None:
    """A repo offers retry exactly when it takes it, and its conflict says so."""
    story = given()
    offered = repo_boundary.available_actions(story.boundary.slice)
    assert is_accepted(story, RetryRepo()) is ("retry" in offered)
    if not offered:
        with pytest.raises(Conflict) as rejected:
            story.boundary.decide(RetryRepo(), story.now)
        assert rejected.value.status == story.repo.status.value
        assert rejected.value.available_actions == ()
