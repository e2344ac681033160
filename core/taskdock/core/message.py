"""Message: what a user sends to a tab, and the turn that it begins.

Owns: `MessageStatus`, `TurnStatus`, both tables, the `Message` record, their guards and orders.
Never: a second send of what may have been delivered; only the user sends that again.
Reads as: task_boundary and task_policies fire triggers here -> the row alone sets the status.

Rule 1. Messages of a tab are sent in order, one turn at a time, and only while the queue is not held.
Rule 2. `delivered` needs proof: the relay's receipt, or anything that the agent sent in that turn.
Rule 3. What is proven not to have been sent goes back into the queue; what is not proven either way has failed as
        `delivery_unknown`.
Rule 4. A turn ends once. Unless it completed, the queue is held until the user sends again or resumes it.
Rule 5. An accepted cancel proves nothing. A turn that goes on all the same loses its agent process.
"""

from datetime import datetime
from enum import Enum
from typing import Any

from attrs import evolve, frozen

from taskdock.core.change import Draft, Place
from taskdock.core.history import HistoryKind
from taskdock.core.inputs import TurnEnd
from taskdock.core.intents import CancelTurn, Intent, SendPrompt, Wake
from taskdock.core.machine import NEW, Row, build, guard, order
from taskdock.core.tab import Tab, Turn
from taskdock.core.task_record import Task


class MessageStatus(Enum):
    """What clients see of a message."""

    QUEUED = "queued"
    """Waits for its tab; the tab being ready and idle moves it."""
    SENDING = "sending"
    """Its SendPrompt is ordered; proof of delivery, or of the opposite, moves it."""
    DELIVERED = "delivered"
    """The agent has it. Final."""
    FAILED = "failed"
    """It was refused, or nobody can tell whether it arrived (`delivery_unknown`). Final."""
    WITHDRAWN = "withdrawn"
    """The user took it back, or its tab was closed before it was sent. Final."""


class TurnStatus(Enum):
    """What clients see of a tab's turn."""

    NONE = "none"
    RUNNING = "running"
    """The agent works on a prompt; TurnEnded, or the loss of its session, moves it."""
    CANCELLING = "cancelling"
    """It was asked to end; only its end proves that it did."""


QUEUED, SENDING, DELIVERED, FAILED, WITHDRAWN = (status.value for status in MessageStatus)
NONE, RUNNING, CANCELLING = (status.value for status in TurnStatus)

DELIVERY_UNKNOWN = "delivery_unknown"
TRIES_MAX = 5
"""How often a message is taken out of the queue again before it fails."""

MESSAGE_STATES: dict[str, tuple[str, ...]] = {
    NEW: (),
    QUEUED: (),
    SENDING: ("send_prompt",),
    DELIVERED: (),
    FAILED: ("be_failed",),
    WITHDRAWN: ("be_withdrawn",),
}

MESSAGE_ROWS = (
    Row("send", NEW, QUEUED, then="note_sent"),
    Row("tab_is_free", QUEUED, SENDING),
    Row("delivered", SENDING, DELIVERED),
    Row("not_sent", SENDING, QUEUED, when="may_be_tried_again"),
    Row("not_sent", SENDING, FAILED),
    Row("taken_back", SENDING, QUEUED, then="uncount_try"),
    Row("refused", SENDING, FAILED),
    Row("lost", SENDING, FAILED),
    Row("edit", QUEUED, "=", then="note_edited"),
    Row("withdraw", QUEUED, WITHDRAWN),
    Row("tab_closed", QUEUED, WITHDRAWN),
)

TURN_STATES: dict[str, tuple[str, ...]] = {NONE: (), RUNNING: ("begin",), CANCELLING: ("cancel_turn",)}

TURN_ROWS = (
    Row("begin", NONE, RUNNING),
    Row("cancel", RUNNING, CANCELLING),
    Row("end", (RUNNING, CANCELLING), NONE, then="note_end"),
)


@frozen
class Message:
    """A message as it is stored, without its text (`MessageText`), which no step needs."""

    id: str
    task_id: str
    tab_id: str
    number: int
    created_at: datetime
    updated_at: datetime
    at: str = NEW
    tries: int = 0
    reason: str | None = None
    """Why it failed: `delivery_unknown`, or the refusal in the agent's words."""

    @property
    def status(self) -> MessageStatus:
        """The status of the contract."""
        return MessageStatus(self.at)


@frozen
class MessageText:
    """The text of a message: written once with it, read only by who shows or sends it."""

    id: str
    text: str


class MessageCursor:
    """Guards and orders of the message table, on one message of one draft."""

    def __init__(self, draft: Draft, message_id: str, *, reason: str | None = None) -> None:
        self._draft = draft
        self._id = message_id
        self._reason = reason

    @property
    def message(self) -> Message:
        """The message as it stands in the draft."""
        return self._draft.get(Message, self._id)

    @property
    def state(self) -> str:
        """The machine state; only `transitions` assigns it, row by row."""
        return self.message.at

    @state.setter
    def state(self, entered: str) -> None:
        self._put(at=entered)

    def _put(self, **changes: Any) -> None:
        self._draft.put(evolve(self.message, updated_at=self._draft.now, **changes))

    @guard
    def may_be_tried_again(self) -> bool:
        """It was not taken out of the queue too often yet."""
        return self.message.tries < TRIES_MAX

    @order
    def note_sent(self) -> None:
        """The user sent it."""
        self._draft.note(
            HistoryKind.MESSAGE_SENT, self.message.tab_id, message=self._id, number=self.message.number
        )

    @order
    def note_edited(self) -> None:
        """The user changed its text before it was sent."""
        self._draft.note(HistoryKind.MESSAGE_EDITED, self.message.tab_id, message=self._id)

    @order
    def uncount_try(self) -> None:
        """It was not its fault: its prompt was taken back before it began."""
        self._put(tries=self.message.tries - 1)

    @order
    def send_prompt(self) -> None:
        """Order its one SendPrompt, after a pause when it came back to the queue before."""
        message = self.message
        tab = self._draft.get(Tab, message.tab_id)
        task = self._draft.get(Task, message.task_id)
        assert tab.session_id is not None and tab.agent_process is not None
        body = SendPrompt(
            sandbox=task.sandbox,
            agent=tab.agent,
            tab_id=tab.id,
            session=tab.session,
            session_id=tab.session_id,
            agent_process=tab.agent_process,
            message_id=message.id,
            settings=tab.settings,
        )
        pause = self._draft.figures.backoff(message.id, message.tries)
        self._draft.order(
            body,
            Place(f"tab:{tab.id}", "prompt"),
            not_before=self._draft.now + pause if message.tries else None,
        )
        self._put(tries=message.tries + 1)

    @order
    def be_failed(self) -> None:
        """Say why, and let the queue wait for the user: what failed this one may fail the next."""
        self._put(reason=self._reason)
        self._draft.put(evolve(self._draft.get(Tab, self.message.tab_id), held=True))
        self._draft.note(
            HistoryKind.MESSAGE_FAILED, self.message.tab_id, message=self._id, reason=self._reason
        )

    @order
    def be_withdrawn(self) -> None:
        """It will not be sent any more."""
        self._draft.note(HistoryKind.MESSAGE_WITHDRAWN, self.message.tab_id, message=self._id)


class TurnCursor:
    """Guards and orders of the turn table, on the turn of one tab of one draft."""

    def __init__(
        self,
        draft: Draft,
        tab_id: str,
        *,
        intent: Intent | None = None,
        end: TurnEnd | None = None,
        detail: str = "",
    ) -> None:
        self._draft = draft
        self._id = tab_id
        self._intent = intent
        self._end = end
        self._detail = detail

    @property
    def tab(self) -> Tab:
        """The tab as it stands in the draft."""
        return self._draft.get(Tab, self._id)

    @property
    def state(self) -> str:
        """The state of the turn; only `transitions` assigns it, row by row."""
        return self.tab.turn.at

    @state.setter
    def state(self, entered: str) -> None:
        self._put(turn=Turn() if entered == NONE else evolve(self.tab.turn, at=entered))

    def _put(self, **changes: Any) -> None:
        self._draft.put(evolve(self.tab, updated_at=self._draft.now, **changes))

    @order
    def begin(self) -> None:
        """The prompt may reach the agent from now on: remember it, and that work may come of it."""
        assert self._intent is not None and isinstance(self._intent.body, SendPrompt)
        message_id = self._intent.body.message_id
        self._put(turn=evolve(self.tab.turn, message_id=message_id, started_at=self._draft.now))
        self._draft.put(evolve(self._draft.get(Task, self.tab.task_id), work_owed=True))
        self._draft.note(HistoryKind.TURN_STARTED, self._id, message=message_id)

    @order
    def cancel_turn(self) -> None:
        """Ask the agent to end it, and give that a bounded time."""
        tab = self.tab
        task = self._draft.get(Task, tab.task_id)
        assert tab.session_id is not None
        body = CancelTurn(task.sandbox, tab.agent, tab.id, tab.session, tab.session_id)
        self._draft.order(body, Place(f"cancel:{tab.id}", "session"))
        wake = Wake(f"cancelling:{tab.id}:{tab.turn.message_id}")
        at = self._draft.after(self._draft.figures.cancel_seconds)
        self._draft.order(wake, Place(wake.reason, "wake"), not_before=at)

    @order
    def note_end(self) -> None:
        """The turn is over; unless it completed, the queue waits for the user."""
        assert self._end is not None
        self._put(
            last_end=self._end,
            last_end_detail=self._detail,
            held=self._end is not TurnEnd.COMPLETED,
            turns_ended=self.tab.turns_ended + 1,
        )
        self._draft.note(
            HistoryKind.TURN_ENDED,
            self._id,
            message=self.tab.turn.message_id,
            end=self._end.value,
            detail=self._detail,
        )


MESSAGE_MACHINE = build(MESSAGE_STATES, MESSAGE_ROWS, MessageCursor)
TURN_MACHINE = build(TURN_STATES, TURN_ROWS, TurnCursor, start=NONE)
