"""Draft: whatever is done in it is a change, and where nothing is done there is none."""

from collections.abc import Callable

import pytest
from attrs import evolve

from taskdock.core.change import Change, Draft, Place, Slice
from taskdock.core.errors import InvariantViolated
from taskdock.core.history import HistoryKind
from taskdock.core.intents import CollectWork, Figures, Wake
from taskdock.core.task import Task
from unit.core import givens as g

STORY = g.copying()
SLICE = STORY.boundary.slice


def a_draft() -> Draft:
    """Of a task whose work is being collected."""
    return Draft(SLICE, STORY.now, Figures())


def put(draft: Draft) -> None:
    """Change a record."""
    draft.put(evolve(STORY.task, title="Another"))


def note(draft: Draft) -> None:
    """Tell something."""
    draft.note(HistoryKind.TASK_RESUMED)


def order(draft: Draft) -> None:
    """Want something done."""
    draft.order(Wake("settle"), Place("settle", "wake"))


def start(draft: Draft) -> None:
    """Remember that it may have called outside."""
    draft.mark_started(draft.intents(CollectWork)[0])


def close(draft: Draft) -> None:
    """Take its outcome."""
    draft.close(draft.intents(CollectWork)[0])


def cancel(draft: Draft) -> None:
    """Not want it any more."""
    draft.cancel(draft.intents(CollectWork)[0])


@pytest.mark.parametrize("what", [put, note, order, start, close, cancel])
def test_anything_that_is_done_is_a_change(what: Callable[[Draft], None]) -> None:
    """One thing alone is enough for a new version, and cannot be ignored."""
    draft = a_draft()
    what(draft)
    change = draft.freeze()
    assert (change.ignored, change.expect_version, change.version) == (None, SLICE.version, SLICE.version + 1)
    with pytest.raises(InvariantViolated, match="too late"):
        draft.freeze("too late")


def test_nothing_that_is_done_is_no_change() -> None:
    """A step that did nothing says so, or says why; it leaves the boundary where it was, with as many runs."""
    same = Change(
        SLICE.boundary, SLICE.workspace, SLICE.version, runs=SLICE.runs, ignored="it changes nothing"
    )
    assert SLICE.runs > 0
    assert a_draft().freeze() == same
    assert a_draft().freeze("it is stale") == evolve(same, ignored="it is stale")
    assert same.version == SLICE.version


def test_what_is_put_as_it_was_is_no_change() -> None:
    """A record that is written as it stands is not written."""
    draft = a_draft()
    draft.put(draft.get(Task, STORY.task.id))
    assert draft.freeze().ignored == "it changes nothing"


def test_intent_that_is_taken_back_at_once_never_was() -> None:
    """What is ordered and cancelled in one step is neither in the Change; its number is not used again."""
    draft = a_draft()
    order(draft)
    draft.cancel_wakes("settle")
    note(draft)
    change = draft.freeze()
    assert (change.ordered, change.cancelled, change.runs) == ((), (), SLICE.runs + 1)


def test_slice_of_what_is_not_there_is_empty() -> None:
    """A boundary that nobody has written yet has version 0, no runs and nothing in it; its Change is the first."""
    empty = Slice("task-9", "default")
    assert (empty.version, empty.runs, empty.records, empty.intents) == (0, 0, (), ())
    first = Change("task-9", "default", 0)
    assert (first.version, first.runs, first.records, first.ordered, first.hold) == (1, 0, (), (), None)
