"""The driver: it takes in what a store could write, hands out what a queue would, and refuses the rest."""

from datetime import timedelta

import pytest
from attrs import evolve, frozen

from taskdock.core import intents
from taskdock.core.change import Change, Place
from taskdock.core.errors import InvariantViolated, SchemaMismatch, StaleVersion
from taskdock.core.history import HistoryEvent, HistoryKind
from taskdock.core.inputs import NameEnsured, Succeeded
from taskdock.core.message import MessageText
from taskdock.testing.boundary import Boundary, as_stored
from unit.core import givens as g
from unit.core.story import START, TASK


def a_change(boundary: Boundary, **values: object) -> Change:
    """A Change that fits the boundary but for these values."""
    fitting = Change(boundary.id, boundary.workspace, boundary.version, boundary.runs)
    return evolve(fitting, **values)  # type: ignore[arg-type]


def test_new_boundary_is_empty() -> None:
    """A boundary that does not exist has version 0 and nothing in it."""
    slice_ = Boundary(TASK).slice
    assert (slice_.version, slice_.runs, slice_.workspace, slice_.records, slice_.intents) == (
        0,
        0,
        "",
        (),
        (),
    )


def test_slice_leaves_out_what_a_store_does_not_load() -> None:
    """Texts and final messages stay behind: a step never sees them."""
    loaded = g.delivered().boundary.slice.records
    assert [record.id for record in loaded] == [TASK, "tab-1"]
    kept = [type(record).__name__ for record in g.delivered().boundary.records.values()]
    assert kept == ["Task", "Tab", "MessageText", "Message"]


def test_stale_change_is_refused() -> None:
    """A change against another version is StaleVersion, and nothing of it is taken in."""
    boundary = g.queued().boundary
    before = boundary.copy()
    with pytest.raises(StaleVersion):
        boundary.take(a_change(boundary, expect_version=boundary.version - 1))
    assert boundary == before


@pytest.mark.parametrize("what", ["closed", "cancelled", "marked_started"])
def test_change_about_an_unknown_intent_is_refused(what: str) -> None:
    """Only open intents can be closed, cancelled or started."""
    boundary = g.queued().boundary
    before = boundary.copy()
    with pytest.raises(InvariantViolated, match="not open"):
        boundary.take(a_change(boundary, **{what: ("task-1#77",)}))
    assert boundary == before


@pytest.mark.parametrize("number", [1, 9])
def test_intent_id_is_used_once(number: int) -> None:
    """An ordered intent has a number that is new and counted in the change's runs."""
    boundary = g.queued().boundary
    intent = evolve(boundary.outbox["task-1#1"], id=f"task-1#{number}")
    with pytest.raises(InvariantViolated, match="reuses ids"):
        boundary.take(a_change(boundary, ordered=(intent,), runs=2))


def test_what_is_read_back_different_is_refused() -> None:
    """A record that the codec would change never gets in; what UTF-8 cannot hold is escaped and comes back as it was."""

    @frozen
    class Odd:
        id: str
        number: float = 1

    assert as_stored(MessageText("msg-1", "\ud800")) == MessageText("msg-1", "\ud800")
    with pytest.raises(SchemaMismatch):
        as_stored(MessageText("msg-1", None))  # type: ignore[arg-type]
    assert as_stored(Odd("x")) == Odd("x")


def test_history_that_json_cannot_hold_is_refused() -> None:
    """The data of an event is plain."""
    boundary = g.queued().boundary
    event = HistoryEvent(HistoryKind.TASK_FAILED, START, None, {"files": ("a", "b")})  # type: ignore[dict-item]
    with pytest.raises(InvariantViolated, match="JSON"):
        boundary.take(a_change(boundary, history=(event,)))


def test_claim_raises_the_issue_and_sets_the_deadline_once() -> None:
    """Each claim has its own number; the deadline runs from the first."""
    boundary = g.queued().boundary
    first = boundary.claim("task-1#1", START)
    boundary.restart()
    second = boundary.claim("task-1#1", START + timedelta(seconds=5))
    assert (first.issue, second.issue) == (1, 2)
    assert first.deadline_at == second.deadline_at == START + timedelta(seconds=30)
    assert boundary.slice.intents == (second,)


def test_claimable_is_due_and_free() -> None:
    """What is not due yet cannot be claimed, nor what shares its subject with an execution."""
    story = g.closing_idle()
    assert story.kinds() == ["CloseSession", "Wake"]
    assert [type(i.body) for i in story.boundary.claimable(story.now)] == [intents.CloseSession]
    story.claim(intents.CloseSession)
    assert story.boundary.claimable(story.now) == []
    assert [type(i.body) for i in story.boundary.claimable(story.now + timedelta(seconds=5))] == [
        intents.Wake
    ]


def test_cancelled_execution_blocks_its_subject_until_it_ended() -> None:
    """An intent that was taken back while it ran still holds its subject; a restart ends it."""
    story = g.idle()
    place = Place("sandbox", "sandbox:local")
    old = evolve(g.creating().open(intents.CreateSandbox)[0], id="task-1#90", subject=place.subject)
    story.boundary.running[old.id] = old
    story.send("msg-2")
    story.whole_turn()
    assert [type(i.body) for i in story.boundary.claimable(story.now)] == []
    other = story.copy()
    story.boundary.end(old)
    other.boundary.restart()
    assert len(story.boundary.claimable(story.now)) == len(other.boundary.claimable(other.now)) == 1


def test_end_of_an_earlier_issue_frees_nothing() -> None:
    """Only the execution that runs can end."""
    boundary = g.queued().boundary
    first = boundary.claim("task-1#1", START)
    boundary.restart()
    boundary.claim("task-1#1", START)
    boundary.end(first)
    assert "task-1#1" in boundary.running


def test_report_of_an_earlier_issue_changes_nothing() -> None:
    """A late report is ignored, and leaves the later execution running."""
    boundary = g.queued().boundary
    first = boundary.claim("task-1#1", START)
    boundary.restart()
    boundary.claim("task-1#1", START)
    assert boundary.report(first, Succeeded(NameEnsured("T", "b", "main")), START).ignored
    assert "task-1#1" in boundary.running


def test_copy_is_independent() -> None:
    """What happens to the copy leaves the original alone."""
    boundary = g.queued().boundary
    other = boundary.copy()
    other.claim("task-1#1", START)
    assert (boundary.running, boundary.outbox["task-1#1"].issue) == ({}, 0)


def test_branch_is_held_and_let_go() -> None:
    """The driver remembers the branch that a change holds until one releases it."""
    story = g.creating()
    assert story.boundary.hold is not None
    assert story.boundary.hold.branch == "do-it-1"
    assert g.KILL.done().boundary.hold is None
