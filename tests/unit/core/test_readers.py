"""Readers: what somebody has read of a tab and is writing there is kept beside the tab, whatever becomes of the task."""

import pytest

from taskdock.core.errors import NotFound
from taskdock.core.inputs import Input, MarkRead, SetDraft
from taskdock.core.reader import DraftText, ReadMarker
from unit.core import givens as g
from unit.core.story import TAB, TASK, TaskStory

IN_EVERY_STATUS = [g.creating, g.idle, g.closed, g.failed_creating, g.STOP.done, g.ARCHIVE.done, g.KILL.done]


@pytest.mark.parametrize(("said", "kept"), [(0, 0), (1, 1), (2, 2), (3, 2), (1000, 2)])
def test_nobody_has_read_more_turns_than_have_ended(said: int, kept: int) -> None:
    """The marker says how many of the ended turns were read; one that says more means all of them."""
    story = g.idle()
    story.send("msg-2")
    story.whole_turn()
    assert story.tab().turns_ended == 2
    change = story.do(MarkRead(TAB, "me", said))
    assert change.records == (ReadMarker(f"{TAB}/me", TAB, TASK, "me", kept),)


@pytest.mark.parametrize("text", ["And then", ""])
def test_draft_is_kept_as_it_is(text: str) -> None:
    """The last one wins, an empty one too, each principal for itself."""
    for principal in ("me", "you"):
        change = g.idle().do(SetDraft(TAB, principal, text))
        assert change.records == (DraftText(f"{TAB}/{principal}", TAB, TASK, principal, text),)


@pytest.mark.parametrize("given", IN_EVERY_STATUS)
@pytest.mark.parametrize("command", [MarkRead(TAB, "me", 0), SetDraft(TAB, "me", "Hm.")])
def test_readers_are_heard_in_every_status(given: g.Given[TaskStory], command: Input) -> None:
    """Reading and writing decide nothing, so no status refuses them, and nothing but them is written."""
    change = given().do(command)
    assert (len(change.records), change.history, change.ordered) == (1, (), ())


@pytest.mark.parametrize("command", [MarkRead("tab-9", "me", 0), SetDraft("tab-9", "me", "Hm.")])
def test_reader_of_an_unknown_tab_is_told(command: Input) -> None:
    """A tab that is not there has no readers."""
    with pytest.raises(NotFound, match="tab-9"):
        g.idle().do(command)
