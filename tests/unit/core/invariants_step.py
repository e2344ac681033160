"""Step invariants: what is true from each step of a task to the next.

Owns: `STEPS`, checked with the boundary before a step, its change, and the boundary after it.
Never: a script; the walk decides what happens.
Reads as: walk.py after each step -> `check_step`.
"""

from collections.abc import Callable

from taskdock.core import intents
from taskdock.core import task_record as at
from taskdock.core.change import Change
from taskdock.core.inputs import TurnEnd
from taskdock.core.message import DELIVERY_UNKNOWN, Message, MessageStatus
from taskdock.core.tab import Tab, TabStatus
from taskdock.core.task import Task, TaskStatus
from taskdock.testing.boundary import FINAL, Boundary
from unit.core.invariants import the_task


def version_rises_by_one(before: Boundary, change: Change, after: Boundary) -> None:
    """Each change raises the version by one, an ignored input does not; ids are never used again."""
    assert after.version == before.version + (change.ignored is None)
    assert after.runs >= before.runs + len({intent.id for intent in change.ordered})
    assert not {intent.id for intent in change.ordered} & before.outbox.keys()


def final_is_final(before: Boundary, _change: Change, after: Boundary) -> None:
    """Closed tabs, killed tasks and settled messages stay what they are; who is being killed stays so."""
    for tab in before.all(Tab):
        if tab.status is TabStatus.CLOSED:
            assert after.get(Tab, tab.id).status is TabStatus.CLOSED
    for message in before.all(Message):
        if message.status in FINAL:
            assert after.get(Message, message.id) == message
    for task in before.all(Task):
        assert the_task(after).is_ending or not task.is_ending
        assert task.status is not TaskStatus.KILLED or _but_for_words(the_task(after)) == _but_for_words(task)


def _but_for_words(task: Task) -> tuple[object, ...]:
    """What a rename does not change."""
    return (task.at, task.branch, task.head, task.generation, task.box_ordered)


def precedence_holds(before: Boundary, _change: Change, after: Boundary) -> None:
    """Who is being archived, or failed at it, is archived or killed next; only unarchive leads back."""
    was, now = before.all(Task)[0], the_task(after)
    if was.is_leaving and not was.is_ending and was.at != at.ARCHIVED:
        assert now.is_leaving
    stops = (*at.STOPPED_BY, *at.STOP_FAILED)
    if was.at in stops:
        # A wish to go on may be granted in the very step in which it is stopped.
        assert now.at in (*stops, at.STOPPED) or now.is_leaving or was.resume_wanted


def generation_rises_with_the_release(before: Boundary, change: Change, after: Boundary) -> None:
    """The generation rises by one in the commit that tells the release, and never else; it forgets the old sandbox."""
    was, now = before.all(Task)[0], the_task(after)
    released = any(event.kind.value == "sandbox.released" for event in change.history)
    assert now.generation == was.generation + released
    if released:
        assert was.destroy_ordered
        assert not (now.box_ready or now.mark or now.destroy_ordered or now.create_began)


def only_a_quiesced_collection_clears_what_is_owed(before: Boundary, change: Change, after: Boundary) -> None:
    """Work that was owed is not owed any more after a collection that nothing could follow, or a word about its loss."""
    if before.all(Task)[0].work_owed and not the_task(after).work_owed:
        closed = [before.outbox[id_].body for id_ in change.closed]
        collected = any(isinstance(body, intents.CollectWork) and body.quiesce for body in closed)
        told = {event.kind.value for event in change.history} & {"sandbox.lost", "work.given_up"}
        assert collected or told


def nothing_held_is_sent(before: Boundary, change: Change, after: Boundary) -> None:
    """A prompt is ordered for a free queue only; a hold is lifted by the user alone."""
    for intent in change.ordered:
        if isinstance(intent.body, intents.SendPrompt):
            assert not after.get(Tab, intent.body.tab_id).held
            assert the_task(after).at == at.RUNNING
    for tab in before.all(Tab):
        if tab.held and not after.get(Tab, tab.id).held:
            assert not (change.closed or change.marked_started)


def unfinished_turn_holds_the_queue(before: Boundary, _change: Change, after: Boundary) -> None:
    """A turn that ended without completing holds the queue, unless its message is proven not to have been sent."""
    for tab in before.all(Tab):
        now = after.get(Tab, tab.id)
        if (
            tab.turn.message_id is not None
            and now.turn.at == "none"
            and now.last_end is not TurnEnd.COMPLETED
        ):
            message = after.get(Message, tab.turn.message_id)
            may_have_arrived = message.status is MessageStatus.DELIVERED or message.reason == DELIVERY_UNKNOWN
            assert now.held or not may_have_arrived
            assert not now.held or message.status in (MessageStatus.DELIVERED, MessageStatus.FAILED)


def next_run_waits(_before: Boundary, change: Change, after: Boundary) -> None:
    """A run after another comes after a pause, within the deadline of the first where that still runs."""
    for intent in change.ordered:
        if intent.attempt > 1:
            assert intent.not_before is not None
            assert intent.not_before >= intent.created_at
            assert intent.deadline_at is None or intent.not_before < intent.deadline_at
            is_asked_again = isinstance(intent.body, intents.StopSandbox | intents.DestroySandbox)
            assert is_asked_again or intent.attempt <= after.figures.of(intent.body).attempts_max


STEPS: tuple[Callable[[Boundary, Change, Boundary], None], ...] = (
    version_rises_by_one,
    final_is_final,
    precedence_holds,
    generation_rises_with_the_release,
    only_a_quiesced_collection_clears_what_is_owed,
    nothing_held_is_sent,
    unfinished_turn_holds_the_queue,
    next_run_waits,
)


def check_step(before: Boundary, change: Change, after: Boundary) -> None:
    """All of them."""
    for rule in STEPS:
        rule(before, change, after)
