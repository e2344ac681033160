"""Tab bugs: what goes wrong in the field with tabs, messages, turns and what agents ask.

Owns: one context manager per bug; its docstring is the sentence in the table.
Never: two bugs in one.
Reads as: table.py -> this -> planting.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from simulation.planted.planting import added, redirected, replaced, without_rule
from taskdock.core import message as messages
from taskdock.core import permission as permissions
from taskdock.core import tab as tabs
from taskdock.core import task_outcomes, task_policies, task_record, turns
from taskdock.core.change import Draft
from taskdock.core.inputs import Failed, FailureClass, Outcome, SessionClosed, Succeeded, TurnEnd
from taskdock.core.intents import CloseSession, Intent
from taskdock.core.machine import fire
from taskdock.core.message import MESSAGE_MACHINE, Message, MessageCursor, TurnCursor
from taskdock.core.tab import Tab, TabCursor
from taskdock.core.task_orders import TaskCursor
from taskdock.core.turns import the_task


@contextmanager
def tab_forgotten_on_failure() -> Iterator[None]:
    """A task that fails does not tell its tabs."""
    with without_rule(task_policies._tabs_fail_with_their_task):
        yield


@contextmanager
def session_after_the_close() -> Iterator[None]:
    """A tab that has no session yet is closed without ending the one that is being made."""
    end = TabCursor.end_session

    def end_session(cursor: TabCursor) -> None:
        if cursor.tab.session_id is not None:
            end(cursor)

    with replaced(TabCursor, "end_session", end_session):
        yield


@contextmanager
def close_forgotten_with_the_tab() -> Iterator[None]:
    """The end of a session is tried once only; where that fails, the session stays."""

    def close(draft: Draft, intent: Intent, _outcome: object) -> None:
        assert isinstance(intent.body, CloseSession)
        fire(tabs.MACHINE, TabCursor(draft, intent.body.tab_id), "closing_over")

    with patch.dict(task_outcomes._OUTCOMES, {CloseSession: close}):
        yield


@contextmanager
def close_given_up() -> Iterator[None]:
    """The end of a session is not tried again once it has failed for good."""
    close = task_outcomes._OUTCOMES[CloseSession]

    def close_or_give_up(draft: Draft, intent: Intent, outcome: Outcome) -> None:
        is_final = isinstance(outcome, Failed) and outcome.failure_class is FailureClass.PERMANENT
        close(draft, intent, Succeeded(SessionClosed()) if is_final else outcome)

    with patch.dict(task_outcomes._OUTCOMES, {CloseSession: close_or_give_up}):
        yield


@contextmanager
def close_taken_back_by_a_stop() -> Iterator[None]:
    """What ends a task takes back the ends of sessions; where it fails, they stay."""
    drop = TaskCursor.drop_work

    def drop_all(cursor: TaskCursor) -> None:
        drop(cursor)
        for intent in cursor._draft.intents(CloseSession):
            cursor._draft.cancel(intent)

    with replaced(TaskCursor, "drop_work", drop_all):
        yield


@contextmanager
def queue_dropped_with_the_sandbox() -> Iterator[None]:
    """What waits in the tabs of a task whose sandbox is replaced is withdrawn."""

    def queues_end(draft: Draft) -> bool:
        if the_task(draft).at not in task_record.HEALING:
            return False
        queued = [one for one in draft.all(Message) if one.at == messages.QUEUED]
        for message in queued:
            fire(MESSAGE_MACHINE, MessageCursor(draft, message.id), "tab_closed")
        return bool(queued)

    with patch.object(task_policies, "RULES", (*task_policies.RULES, queues_end)):
        yield


@contextmanager
def queue_dropped_by_a_close() -> Iterator[None]:
    """A tab is closed with what it has queued, although nobody said that it may go."""
    with replaced(TabCursor, "queue_may_go", lambda _: True):
        yield


@contextmanager
def hold_never_set() -> Iterator[None]:
    """A turn that did not complete does not hold the queue."""
    note = TurnCursor.note_end

    def note_end(cursor: TurnCursor) -> None:
        note(cursor)
        cursor._put(held=False)

    with (
        replaced(TurnCursor, "note_end", note_end),
        patch("taskdock.core.task_outcomes._hold", lambda *_, **__: None),
    ):
        yield


@contextmanager
def hold_lost_with_the_session() -> Iterator[None]:
    """A tab whose session is made anew forgets that its queue was held."""
    take = TabCursor.take_session

    def take_session(cursor: TabCursor) -> None:
        take(cursor)
        cursor._put(held=False)

    with replaced(TabCursor, "take_session", take_session):
        yield


@contextmanager
def sent_again_after_doubt() -> Iterator[None]:
    """A prompt of which nobody knows whether it arrived is sent again to the session that is resumed."""
    with redirected(MESSAGE_MACHINE, "lost", messages.SENDING, messages.FAILED, messages.QUEUED):
        yield


@contextmanager
def delivered_without_proof() -> Iterator[None]:
    """A message of which nobody knows whether it arrived is told as delivered."""
    with redirected(MESSAGE_MACHINE, "lost", messages.SENDING, messages.FAILED, messages.DELIVERED):
        yield


@contextmanager
def unsent_told_as_doubtful() -> Iterator[None]:
    """A message that nobody began to send is told as one of which nobody knows whether it arrived."""

    def doubt(draft: Draft) -> bool:
        task, moved = the_task(draft), False
        for message in draft.all(Message):
            tab = draft.get(Tab, message.tab_id)
            is_on_its_way = task.at == task_record.RUNNING and tab.at == tabs.READY
            if message.at == messages.SENDING and tab.turn.at == messages.NONE and not is_on_its_way:
                cursor = MessageCursor(draft, message.id, reason=messages.DELIVERY_UNKNOWN)
                fire(MESSAGE_MACHINE, cursor, "lost")
                moved = True
        return moved

    rule = task_policies._unsent_messages_come_back
    rules = tuple(doubt if one is rule else one for one in task_policies.RULES)
    with patch.object(task_policies, "RULES", rules):
        yield


@contextmanager
def order_swapped() -> Iterator[None]:
    """The newest message of a queue is sent first."""

    def newest_first(draft: Draft, tab_id: str) -> list[Message]:
        return list(reversed(turns.messages_of(draft, tab_id)))

    with replaced(task_policies, "messages_of", newest_first):
        yield


@contextmanager
def permission_answered_twice() -> Iterator[None]:
    """What an agent asked can be answered again, and otherwise."""
    with added(permissions.MACHINE, "answer", permissions.ANSWERED, like=permissions.ASKED):
        yield


@contextmanager
def completed_by_a_loss() -> Iterator[None]:
    """A turn whose agent is gone counts as completed."""
    end = turns.end_turn

    def end_turn(draft: Draft, tab_id: str, how: TurnEnd, detail: str) -> None:
        end(draft, tab_id, TurnEnd.COMPLETED if how is TurnEnd.INTERRUPTED else how, detail)

    with (
        patch("taskdock.core.task_policies.end_turn", end_turn),
        patch("taskdock.core.task_facts.end_turn", end_turn),
        patch("taskdock.core.task_outcomes.end_turn", end_turn),
    ):
        yield


@contextmanager
def tab_left_behind_by_a_retry() -> Iterator[None]:
    """A task that goes on after an error leaves the tabs that failed with it where they are."""
    with without_rule(task_policies._tabs_go_on_with_their_task):
        yield
