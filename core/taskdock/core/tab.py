"""Tab: one agent conversation of a task; its id is ours and durable, the agent's session id is an attribute.

Owns: `TabStatus`, the tab table, the `Tab` record with its `Turn` and what the agent asked in it, guards and orders.
Never: a change to the task, and no session id that the agent did not give.
Reads as: task_boundary and task_policies fire triggers here -> the row alone sets the status.

Rule 1. Only SessionReady leads to `ready`, so a tab is never ready by a request.
Rule 2. A tab fails with its task (`error/task`) or on its own (`error/session`); only the first kind comes back with the task.
Rule 3. What a lost session held is not trusted again: the next one is a new agent process with the next number, and the
        executor ends the earlier ones before it. It goes on with the agent's own session where that is known in this
        sandbox, and begins a new one where the agent refuses or the sandbox is another.
Rule 4. An agent whose processes are lost too often within a while fails its tab: the next try is for somebody to ask for.
Rule 5. A tab with messages still queued is closed only by force, which withdraws them.
"""

from datetime import datetime
from enum import Enum
from typing import Any

from attrs import evolve, field, frozen

from taskdock.core.change import Draft, Place
from taskdock.core.history import HistoryKind
from taskdock.core.inputs import Failed, PermissionOption, SessionReady, TurnEnd
from taskdock.core.intents import (
    CloseSession,
    CreateSession,
    Intent,
    ResumeSession,
    SessionSettings,
    Wake,
)
from taskdock.core.machine import NEW, Row, build, guard, order
from taskdock.core.step import Failure, Tries
from taskdock.core.task_record import LOOKING, STOPPED, UP, Task, TaskStatus


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
    PENDING_SESSION: ("open_session",),
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
    Row("agent_ready", PENDING_PROVISION, PENDING_SESSION),
    Row("agent_ready", ERROR_SESSION, PENDING_SESSION, then="forget_tries"),
    Row("session_ready", PENDING_SESSION, READY, then="take_session"),
    Row("failed", PENDING_SESSION, "=", when="may_try_again", then="note_failed_attempt"),
    Row("failed", PENDING_SESSION, "=", when="resume_was_refused", then="forget_session"),
    Row("failed", PENDING_SESSION, ERROR_SESSION),
    Row("session_lost", READY, PENDING_SESSION, when="may_open_another", then=("note_loss", "lose_session")),
    Row("session_lost", READY, ERROR_SESSION, then=("forget_losses", "lose_session")),
    Row("task_failed", READY, ERROR_TASK, then="lose_session"),
    Row("task_failed", (PENDING_PROVISION, PENDING_SESSION), ERROR_TASK, then="drop_work"),
    Row("task_goes_on", ERROR_TASK, PENDING_PROVISION),
    Row("task_leaves", READY, PENDING_PROVISION, then="lose_session"),
    Row("task_leaves", PENDING_SESSION, PENDING_PROVISION, then="drop_work"),
    Row("task_leaves", CLOSING, CLOSED),
    Row("retry", ERROR_SESSION, PENDING_SESSION, when="task_is_up", then="forget_tries"),
    Row("retry", ERROR_SESSION, PENDING_PROVISION, when="task_may_come_up", then="forget_tries"),
    Row("close", (PENDING_PROVISION, PENDING_SESSION, ERROR_TASK, ERROR_SESSION), CLOSED,
        when="queue_may_go", then=("drop_work", "end_session")),
    Row("close", READY, CLOSING, when="queue_may_go"),
    Row("closing_over", CLOSING, CLOSED),
    Row("task_failed", CLOSING, CLOSED),
    Row("task_killing", (PENDING_PROVISION, PENDING_SESSION, READY, ERROR_TASK, ERROR_SESSION, CLOSING), CLOSED),
)  # fmt: skip


@frozen
class Permission:
    """What the agent asked in a turn, and how it was answered; `at` is written by the permission table alone."""

    id: str
    tab_id: str
    title: str
    options: tuple[PermissionOption, ...]
    asked_at: datetime
    at: str = NEW
    option_id: str | None = None
    """The option chosen; None while it is asked, and when it was cancelled."""


@frozen
class Turn:
    """The prompt being worked on: `at` is the state of the turn table, the rest is empty while there is none."""

    at: str = "none"
    message_id: str | None = None
    started_at: datetime | None = None
    permissions: tuple[Permission, ...] = ()


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
    model: str | None = None
    permission_mode: str | None = None
    at: str = NEW
    generation: int = 0
    """Of the sandbox in which its latest session was ordered; 0 before the first."""
    session: int = 0
    """How many agent processes it has had ordered in this generation, each holding one session."""
    session_id: str | None = None
    """The agent's own session; kept when its process is lost, since another one in the same sandbox may go on with it."""
    agent_process: str | None = None
    """The process that holds the session; None unless the tab is ready or closing."""
    sandbox: str | None = None
    losses: tuple[datetime, ...] = ()
    """When its agent processes were lost lately."""
    tries: Tries | None = None
    """Attempts at its session that failed before its task looked at the sandbox."""
    turn: Turn = field(factory=Turn)
    held: bool = False
    """The queue waits for the user, because a turn did not complete."""
    last_end: TurnEnd | None = None
    last_end_detail: str | None = None
    messages_sent: int = 0
    turns_ended: int = 0
    """How many turns have ended: a reader who has read as many has read all."""
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

    @property
    def settings(self) -> SessionSettings:
        """What its session is told before it works."""
        return SessionSettings(self.model, self.permission_mode)


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
    def task_may_come_up(self) -> bool:
        """The task comes up by itself, or can be resumed."""
        return self.task.status is not TaskStatus.ERROR

    @guard
    def queue_may_go(self) -> bool:
        """Nothing is queued, or the user gives it up."""
        return self._messages_queued == 0 or bool(getattr(self._input, "force", False))

    @guard
    def may_try_again(self) -> bool:
        """The failure may pass, and attempts and deadline allow one more run."""
        return self._draft.next_attempt_at(self._intent, self._failed) is not None

    @guard
    def may_open_another(self) -> bool:
        """Its agent processes were not lost too often lately."""
        return len(self._recent_losses()) < self._draft.figures.losses_max

    def _recent_losses(self) -> tuple[datetime, ...]:
        since = self._draft.after(-self._draft.figures.heals_seconds)
        return tuple(at for at in self.tab.losses if at > since)

    @guard
    def resume_was_refused(self) -> bool:
        """The agent did not take its own session up again, so a new one has to do."""
        return self._intent is not None and isinstance(self._intent.body, ResumeSession)

    # Orders

    @order
    def take_session(self) -> None:
        """The agent gave the session its id: update the tab in place."""
        assert isinstance(self._input, SessionReady)
        self._put(
            session_id=self._input.session_id,
            agent_process=self._input.agent_process,
            sandbox=self.task.sandbox.name,
            tries=None,
        )

    @order
    def be_ready(self) -> None:
        """Say so."""
        self._draft.note(HistoryKind.TAB_READY, self._id, session=self.tab.session_id)

    @order
    def open_session(self) -> None:
        """Order the session, unless the task looks at its sandbox just now: then it is ordered when that was found running.

        The number stays the same as long as the session was never ready, so that a retry adopts it.
        """
        task, tab = self.task, self.tab
        if tab.generation != task.generation:
            self._put(generation=task.generation, session=1, session_id=None)
            tab = self.tab
        if task.at == LOOKING:
            return
        body: ResumeSession | CreateSession = CreateSession(
            task.sandbox, tab.agent, tab.id, tab.session, tab.settings
        )
        if tab.session_id is not None:
            body = ResumeSession(task.sandbox, tab.agent, tab.id, tab.session, tab.session_id, tab.settings)
        after: Intent | Tries | None = tab.tries
        not_before = self._draft.next_attempt_at(self._intent, self._failed) if tab.tries else None
        if not_before is not None:
            after = self._intent
        else:
            not_before = self._pause_is_over_at()
        self._draft.order(body, session_place(tab.id), not_before=not_before, after=after)

    def _pause_is_over_at(self) -> datetime | None:
        """After a loss or a failed attempt before this one the pause grows; after the first loss there is none."""
        earlier = self.tab.tries.attempt if self.tab.tries else len(self._recent_losses()) - 1
        return self._draft.now + self._draft.figures.backoff(self._id, earlier) if earlier > 0 else None

    @order
    def lose_session(self) -> None:
        """The agent process is not trusted any more: the next one gets the next number."""
        self.drop_work()
        self._put(session=self.tab.session + 1, agent_process=None)

    @order
    def note_loss(self) -> None:
        """Remember when, for an agent that dies again and again."""
        self._put(losses=(*self._recent_losses(), self._draft.now))

    @order
    def forget_losses(self) -> None:
        """It was lost too often; whoever asks for another try begins a new count."""
        self._put(losses=())

    @order
    def forget_session(self) -> None:
        """The agent's own session cannot be taken up again: a new one begins, in a process of its own."""
        self._put(session=self.tab.session + 1, session_id=None, tries=None)

    @order
    def forget_tries(self) -> None:
        """Somebody asked for it again: it counts anew."""
        self._put(tries=None)

    @order
    def drop_work(self) -> None:
        """Take back the session that is being made."""
        for intent in self._draft.of_tab(self._id, CreateSession, ResumeSession):
            self._draft.cancel(intent)

    @order
    def end_session(self) -> None:
        """Order the end of every session of this tab, unless none was ordered in this sandbox, or the sandbox is stopped."""
        task, tab = self.task, self.tab
        was_ordered = tab.generation == task.generation
        if was_ordered and task.box_ordered and task.at != STOPPED:
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
        self._draft.cancel_wakes(f"closing:{self._id}")
        self._put(closed_at=self._draft.now, agent_process=None)
        self._draft.note(HistoryKind.TAB_CLOSED, self._id)

    @order
    def note_failed_attempt(self) -> None:
        """One attempt failed and another follows; it counts as the task's step while that waits for sessions."""
        assert self._failed is not None and self._intent is not None
        retry_at = self._draft.next_attempt_at(self._intent, self._failed)
        assert retry_at is not None
        attempt = self._intent.attempt
        self._put(tries=Tries(type(self._intent.body).__name__, attempt, None))
        self._draft.note(
            HistoryKind.TASK_STEP_FAILED,
            self._id,
            step="init_create_session",
            attempt=attempt,
            retry_at=retry_at.isoformat(),
            reason=self._failed.reason,
            **{"class": self._failed.failure_class.value},
        )

    @order
    def fail(self) -> None:
        """Rest in `error`: with the task's reason, or with its own."""
        failure = self._own_failure() if self.tab.at == ERROR_SESSION else self.task.failure
        assert failure is not None
        self._put(failure=failure, agent_process=None)
        self._draft.note(
            HistoryKind.TAB_FAILED,
            self._id,
            cause=self.tab.at.removeprefix("error/"),
            reason=failure.reason,
            **{"class": failure.failure_class.value},
        )

    def _own_failure(self) -> Failure:
        assert self._failed is not None
        return Failure(
            step="init_create_session",
            failure_class=self._failed.failure_class,
            reason=self._failed.reason,
            attempts=self._intent.attempt if self._intent else 1,
            retry="opens the session again",
            log_tail=self._failed.log_tail,
        )


MACHINE = build(STATES, ROWS, TabCursor)
