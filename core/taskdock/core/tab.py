"""Tab: one agent conversation of a task; its id is ours and durable, the agent's session id is an attribute.

Owns: `TabStatus`, the tab table, the `Tab` record with its `Turn`, its guards and orders.
Never: a change to the task, and no session id that the agent did not give.
Reads as: task_boundary and task_policies fire triggers here -> the row alone sets the status.

Rule 1. Only SessionReady leads to `ready`, so a tab is never ready by a request.
Rule 2. A tab fails with its task (`error/task`) or on its own (`error/session`); only the first kind comes back with the task.
Rule 3. What a lost or failed session held is not trusted again: the next one has the next number, and the executor ends
        the earlier ones before it opens it.
Rule 4. A tab with messages still queued is closed only by force, which withdraws them.
"""

from datetime import datetime
from enum import Enum
from typing import Any

from attrs import evolve, field, frozen

from taskdock.core.change import Draft, Place
from taskdock.core.history import HistoryKind
from taskdock.core.inputs import Failed, SessionReady, TurnEnd
from taskdock.core.intents import CloseSession, CreateSession, Intent, Wake
from taskdock.core.machine import NEW, Row, build, guard, order
from taskdock.core.step import Failure
from taskdock.core.task import UP, Task, TaskStatus


class TabStatus(Enum):
    """What clients see; the briefs fixed the words."""

    PENDING_PROVISION = "pending_provision"
    """Waits for its task; the task's agent being ready moves it."""
    PENDING_SESSION_CREATE = "pending_session_create"
    """Its session is being made; SessionReady moves it."""
    READY = "ready"
    """Takes messages one turn at a time. Rests here."""
    ERROR = "error"
    """Its task failed, or its session did. A retry of the one or the other moves it."""
    CLOSING = "closing"
    """Its session is being ended; any answer, or five seconds, closes it."""
    CLOSED = "closed"
    """Gone for good; its transcript stays."""


PENDING_PROVISION = "pending_provision"
PENDING_SESSION = "pending_session_create"
READY = "ready"
ERROR_TASK = "error/task"
ERROR_SESSION = "error/session"
CLOSING = "closing"
CLOSED = "closed"

STATES: dict[str, tuple[str, ...]] = {
    NEW: (),
    PENDING_PROVISION: (),
    PENDING_SESSION: ("create_session",),
    READY: ("be_ready",),
    ERROR_TASK: ("fail",),
    ERROR_SESSION: ("fail",),
    CLOSING: ("end_session", "await_end"),
    CLOSED: ("be_closed",),
}

ROWS = (
    Row("open", NEW, PENDING_SESSION, when="task_is_up"),
    Row("open", NEW, ERROR_TASK, when="task_has_failed"),
    Row("open", NEW, PENDING_PROVISION),
    Row("agent_ready", (PENDING_PROVISION, ERROR_SESSION), PENDING_SESSION),
    Row("session_ready", PENDING_SESSION, READY, then="take_session"),
    Row("failed", PENDING_SESSION, "=", when="may_try_again", then="note_failed_attempt"),
    Row("failed", PENDING_SESSION, ERROR_SESSION),
    Row("session_lost", READY, PENDING_SESSION, then="lose_session"),
    Row("task_failed", READY, ERROR_TASK, then="lose_session"),
    Row("task_failed", (PENDING_PROVISION, PENDING_SESSION), ERROR_TASK, then="drop_work"),
    Row("task_goes_on", ERROR_TASK, PENDING_PROVISION),
    Row("retry", ERROR_SESSION, PENDING_SESSION, when="task_is_up"),
    Row("retry", ERROR_SESSION, PENDING_PROVISION, when="task_is_provisioning"),
    Row("close", (PENDING_PROVISION, PENDING_SESSION, ERROR_TASK, ERROR_SESSION), CLOSED,
        when="queue_may_go", then=("drop_work", "end_session")),
    Row("close", READY, CLOSING, when="queue_may_go"),
    Row("closing_over", CLOSING, CLOSED),
    Row("task_failed", CLOSING, CLOSED),
    Row("task_killing", (PENDING_PROVISION, PENDING_SESSION, READY, ERROR_TASK, ERROR_SESSION, CLOSING), CLOSED),
)  # fmt: skip


@frozen
class Turn:
    """The prompt being worked on: `at` is the state of the turn table, the rest is empty while there is none."""

    at: str = "none"
    message_id: str | None = None
    started_at: datetime | None = None


@frozen
class Tab:
    """A tab as it is stored. `at` is its machine state, written by the table alone."""

    id: str
    task_id: str
    number: int
    name: str
    agent: str
    opened_at: datetime
    updated_at: datetime
    at: str = NEW
    generation: int = 0
    """Of the sandbox in which its latest session was ordered; 0 before the first."""
    session: int = 0
    """How many sessions it has had ordered in this generation."""
    session_id: str | None = None
    agent_process: str | None = None
    sandbox: str | None = None
    turn: Turn = field(factory=Turn)
    held: bool = False
    """The queue waits for the user, because a turn did not complete."""
    last_end: TurnEnd | None = None
    last_end_detail: str | None = None
    messages_sent: int = 0
    failure: Failure | None = None
    closed_at: datetime | None = None

    @property
    def status(self) -> TabStatus:
        """The status of the contract: what stands before the slash."""
        return TabStatus(self.at.partition("/")[0])

    @property
    def is_open(self) -> bool:
        """Whether it is neither closing nor closed."""
        return self.at not in (CLOSING, CLOSED)


def session_place(tab_id: str) -> Place:
    """Where what makes, uses or ends a tab's session queues: one at a time."""
    return Place(f"tab:{tab_id}", "session")


class TabCursor:
    """Guards and orders of the table, on one tab of one draft."""

    def __init__(
        self,
        draft: Draft,
        tab_id: str,
        *,
        input_: object = None,
        intent: Intent | None = None,
        failed: Failed | None = None,
        messages_queued: int = 0,
    ) -> None:
        self._draft = draft
        self._id = tab_id
        self._input = input_
        self._intent = intent
        self._failed = failed
        self._messages_queued = messages_queued

    @property
    def tab(self) -> Tab:
        """The tab as it stands in the draft."""
        return self._draft.get(Tab, self._id)

    @property
    def task(self) -> Task:
        """Its task as it stands in the draft."""
        return self._draft.get(Task, self.tab.task_id)

    @property
    def state(self) -> str:
        """The machine state; only `transitions` assigns it, row by row."""
        return self.tab.at

    @state.setter
    def state(self, entered: str) -> None:
        self._put(at=entered, failure=None)

    def _put(self, **changes: Any) -> None:
        self._draft.put(evolve(self.tab, updated_at=self._draft.now, **changes))

    # Guards

    @guard
    def task_is_up(self) -> bool:
        """The task's agent is there, so sessions can be made."""
        return self.task.at in UP

    @guard
    def task_has_failed(self) -> bool:
        """The task rests in error."""
        return self.task.status is TaskStatus.ERROR

    @guard
    def task_is_provisioning(self) -> bool:
        """The task will come up by itself."""
        return self.task.status.value.startswith("init_")

    @guard
    def queue_may_go(self) -> bool:
        """Nothing is queued, or the user gives it up."""
        return self._messages_queued == 0 or bool(getattr(self._input, "force", False))

    @guard
    def may_try_again(self) -> bool:
        """The failure may pass, and attempts and deadline allow one more run."""
        return self._draft.next_attempt_at(self._intent, self._failed) is not None

    # Orders

    @order
    def take_session(self) -> None:
        """The agent gave the session its id: update the tab in place."""
        assert isinstance(self._input, SessionReady)
        self._put(
            session_id=self._input.session_id,
            agent_process=self._input.agent_process,
            sandbox=self.task.sandbox.name,
        )

    @order
    def be_ready(self) -> None:
        """Say so."""
        self._draft.note(HistoryKind.TAB_READY, self._id, session=self.tab.session_id)

    @order
    def create_session(self) -> None:
        """Order the session: the same number as long as it was never ready, so that a retry adopts it."""
        task, tab = self.task, self.tab
        if tab.generation != task.generation or tab.session == 0:
            self._put(generation=task.generation, session=1)
        after = self._intent if self._failed is not None else None
        self._draft.order(
            CreateSession(task.sandbox, tab.agent, tab.id, self.tab.session),
            session_place(tab.id),
            not_before=self._draft.next_attempt_at(after, self._failed),
            after=after,
        )

    @order
    def lose_session(self) -> None:
        """The session is not trusted any more: the next one gets the next number."""
        self.drop_work()
        self._put(session=self.tab.session + 1, session_id=None, agent_process=None)

    @order
    def drop_work(self) -> None:
        """Take back the session that is being made."""
        for intent in self._draft.intents(CreateSession):
            if isinstance(intent.body, CreateSession) and intent.body.tab_id == self._id:
                self._draft.cancel(intent)

    @order
    def end_session(self) -> None:
        """Order the end of every session of this tab; there can be none before the first was ordered."""
        task, tab = self.task, self.tab
        if tab.session > 0 and task.box_ordered:
            self._draft.order(
                CloseSession(task.sandbox, tab.agent, tab.id, tab.session), session_place(tab.id)
            )

    @order
    def await_end(self) -> None:
        """Give the end a bounded time."""
        at = self._draft.after(self._draft.figures.closing_seconds)
        self._draft.order(Wake(f"closing:{self._id}"), Place(f"closing:{self._id}", "wake"), not_before=at)

    @order
    def be_closed(self) -> None:
        """Say so, and stop waiting for the end of the session."""
        for intent in self._draft.intents(Wake):
            if intent.body == Wake(f"closing:{self._id}"):
                self._draft.cancel(intent)
        self._put(closed_at=self._draft.now)
        self._draft.note(HistoryKind.TAB_CLOSED, self._id)

    @order
    def note_failed_attempt(self) -> None:
        """One attempt failed and another follows; it counts as the task's step while that waits for sessions."""
        assert self._failed is not None and self._intent is not None
        retry_at = self._draft.next_attempt_at(self._intent, self._failed)
        assert retry_at is not None
        self._draft.note(
            HistoryKind.TASK_STEP_FAILED,
            self._id,
            step="init_create_session",
            attempt=self._intent.attempt,
            retry_at=retry_at.isoformat(),
            reason=self._failed.reason,
            **{"class": self._failed.failure_class.value},
        )

    @order
    def fail(self) -> None:
        """Rest in `error`: with the task's reason, or with its own."""
        failure = self._own_failure() if self.tab.at == ERROR_SESSION else self.task.failure
        assert failure is not None
        self._put(failure=failure)
        self._draft.note(
            HistoryKind.TAB_FAILED,
            self._id,
            cause=self.tab.at.removeprefix("error/"),
            reason=failure.reason,
            **{"class": failure.failure_class.value},
        )

    def _own_failure(self) -> Failure:
        assert self._failed is not None and self._intent is not None
        return Failure(
            step="init_create_session",
            failure_class=self._failed.failure_class,
            reason=self._failed.reason,
            attempts=self._intent.attempt,
            retry="opens the session again",
            log_tail=self._failed.log_tail,
        )


MACHINE = build(STATES, ROWS, TabCursor)
