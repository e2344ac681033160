"""Task orders: what the rows of the task table ask, take over and order.

Owns: `TaskCursor`, the guards and orders of task.py.
Never: a status assigned but by `transitions`, through `TaskCursor.state`; a change to a tab, message or turn.
Reads as: task.py names these methods -> `fire` calls them -> they change the draft.
"""

from typing import Any, TypeVar

from attrs import evolve

from taskdock.core.change import BranchHold, Draft, Place
from taskdock.core.history import HistoryKind
from taskdock.core.inputs import AwaitReady, Failed, NameEnsured, SandboxReady, WorkCollected
from taskdock.core.intents import (
    Body,
    CancelTurn,
    CollectWork,
    CreateSandbox,
    DestroySandbox,
    EnsureAgent,
    EnsureName,
    Intent,
    SendPrompt,
    Tell,
    Wake,
)
from taskdock.core.machine import guard, order
from taskdock.core.step import Failure, Step
from taskdock.core.task_record import (
    AGENT,
    COLLECT,
    CREATE,
    DESTROY,
    NAMING,
    QUEUED,
    RUNNING,
    SESSION,
    STEPS,
    WAIT_REPO,
    Task,
)

_ON_RETRY = {
    WAIT_REPO: "starts the clone again and waits for it",
    QUEUED: "asks for a name again",
    NAMING: "asks for a name again",
    CREATE: "ensures the sandbox again",
    AGENT: "checks the sandbox, then starts the agent again",
    SESSION: "checks the sandbox and the agent, then opens the sessions again",
    RUNNING: "ensures the sandbox again and opens new sessions",
    COLLECT: "tries to bring the work out again; `kill --force` gives it up",
    DESTROY: "tries to release the sandbox again",
}

_ValueT = TypeVar("_ValueT")

RELEASE_LANE = "release"
"""Not the provider's own lane, so that ending a sandbox never queues behind making others."""


class TaskCursor:
    """Guards and orders of the table, on the task of one draft. `intent` and `failed` are those of the input, if any."""

    def __init__(
        self,
        draft: Draft,
        task_id: str,
        *,
        input_: object = None,
        intent: Intent | None = None,
        failed: Failed | None = None,
        attempts: int = 1,
    ) -> None:
        self._draft = draft
        self._id = task_id
        self._input = input_
        self._intent = intent
        self._failed = failed
        self._attempts = intent.attempt if intent else attempts

    @property
    def task(self) -> Task:
        """The task as it stands in the draft."""
        return self._draft.get(Task, self._id)

    @property
    def state(self) -> str:
        """The machine state; only `transitions` assigns it, row by row."""
        return self.task.at

    @state.setter
    def state(self, entered: str) -> None:
        task, now = self.task, self._draft.now
        if entered == task.at:
            return
        self._draft.entered.append(entered)
        if entered not in STEPS:
            self._put(at=entered, step=None, failure=None)
            return
        self._put(at=entered, step=Step(entered, attempt=1, started_at=now), failure=None)
        if entered == QUEUED:
            self._draft.note(HistoryKind.TASK_PROVISION_QUEUED)
        else:
            self._draft.note(HistoryKind.TASK_STEP_STARTED, step=entered)

    def _put(self, **changes: Any) -> None:
        self._draft.put(evolve(self.task, updated_at=self._draft.now, **changes))

    def _ensure(self, body: Body, subject: str, lane: str) -> None:
        """Order the intent unless one of its kind is open; after a failed run it is the next one, with its pause."""
        if self._draft.intents(type(body)):
            return
        again = (
            self._failed is not None and self._intent is not None and type(self._intent.body) is type(body)
        )
        after = self._intent if again else None
        not_before = self._draft.next_attempt_at(after, self._failed)
        self._draft.order(body, Place(subject, lane), not_before=not_before, after=after)

    # Guards

    @guard
    def repo_is_ready(self) -> bool:
        """The repo's clone was ready when the task last heard of it."""
        return self.task.repo_is_ready

    @guard
    def box_ordered(self) -> bool:
        """A sandbox of this generation was ordered and not released."""
        return self.task.box_ordered

    @guard
    def work_is_owed(self) -> bool:
        """There may be work in the sandbox that the service clone does not hold."""
        return self.task.box_ordered and self.task.work_owed

    @guard
    def all_is_in(self) -> bool:
        """The collection left nothing behind."""
        return not self._value(WorkCollected).uncommitted

    @guard
    def is_forced(self) -> bool:
        """The user gave up what cannot be brought out."""
        return self.task.force

    @guard
    def asks_for_more_force(self) -> bool:
        """A kill with force while one without is under way."""
        return bool(getattr(self._input, "force", False)) and not self.task.force

    @guard
    def may_try_again(self) -> bool:
        """The failure may pass, and attempts and deadline allow one more run."""
        return self._draft.next_attempt_at(self._intent, self._failed) is not None

    # Orders: what a row takes over

    @order
    def take_repo(self) -> None:
        """The repo is ready."""
        self._put(repo_is_ready=True)

    @order
    def take_name(self) -> None:
        """Title, branch and base are settled; the branch is held until the task is killed."""
        named = self._value(NameEnsured)
        self._put(title=named.title, branch=named.branch, base=named.base)
        self._draft.hold = BranchHold(self.task.repo_id, named.branch, self.task.id)
        self._draft.note(
            HistoryKind.TASK_NAMED, title=named.title, branch=named.branch, base=named.base, note=named.note
        )

    @order
    def take_sandbox(self) -> None:
        """The sandbox runs."""
        adopted = self._value(SandboxReady).adopted
        kind = HistoryKind.SANDBOX_ADOPTED if adopted else HistoryKind.SANDBOX_CREATED
        self._draft.note(kind, sandbox=self.task.sandbox.name, generation=self.task.generation)

    @order
    def take_work(self) -> None:
        """The service clone holds the work; only a collection that nothing could follow clears what is owed."""
        work = self._value(WorkCollected)
        assert self._intent is not None and isinstance(self._intent.body, CollectWork)
        owed = self.task.work_owed and not (self._intent.body.quiesce and not work.uncommitted)
        if work.head is not None and work.head != self.task.head:
            self._draft.note(
                HistoryKind.WORK_COLLECTED,
                head=work.head,
                branch=self.task.branch,
                moved=not work.branch_moved,
            )
            self._put(head=work.head, moved=not work.branch_moved, work_owed=owed)
        else:
            self._put(work_owed=owed)

    @order
    def take_force(self) -> None:
        """Remember that work may be given up."""
        self._put(force=self.task.force or bool(getattr(self._input, "force", False)))

    @order
    def drop_work(self) -> None:
        """A kill supersedes everything under way but the turns, which are settled first."""
        for intent in list(self._draft.open.values()):
            is_running_turn = isinstance(intent.body, SendPrompt) and intent.started
            if not is_running_turn and not isinstance(intent.body, CancelTurn):
                self._draft.cancel(intent)

    @order
    def give_up_work(self) -> None:
        """Work could not be brought out and was forced away: say so for ever."""
        assert self._failed is not None
        self._draft.note(HistoryKind.WORK_GIVEN_UP, reason=self._failed.reason, head=self.task.head)

    @order
    def note_failed_attempt(self) -> None:
        """One attempt failed and another follows."""
        assert self._failed is not None and self._intent is not None
        retry_at = self._draft.next_attempt_at(self._intent, self._failed)
        step = self.task.step
        assert step is not None and retry_at is not None
        self._put(step=evolve(step, attempt=self._intent.attempt + 1, retry_at=retry_at, progress=None))
        self._draft.note(
            HistoryKind.TASK_STEP_FAILED,
            step=self.task.at,
            attempt=self._intent.attempt,
            retry_at=retry_at.isoformat(),
            reason=self._failed.reason,
            **{"class": self._failed.failure_class.value},
        )

    @order
    def note_retried(self) -> None:
        """Somebody asked to go on."""
        self._draft.note(HistoryKind.TASK_RETRIED, step=self.task.at.removeprefix("error/"))

    @order
    def note_lost(self) -> None:
        """The sandbox is gone without our doing."""
        reason = self._failed.reason if self._failed else None
        self._draft.note(
            HistoryKind.SANDBOX_LOST, sandbox=self.task.sandbox.name, head=self.task.head, reason=reason
        )

    @order
    def note_released(self) -> None:
        """The sandbox is gone by our doing."""
        self._put(box_ordered=False)
        self._draft.note(HistoryKind.SANDBOX_RELEASED, sandbox=self.task.sandbox.name)

    # Orders: what a state entered asks for

    @order
    def await_repo(self) -> None:
        """Ask the repo to say when it is ready; the number tells its answer from one to an older question."""
        ask = self._draft.next_run
        self._draft.order(Tell(self.task.repo_id, AwaitReady(self.task.id, ask)), Place(f"ask:{ask}", "tell"))
        step = self.task.step
        assert step is not None
        self._put(ask=ask, step=evolve(step, waits_for=f"clone of {self.task.repo_id}"))

    @order
    def ensure_name(self) -> None:
        """Order the naming; what the user gave is handed on."""
        task = self.task
        body = EnsureName(
            task_id=task.id,
            repo_id=task.repo_id,
            message_id=task.first_message_id,
            title=task.title if task.title_given else None,
            branch=task.branch if task.branch_given else None,
            base=task.base,
            attempt=task.step.attempt if task.step else 1,
        )
        self._ensure(body, "name", "naming")

    @order
    def create_sandbox(self) -> None:
        """Order the sandbox of this generation; from here on one may exist."""
        task = self.task
        assert task.branch is not None and task.base is not None
        body = CreateSandbox(task.sandbox, task.repo_id, task.branch, task.base)
        self._put(box_ordered=True)
        self._ensure(body, "sandbox", f"sandbox:{task.provider}")

    @order
    def ensure_agent(self) -> None:
        """Order the agent's server."""
        self._ensure(EnsureAgent(self.task.sandbox, self.task.agent), "sandbox", "agent")

    @order
    def come_up(self) -> None:
        """The task is provisioned."""
        self._draft.note(HistoryKind.TASK_RUNNING)

    @order
    def settle(self) -> None:
        """Give running turns a bounded time to end."""
        if not self._draft.intents(Wake):
            at = self._draft.after(self._draft.figures.settle_seconds)
            self._draft.order(Wake("settle"), Place("settle", "wake"), not_before=at)

    @order
    def collect_work(self) -> None:
        """Order a collection that nothing can follow."""
        task = self.task
        assert task.branch is not None
        self._ensure(CollectWork(task.sandbox, task.repo_id, task.branch, quiesce=True), "sandbox", "collect")

    @order
    def destroy_sandbox(self) -> None:
        """Order the end of this generation's sandbox."""
        self._ensure(DestroySandbox(self.task.sandbox), "sandbox", RELEASE_LANE)

    @order
    def let_go(self) -> None:
        """Nothing of the task is left: free its branch, take back what is still open."""
        task = self.task
        if task.branch is not None:
            self._draft.release = BranchHold(task.repo_id, task.branch, task.id)
        for intent in list(self._draft.open.values()):
            self._draft.cancel(intent)
        self._draft.note(HistoryKind.TASK_KILLED, head=task.head, branch=task.branch)

    @order
    def fail(self) -> None:
        """Rest in `error`: say why, and what a retry will do."""
        assert self._failed is not None
        step = self.task.at.removeprefix("error/")
        self._put(
            failure=Failure(
                step=step,
                failure_class=self._failed.failure_class,
                reason=self._failed.reason,
                attempts=self._attempts,
                retry=_ON_RETRY[step],
                log_tail=self._failed.log_tail,
            )
        )
        self._draft.note(
            HistoryKind.TASK_FAILED,
            step=step,
            attempts=self._attempts,
            reason=self._failed.reason,
            **{"class": self._failed.failure_class.value},
        )

    def _value(self, kind: type[_ValueT]) -> _ValueT:
        """The value that the input brought; the trigger's name already promised its type."""
        assert isinstance(self._input, kind)
        return self._input
