"""Commands: what is refused says what it was refused for, and what is taken is taken to the last field."""

import pytest
from attrs import evolve

from taskdock.core.errors import CapacityExceeded, Conflict, InvalidCommand, NotFound
from taskdock.core.inputs import (
    AnswerPermission,
    ArchiveTask,
    EditMessage,
    Input,
    KillTask,
    OpenTab,
    RenameTab,
    ResumeQueue,
    ResumeTask,
    RetryTab,
    RetryTask,
    SetModel,
    StopTask,
    UnarchiveTask,
    WithdrawMessage,
)
from taskdock.core.message import Message
from unit.core import givens as g
from unit.core.story import MESSAGE, MESSAGE_2, PERMISSION, TAB, TAB_2, TASK, TaskStory, a_create, a_task

EDIT = EditMessage(TAB, MESSAGE, "Rather this.")


@pytest.mark.parametrize(
    ("given", "command", "why"),
    [
        (g.working, EDIT, "A message that is sending cannot be asked to edit."),
        (g.working, WithdrawMessage(TAB, MESSAGE), "A message that is sending cannot be asked to withdraw."),
        (g.answered, AnswerPermission(TAB, PERMISSION, "no"), "The permission was answered already: yes."),
        (
            g.refused,
            AnswerPermission(TAB, PERMISSION, "yes"),
            "The permission was answered already: cancelled.",
        ),
        (g.idle, RetryTab(TAB), "A tab that is ready cannot be asked to retry."),
        (g.failed_looking, RetryTab(TAB), "A tab that is error cannot be asked to retry. Retry its task."),
    ],
)
def test_conflict_says_what_is_in_the_way(given: g.Given[TaskStory], command: Input, why: str) -> None:
    """The sentence names the status, and what was asked of it."""
    with pytest.raises(Conflict) as rejected:
        given().do(command)
    assert str(rejected.value) == why


def test_option_that_was_not_offered_names_its_field() -> None:
    """An answer that the agent does not offer is a wrong request, not a wrong time."""
    with pytest.raises(InvalidCommand) as rejected:
        g.asked().do(AnswerPermission(TAB, PERMISSION, "perhaps"))
    assert rejected.value.field == "option"


def test_message_of_another_tab_is_not_there() -> None:
    """A message is named with its own tab."""
    story = g.two_tabs_creating()
    for command in (EditMessage(TAB_2, MESSAGE, "Rather this."), WithdrawMessage(TAB, MESSAGE_2)):
        with pytest.raises(NotFound):
            story.do(command)


def test_message_is_new_when_it_is_sent() -> None:
    """A message stands in its tab with its number and its time."""
    story = g.held()
    before = story.tab()
    story.send("msg-9")
    sent = story.message("msg-9")
    assert (sent.task_id, sent.tab_id, sent.number) == (TASK, TAB, before.messages_sent + 1)
    story = g.creating()
    story.send("msg-9")
    assert story.message("msg-9") == Message("msg-9", TASK, TAB, 2, story.now, story.now, "queued")


def test_tab_may_have_a_model_of_its_own() -> None:
    """A tab takes the model that it is opened with, else that of its task; the mode is the task's."""
    story = a_task()
    story.do(evolve(a_create(), model="large", permission_mode="plan"))
    story.do(OpenTab(TAB_2, model="small"))
    story.do(OpenTab("tab-3"))
    models = [(story.tab(tab).model, story.tab(tab).permission_mode) for tab in (TAB, TAB_2, "tab-3")]
    assert models == [("large", "plan"), ("small", "plan"), ("large", "plan")]


@pytest.mark.parametrize(
    ("given", "command", "changed"),
    [
        (g.idle, RenameTab(TAB, "Tests"), {"name": "Tests"}),
        (g.idle, SetModel(TAB, "small"), {"model": "small"}),
        (g.held, ResumeQueue(TAB), {"held": False}),
    ],
)
def test_tab_says_when_it_was_changed(
    given: g.Given[TaskStory], command: Input, changed: dict[str, object]
) -> None:
    """What was asked for is changed, with the time, and nothing else."""
    story = given()
    before = story.tab()
    story.do(command)
    assert story.tab() == evolve(before, updated_at=story.now, **changed)  # type: ignore[arg-type]


def test_full_queue_says_when_to_come_back() -> None:
    """A tab whose queue is full takes no more messages, and says after how long to try again."""
    story = g.creating()
    story.boundary.figures = evolve(story.boundary.figures, waiting_max=2)
    story.send(MESSAGE_2)
    with pytest.raises(CapacityExceeded) as rejected:
        story.send("msg-3")
    assert rejected.value.retry_after_seconds == 60.0


@pytest.mark.parametrize(
    ("given", "command"),
    [
        (g.STOP.settling, StopTask()),
        (g.STOP.ending, StopTask()),
        (g.STOP.done, StopTask()),
        (g.ARCHIVE.settling, ArchiveTask()),
        (g.ARCHIVE.ending, ArchiveTask()),
        (g.ARCHIVE.done, ArchiveTask()),
        (g.KILL.settling, KillTask()),
        (g.KILL.ending, KillTask()),
        (g.KILL.done, KillTask()),
        (g.RESUMED["stopping/stop"], ResumeTask()),
    ],
)
def test_what_is_under_way_already_is_a_success(given: g.Given[TaskStory], command: Input) -> None:
    """Whoever asks for what is happening, or is done, gets it without a change."""
    asked = type(command).__name__.removesuffix("Task").lower()
    assert given().do(command).ignored == f"{asked} is under way already"


@pytest.mark.parametrize(
    ("given", "command", "why"),
    [
        (g.STOP.done, UnarchiveTask(), "A task that is stopped cannot be asked to unarchive."),
        (g.ARCHIVE.done, StopTask(), "A task that is archived cannot be asked to stop."),
        (g.KILL.settling, ArchiveTask(), "A task that is killing cannot be asked to archive."),
        (g.KILL.done, ResumeTask(), "A task that is killed cannot be asked to resume."),
        (g.idle, RetryTask(), "A task that is running cannot be asked to retry."),
    ],
)
def test_what_does_not_fit_the_task_is_refused(given: g.Given[TaskStory], command: Input, why: str) -> None:
    """Only what is under way is a success: anything else without a row is a Conflict that names the status."""
    with pytest.raises(Conflict) as rejected:
        given().do(command)
    assert (str(rejected.value), rejected.value.record_id) == (why, TASK)


@pytest.mark.parametrize("given", [g.idle, g.naming, g.looking])
def test_task_that_is_up_needs_no_resume(given: g.Given[TaskStory]) -> None:
    """Resuming what runs, or is on its way, is a success without a change."""
    assert given().do(ResumeTask()).ignored == "the task is up, or on its way"
