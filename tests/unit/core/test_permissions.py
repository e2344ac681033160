"""Stories of permissions: asked in a turn, answered once, and never allowed by silence."""

import pytest

from taskdock.core import intents
from taskdock.core.errors import Conflict, InvalidCommand, NotFound
from taskdock.core.inputs import AnswerPermission, Asked, CancelTurn, PermissionAsked
from taskdock.core.task_record import Activity
from unit.core import givens as g
from unit.core.story import MESSAGE_2, OPTIONS, PERMISSION, TAB, TRANSIENT, TaskStory, kinds_of


def answer(story: TaskStory, option: str | None, permission: str = PERMISSION) -> object:
    """The user answers."""
    return story.do(AnswerPermission(TAB, permission, option))


def given_answers(story: TaskStory) -> list[tuple[str, str | None]]:
    """What the agent is about to be told."""
    bodies = [intent.body for intent in story.open(intents.AnswerPermission)]
    return [(b.permission_id, b.option_id) for b in bodies if isinstance(b, intents.AnswerPermission)]


@pytest.mark.parametrize(("option", "at"), [("yes", "answered"), ("no", "answered"), (None, "cancelled")])
def test_answer_goes_to_the_agent(option: str | None, at: str) -> None:
    """Allowed, rejected or cancelled: the agent is told that, and the clock is taken back."""
    story = g.asked()
    answer(story, option)
    assert (story.permission().at, story.permission().option_id) == (at, option)
    assert given_answers(story) == [(PERMISSION, option)]
    assert story.reasons() == []


def test_same_answer_again_changes_nothing() -> None:
    """A client that asks twice is no error."""
    story = g.answered()
    assert story.do(AnswerPermission(TAB, PERMISSION, "yes")).ignored
    assert story.do(AnswerPermission(TAB, PERMISSION, "yes")).ignored
    assert len(given_answers(story)) == 1


@pytest.mark.parametrize("option", ["no", None])
def test_other_answer_is_a_conflict(option: str | None) -> None:
    """What was answered is answered."""
    story = g.answered()
    with pytest.raises(Conflict):
        answer(story, option)
    assert story.permission().option_id == "yes"


def test_option_that_is_not_offered_is_invalid() -> None:
    """Only what the agent offers can be chosen, and the refusal names that."""
    with pytest.raises(InvalidCommand, match="yes, no"):
        answer(g.asked(), "maybe")


def test_permission_of_no_turn_is_not_found() -> None:
    """A permission ends with its turn."""
    story = g.asked()
    story.end_turn()
    with pytest.raises(NotFound):
        answer(story, "yes")


def test_silence_is_no_allowance() -> None:
    """After an hour the request is cancelled, which is never an allowance; the turn goes on."""
    story = g.asked()
    clock = story.open(intents.Wake)[0]
    assert clock.not_before is not None
    assert (clock.not_before - story.now).total_seconds() == 3600.0
    story.wake("permission")
    assert (story.permission().at, given_answers(story)) == ("cancelled", [(PERMISSION, None)])
    assert story.tab().turn.at == "running"


def test_asked_again_is_asked_once() -> None:
    """An agent's log that is read twice asks nothing twice."""
    story = g.asked()
    assert story.ask().ignored == "it is known already"
    answer(story, "yes")
    assert story.ask().ignored == "it is known already"


def test_several_requests_stand_side_by_side() -> None:
    """Each has its own answer and its own clock, whatever their ids look like."""
    story = g.delivered()
    for permission in ("a", "a:b"):
        story.ask(permission=permission)
    answer(story, "yes", "a")
    assert (story.permission("a").at, story.permission("a:b").at) == ("answered", "asked")
    assert story.reasons() == ["permission"]


@pytest.mark.parametrize("message", [MESSAGE_2, "msg-404"])
def test_request_of_another_turn_is_over(message: str) -> None:
    """What was asked in a turn that is over asks nobody."""
    story = g.delivered()
    assert story.do(PermissionAsked(TAB, message, "p", "Run?", OPTIONS)).ignored
    assert g.idle().ask().ignored == "the turn in which it was asked is over"


def test_turn_that_is_to_end_asks_nobody() -> None:
    """What an agent still asks, or asks after its turn was cancelled, is cancelled, so that the turn can end."""
    story = g.asked()
    story.do(CancelTurn(TAB))
    assert (story.permission().at, given_answers(story)) == ("cancelled", [(PERMISSION, None)])
    change = story.ask(permission="perm-2")
    assert kinds_of(change)[1] == "permission.asked permission.answered"
    assert story.permission("perm-2").at == "cancelled"


@pytest.mark.parametrize("end", [TaskStory.stop, TaskStory.archive, TaskStory.kill])
def test_ending_task_asks_nobody(end: object) -> None:
    """A stop, an archive and a kill cancel what is asked."""
    story = g.asked()
    assert callable(end)
    end(story)
    assert story.permission().at == "cancelled"


def test_answer_survives_a_failed_delivery() -> None:
    """An answer that could not be given is given again, three times in all, and belongs to its turn."""
    story = g.answered()
    story.fail(intents.AnswerPermission, TRANSIENT)
    assert story.open(intents.AnswerPermission)[0].attempt == 2
    story.end_turn()
    assert given_answers(story) == []
    story = g.answered()
    story.succeed(intents.AnswerPermission, Asked())
    assert story.permission().at == "answered"


def test_task_that_is_asked_needs_somebody() -> None:
    """The list shows it, until it is answered."""
    assert g.delivered().task.activity is Activity.WORKING
    assert g.asked().task.activity is Activity.NEEDS_YOU
    assert g.answered().task.activity is Activity.WORKING
