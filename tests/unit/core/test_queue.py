"""Stories of the queue: what waits can be seen, changed and taken back, and nothing is sent while it is held."""

import pytest
from attrs import evolve

from taskdock.core import intents
from taskdock.core.errors import CapacityExceeded, Conflict, NotFound
from taskdock.core.inputs import (
    CancelTurn,
    EditMessage,
    RenameTab,
    ResumeQueue,
    SetModel,
    TurnEnd,
    WithdrawMessage,
)
from taskdock.core.message import MessageText
from unit.core import givens as g
from unit.core.story import MESSAGE, MESSAGE_2, TAB, TaskStory, kinds_of


def text_of(story: TaskStory, message: str) -> str:
    """What a message says."""
    return story.boundary.get(MessageText, message).text


def test_queued_message_is_edited_in_its_place() -> None:
    """The text changes, the order does not."""
    story = g.delivered()
    for message in ("msg-2", "msg-3"):
        story.send(message)
    story.do(EditMessage(TAB, "msg-2", "Rather this."))
    assert text_of(story, "msg-2") == "Rather this."
    story.end_turn()
    assert [story.message(f"msg-{number}").at for number in (2, 3)] == ["sending", "queued"]


def test_queued_message_is_withdrawn() -> None:
    """It is never sent, and what is behind it is next."""
    story = g.delivered()
    for message in ("msg-2", "msg-3"):
        story.send(message)
    assert kinds_of(story.do(WithdrawMessage(TAB, "msg-2")))[1] == "message.withdrawn"
    story.end_turn()
    assert (story.message("msg-2").at, story.message("msg-3").at) == ("withdrawn", "sending")


@pytest.mark.parametrize("command", [EditMessage(TAB, MESSAGE, "No."), WithdrawMessage(TAB, MESSAGE)])
def test_message_on_its_way_is_left_alone(command: EditMessage | WithdrawMessage) -> None:
    """What is being sent is neither changed nor taken back; what is final, or never was there, is not found."""
    with pytest.raises(Conflict, match="sending") as rejected:
        g.sending().do(command)
    assert "send" in rejected.value.available_actions
    with pytest.raises(NotFound):
        g.delivered().do(command)


def test_held_queue_goes_on_when_it_is_resumed() -> None:
    """Without another message, in its order."""
    story = g.held()
    assert kinds_of(story.do(ResumeQueue(TAB))) == ("SendPrompt", "")
    assert (story.message(MESSAGE_2).at, story.tab().held) == ("sending", False)
    assert story.do(ResumeQueue(TAB)).ignored == "its queue is not held"


def test_resumed_queue_resumes_a_stopped_task() -> None:
    """Who wants the queue to go on wants the task to."""
    story = g.held()
    story.stop()
    story.collect("c2")
    story.stop_sandbox()
    story.do(ResumeQueue(TAB))
    assert story.at == "init_create_sandbox/create"


def test_cancelled_turn_ends_when_the_agent_says_so() -> None:
    """The cancel is asked for once; the end holds the queue, and takes what was left of the cancel with it."""
    story = g.cancelling()
    story.send(MESSAGE_2)
    assert story.do(CancelTurn(TAB)).ignored == "cancel is under way already"
    story.end_turn(TurnEnd.CANCELLED)
    assert (story.tab().turn.at, story.tab().held, story.tab().last_end) == ("none", True, TurnEnd.CANCELLED)
    assert (story.open(intents.CancelTurn), story.reasons()) == ([], [])


def test_cancel_never_reaches_the_next_turn() -> None:
    """A cancel that was not carried out before its turn ended is taken back, also when that turn completed."""
    story = g.cancelling()
    story.send(MESSAGE_2)
    story.end_turn(TurnEnd.COMPLETED)
    assert (story.message(MESSAGE_2).at, story.open(intents.CancelTurn)) == ("sending", [])


def test_turn_that_ignores_its_cancel_loses_its_agent() -> None:
    """After ten seconds the agent process is replaced; the session goes on, the turn does not."""
    story = g.cancelling()
    clock = story.open(intents.Wake)[0]
    assert clock.not_before is not None
    assert (clock.not_before - story.now).total_seconds() == 10.0
    change = story.wake("cancelling")
    assert kinds_of(change) == ("ResumeSession CollectWork", "turn.ended")
    assert (story.tab().at, story.tab().turn.at, story.tab().last_end) == (
        "pending_session_create", "none", TurnEnd.INTERRUPTED,
    )  # fmt: skip


def test_cancel_without_a_turn_is_a_conflict() -> None:
    """There is nothing to cancel before a turn began and after it ended."""
    for given in (g.sending, g.idle, g.KILL.done):
        with pytest.raises(Conflict, match="No turn"):
            given().do(CancelTurn(TAB))


def test_model_counts_from_the_next_prompt_on() -> None:
    """The turn that runs keeps its model; what is sent next carries the new one."""
    story = g.delivered()
    story.do(SetModel(TAB, "large"))
    story.send(MESSAGE_2)
    story.end_turn()
    body = story.open(intents.SendPrompt)[0].body
    assert isinstance(body, intents.SendPrompt)
    assert body.settings == intents.SessionSettings("large", None)
    assert story.do(SetModel(TAB, "large")).ignored == "it has this model already"


@pytest.mark.parametrize("given", [g.creating, g.held, g.closed, g.STOP.done, g.ARCHIVE.done, g.KILL.done])
def test_names_move_no_status(given: g.Given[TaskStory]) -> None:
    """A tab is renamed in every status, and that is all that changes."""
    story = given()
    before = story.tab()
    change = story.do(RenameTab(TAB, "Review"))
    assert (story.tab().name, story.tab().at, kinds_of(change)) == ("Review", before.at, ("", ""))
    assert story.do(RenameTab(TAB, "Review")).ignored == "it has this name already"


def test_stopped_queue_stays_open() -> None:
    """What waits in a stopped task can be edited and withdrawn without waking it."""
    story = g.held()
    story.stop()
    story.collect("c2")
    story.stop_sandbox()
    story.do(EditMessage(TAB, MESSAGE_2, "Rather this."))
    story.do(WithdrawMessage(TAB, MESSAGE_2))
    assert (story.at, story.message(MESSAGE_2).at) == ("stopped", "withdrawn")


def test_queue_is_bounded() -> None:
    """A tab in which as many messages wait as may turns the next one away and says what makes room; nothing is lost."""
    story = g.delivered()
    story.boundary.figures = evolve(story.boundary.figures, waiting_max=2)
    for message in ("msg-2", "msg-3"):
        story.send(message)
    with pytest.raises(CapacityExceeded, match="2 messages wait") as refused:
        story.send("msg-4")
    assert refused.value.retry_after_seconds > 0
    story.do(WithdrawMessage(TAB, "msg-3"))
    story.send("msg-4")
    assert story.message("msg-4").at == "queued"
