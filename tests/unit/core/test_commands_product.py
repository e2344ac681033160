"""Commands: every one of them, in every status of task and tab, moves something, says why not, or says what fits instead."""

from collections.abc import Callable, Iterator
from typing import get_args

import pytest

from taskdock.core import inputs
from taskdock.core.change import Change
from taskdock.core.errors import Conflict, InvalidCommand, NotFound
from taskdock.core.inputs import TaskCommand
from taskdock.core.message import Message
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from unit.core.givens import TASKS
from unit.core.product import answer, task_commands
from unit.core.story import TAB, TaskStory

EVERY = [pytest.param(given, id=name) for name, given in TASKS.items() if name != "no_task"]


def to_this_tab() -> Iterator[TaskCommand]:
    """The commands that name the task or its first tab, so that `NotFound` can only be about what is in the tab."""
    for command in task_commands():
        if getattr(command, "tab_id", TAB) == TAB or isinstance(command, inputs.OpenTab):
            yield command


@pytest.mark.parametrize("given", EVERY)
def test_every_command_is_answered(given: Callable[[], TaskStory]) -> None:
    """A Change, an 'ignored because', or a rejection in a sentence; a Conflict tells the status and what fits now."""
    story = given()
    for command in task_commands():
        match answer(story, command):
            case Change(ignored=None) as change:
                assert change.version == story.boundary.version + 1
            case Change(ignored=reason):
                assert reason
            case Conflict() as conflict:
                assert conflict.status
                assert "rename" in conflict.available_actions or isinstance(_named(story, command), Message)
                assert conflict.message.endswith(".")
            case NotFound() | InvalidCommand() as rejected:
                assert rejected.message
            case rejected:
                raise AssertionError(f"{command} was rejected with {rejected!r}")


def _named(story: TaskStory, command: TaskCommand) -> Task | Tab | Message | None:
    message_id = getattr(command, "message_id", None)
    return next((one for one in story.boundary.all(Message) if one.id == message_id), None)


@pytest.mark.parametrize("given", EVERY)
def test_not_found_is_only_what_is_not_there(given: Callable[[], TaskStory]) -> None:
    """A command about a task and a tab that are there is never answered as if they were not."""
    story = given()
    for command in to_this_tab():
        if isinstance(answer(story, command), NotFound):
            assert isinstance(
                command, inputs.EditMessage | inputs.WithdrawMessage | inputs.AnswerPermission
            ), command


@pytest.mark.parametrize("given", EVERY)
def test_what_is_done_is_done_once(given: Callable[[], TaskStory]) -> None:
    """A command that was just taken is no error when it comes again: it changes nothing, or fits once more."""
    start = given()
    for command in task_commands():
        if isinstance(command, NOT_THE_SAME_TWICE) or not _is_taken(start, command):
            continue
        story = start.copy()
        story.do(command)
        again = answer(story, command)
        assert isinstance(again, Change), f"{command}: {again!r}"


NOT_THE_SAME_TWICE = (
    # The id was taken by the first one.
    inputs.OpenTab,
    inputs.SendMessage,
    # The second one asks for something that is not there any more.
    inputs.WithdrawMessage,
    inputs.RetryTask,
    inputs.RetryTab,
    inputs.UnarchiveTask,
)


def _is_taken(story: TaskStory, command: TaskCommand) -> bool:
    answered = answer(story, command)
    return isinstance(answered, Change) and answered.ignored is None


def test_product_has_every_command() -> None:
    """No command is left out."""
    assert {type(command) for command in task_commands()} == set(get_args(TaskCommand))


@pytest.mark.parametrize("command", list(task_commands()), ids=str)
def test_command_to_no_task_is_not_found(command: TaskCommand) -> None:
    """Where there is no task, every command says so."""
    assert isinstance(answer(TASKS["no_task"](), command), NotFound)
