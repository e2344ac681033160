"""Permission: what an agent asks before it goes on with a turn.

Owns: `PermissionStatus`, the permission table, its orders.
Never: an allowance that nobody gave: what is not answered in time, or in its turn, is cancelled.
Reads as: task_boundary and task_policies fire triggers here -> the row alone sets the status.

Rule 1. A permission belongs to the turn in which it was asked, and ends with it; its record is part of the tab's turn.
Rule 2. It is answered once; the same answer again changes nothing, another one is refused.
Rule 3. An answer is an intent: it survives a crash, and giving it twice is harmless.
"""

from enum import Enum
from typing import Any

from attrs import evolve

from taskdock.core.change import Draft, Place
from taskdock.core.history import HistoryKind
from taskdock.core.intents import AnswerPermission, Wake
from taskdock.core.machine import NEW, Row, build, order
from taskdock.core.tab import Permission, Tab
from taskdock.core.task_record import Task


class PermissionStatus(Enum):
    """What clients see of a permission."""

    ASKED = "asked"
    """The agent waits; an answer, the end of the time for it, or the end of the turn moves it."""
    ANSWERED = "answered"
    """One of the options was chosen. Final."""
    CANCELLED = "cancelled"
    """It was rejected as a whole, or not answered in time. Final."""


ASKED, ANSWERED, CANCELLED = (status.value for status in PermissionStatus)

STATES: dict[str, tuple[str, ...]] = {
    NEW: (),
    ASKED: ("await_answer",),
    ANSWERED: ("give_answer",),
    CANCELLED: ("give_answer",),
}

ROWS = (
    Row("ask", NEW, ASKED),
    Row("answer", ASKED, ANSWERED),
    Row("cancel", ASKED, CANCELLED),
)


def wake_of(permission: Permission) -> Wake:
    """What ends the wait for its answer."""
    return Wake(f"permission:{permission.tab_id}:{permission.id}")


class PermissionCursor:
    """Orders of the table, on one permission of the turn of one tab; `option_id` is the answer, None for none."""

    def __init__(
        self, draft: Draft, tab_id: str, permission_id: str, *, option_id: str | None = None
    ) -> None:
        self._draft = draft
        self._tab_id = tab_id
        self._id = permission_id
        self._option_id = option_id

    @property
    def permission(self) -> Permission:
        """The permission as it stands in the draft."""
        turn = self._draft.get(Tab, self._tab_id).turn
        return next(permission for permission in turn.permissions if permission.id == self._id)

    @property
    def state(self) -> str:
        """The machine state; only `transitions` assigns it, row by row."""
        return self.permission.at

    @state.setter
    def state(self, entered: str) -> None:
        self._put(at=entered)

    def _put(self, **changes: Any) -> None:
        tab = self._draft.get(Tab, self._tab_id)
        changed = evolve(self.permission, **changes)
        permissions = tuple(changed if one.id == self._id else one for one in tab.turn.permissions)
        turn = evolve(tab.turn, permissions=permissions)
        self._draft.put(evolve(tab, turn=turn, updated_at=self._draft.now))

    @order
    def await_answer(self) -> None:
        """Say that it was asked, and wait a bounded time."""
        permission, wake = self.permission, wake_of(self.permission)
        at = self._draft.after(self._draft.figures.permission_seconds)
        self._draft.order(wake, Place(wake.reason, "wake"), not_before=at)
        self._draft.note(
            HistoryKind.PERMISSION_ASKED, self._tab_id, permission=permission.id, title=permission.title
        )

    @order
    def give_answer(self) -> None:
        """Have the agent told, and stop waiting."""
        self._put(option_id=self._option_id)
        self._draft.cancel_wake(wake_of(self.permission))
        tab = self._draft.get(Tab, self._tab_id)
        task = self._draft.get(Task, tab.task_id)
        assert tab.session_id is not None
        body = AnswerPermission(
            sandbox=task.sandbox,
            agent=tab.agent,
            tab_id=tab.id,
            session=tab.session,
            session_id=tab.session_id,
            permission_id=self._id,
            option_id=self._option_id,
        )
        self._draft.order(body, Place(f"permission:{tab.id}:{self._id}", "session"))
        self._draft.note(HistoryKind.PERMISSION_ANSWERED, tab.id, permission=self._id, option=self._option_id)


MACHINE = build(STATES, ROWS, PermissionCursor)
