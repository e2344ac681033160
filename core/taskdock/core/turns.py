"""Turns: how the turn of a tab ends, whatever ended it.

Owns: `end_turn`, and what a draft holds of a tab's messages.
Never: a status; it fires triggers and lets the tables decide.
Reads as: task_policies, task_outcomes and task_facts -> `end_turn` -> the message is settled, a copy of the work ordered.
"""

from taskdock.core import message as messages
from taskdock.core.change import Draft, Place
from taskdock.core.inputs import TurnEnd
from taskdock.core.intents import AnswerPermission, CancelTurn, CollectWork, SendPrompt
from taskdock.core.machine import Fired, fire
from taskdock.core.message import MESSAGE_MACHINE, TURN_MACHINE, Message, MessageCursor, TurnCursor
from taskdock.core.tab import Tab
from taskdock.core.task_record import UP, Task


def the_task(draft: Draft) -> Task:
    """The task of the boundary."""
    return next(draft.all(Task))


def messages_of(draft: Draft, tab_id: str) -> list[Message]:
    """The messages of a tab that are not final, in order."""
    open_ones = (
        m for m in draft.all(Message) if m.tab_id == tab_id and m.at in (messages.QUEUED, messages.SENDING)
    )
    return sorted(open_ones, key=lambda message: message.number)


def end_turn(draft: Draft, tab_id: str, end: TurnEnd, detail: str) -> None:
    """End the running turn: a message that nobody has settled is lost, its prompt is taken back, a copy of the work collected."""
    turn = draft.get(Tab, tab_id).turn
    message = draft.find(Message, turn.message_id) if turn.message_id else None
    if message is not None:
        fire(MESSAGE_MACHINE, MessageCursor(draft, message.id, reason=messages.DELIVERY_UNKNOWN), "lost")
    for intent in draft.of_tab(tab_id, SendPrompt, CancelTurn, AnswerPermission):
        draft.cancel(intent)
    draft.cancel_wakes(f"permission:{tab_id}")
    draft.cancel_wakes(f"cancelling:{tab_id}")
    if fire(TURN_MACHINE, TurnCursor(draft, tab_id, end=end, detail=detail), "end") is Fired.MOVED:
        _collect_copy(draft)


def _collect_copy(draft: Draft) -> None:
    """Order a copy of the work, unless one is waiting to be taken that will see this turn's work as well."""
    task = the_task(draft)
    waiting = any(intent.issue == 0 for intent in draft.intents(CollectWork))
    if task.at in UP and task.branch is not None and not waiting:
        body = CollectWork(task.sandbox, task.repo_id, task.branch, quiesce=False, mark=task.mark or "")
        draft.order(body, Place("sandbox", "collect"))
