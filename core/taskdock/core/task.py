"""Task: one coding job on one branch of one repo, with at most one live sandbox.

Owns: `TaskStatus`, the task table, the `Task` record, its guards and orders.
Never: a change to a tab, message or turn; what a task's status means for them is policy (task_policies.py).
Reads as: task_boundary matches an input to an open intent -> fires its trigger here -> the row alone sets the status.

Rule 1. A state is `status/step`; clients rely on the part before the slash. A failed state is `error/<the state that failed>`.
Rule 2. Entering a state orders its intent, unless one is open; entering it again (`=`) so orders the next run.
Rule 3. A step that fails for now is tried again, with a pause, until its attempts or its deadline are used up; what fails
        for good, or too often, leads to `error`, where it rests until somebody retries or kills.
Rule 4. Retry never trusts what it remembers of a sandbox that was ordered: it ensures it again, which adopts it.
Rule 5. A kill settles running turns, brings owed work out, and only then releases; nothing undoes it.
"""

from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

from attrs import evolve, frozen

from taskdock.core.change import BranchHold, Draft, Place
from taskdock.core.history import HistoryKind
from taskdock.core.inputs import AwaitReady, Failed, NameEnsured, SandboxReady, WorkCollected
from taskdock.core.intents import (
    Body,
    CollectWork,
    CreateSandbox,
    DestroySandbox,
    EnsureAgent,
    EnsureName,
    Intent,
    Sandbox,
    SendPrompt,
    Tell,
    Wake,
)
from taskdock.core.machine import NEW, Row, build, guard, order
from taskdock.core.step import Failure, Step
from taskdock.core.values import sandbox_name


class TaskStatus(Enum):
    """What clients see. The briefs fixed the words; each says who moves the task on."""

    INIT_ENQUEUE_PROVISION = "init_enqueue_provision"
    """Accepted. The scheduler claims the naming; with `/wait_repo` the repo's clone has to finish first."""
    INIT_ENSURE_NAME = "init_ensure_name"
    """Title and branch are being settled; NameEnsured moves it."""
    INIT_CREATE_SANDBOX = "init_create_sandbox"
    """The sandbox is being made and the branch checked out; SandboxReady moves it."""
    INIT_ENSURE_AGENT = "init_ensure_agent"
    """The agent's server is being started; AgentReady moves it."""
    INIT_CREATE_SESSION = "init_create_session"
    """The tabs get their sessions; the first tab that is ready moves it."""
    RUNNING = "running"
    """Provisioned. Rests here; a kill or a lost sandbox moves it."""
    ERROR = "error"
    """Failed, with step, class and reason. Rests here until retry or kill."""
    KILLING = "killing"
    """Turns are settled, work is brought out, the sandbox is released; SandboxReleased moves it."""
    KILLED = "killed"
    """Gone for good."""


WAIT_REPO = "init_enqueue_provision/wait_repo"
QUEUED = "init_enqueue_provision"
NAMING = "init_ensure_name"
CREATE = "init_create_sandbox/create"
AGENT = "init_ensure_agent"
SESSION = "init_create_session"
RUNNING = "running"
SETTLE = "killing/settle"
COLLECT = "killing/collect"
DESTROY = "killing/destroy"
KILLED = "killed"


def error_of(state: str) -> str:
    """The state in which a task rests after failing in `state`."""
    return f"error/{state}"


UP = (SESSION, RUNNING)
"""Where tabs may have sessions."""

STEPS = (WAIT_REPO, QUEUED, NAMING, CREATE, AGENT, SESSION, SETTLE, COLLECT, DESTROY)
"""The states with work under way; each gets a step record when it is entered."""

PROVISIONED_BY = (WAIT_REPO, QUEUED, NAMING, CREATE, AGENT, SESSION, RUNNING)
FAILED = tuple(error_of(state) for state in PROVISIONED_BY)
KILL_FAILED = (error_of(COLLECT), error_of(DESTROY))

STATES: dict[str, tuple[str, ...]] = {
    NEW: (),
    WAIT_REPO: ("await_repo",),
    QUEUED: ("ensure_name",),
    NAMING: ("ensure_name",),
    CREATE: ("create_sandbox",),
    AGENT: ("ensure_agent",),
    SESSION: (),
    RUNNING: ("come_up",),
    SETTLE: ("settle",),
    COLLECT: ("collect_work",),
    DESTROY: ("destroy_sandbox",),
    KILLED: ("let_go",),
    **dict.fromkeys((*FAILED, *KILL_FAILED), ("fail",)),
}


def _tried_again(*states: str) -> list[Row]:
    """A failure in these states: the same state again while attempts and deadline last, else its error."""
    again = Row("failed", states, "=", when="may_try_again", then="note_failed_attempt")
    return [again, *(Row("failed", state, error_of(state)) for state in states)]


ROWS = (
    Row("create", NEW, QUEUED, when="repo_is_ready"),
    Row("create", NEW, WAIT_REPO),
    Row("repo_ready", WAIT_REPO, QUEUED, then="take_repo"),
    Row("repo_failed", WAIT_REPO, error_of(WAIT_REPO)),
    Row("started", QUEUED, NAMING),
    Row("name_ensured", (QUEUED, NAMING), CREATE, then="take_name"),
    Row("sandbox_ready", CREATE, AGENT, then="take_sandbox"),
    Row("agent_ready", AGENT, SESSION),
    Row("session_settled", SESSION, RUNNING),
    Row("sessions_failed", SESSION, error_of(SESSION)),
    *_tried_again(QUEUED, NAMING, CREATE, AGENT, DESTROY),
    Row("sandbox_lost", RUNNING, error_of(RUNNING), then="note_lost"),
    Row("retry", FAILED, CREATE, when="box_ordered", then="note_retried"),
    Row("retry", FAILED, QUEUED, when="repo_is_ready", then="note_retried"),
    Row("retry", FAILED, WAIT_REPO, then="note_retried"),
    Row("retry", error_of(COLLECT), COLLECT, then="note_retried"),
    Row("retry", error_of(DESTROY), DESTROY, then="note_retried"),
    Row("kill", (*PROVISIONED_BY, *FAILED, *KILL_FAILED), SETTLE, then=("take_force", "drop_work")),
    Row("kill", (SETTLE, COLLECT, DESTROY), "=", when="asks_for_more_force", then="take_force"),
    Row("settled", SETTLE, COLLECT, when="work_is_owed"),
    Row("settled", SETTLE, DESTROY, when="box_ordered"),
    Row("settled", SETTLE, KILLED),
    Row("work_collected", COLLECT, DESTROY, when="all_is_in", then="take_work"),
    Row("work_collected", COLLECT, DESTROY, when="is_forced", then=("take_work", "give_up_work")),
    Row("work_collected", COLLECT, error_of(COLLECT), then="take_work"),
    Row("failed", COLLECT, "=", when="may_try_again", then="note_failed_attempt"),
    Row("failed", COLLECT, DESTROY, when="is_forced", then="give_up_work"),
    Row("failed", COLLECT, error_of(COLLECT)),
    Row("sandbox_released", DESTROY, KILLED, then="note_released"),
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


@frozen
class Task:
    """A task as it is stored. `at` is its machine state, written by the table alone."""

    id: str
    workspace: str
    owner: str
    repo_id: str
    provider: str
    agent: str
    first_message_id: str
    title: str
    created_at: datetime
    updated_at: datetime
    title_given: bool = False
    branch: str | None = None
    branch_given: bool = False
    base: str | None = None
    at: str = NEW
    repo_is_ready: bool = False
    ask: int = 0
    generation: int = 1
    box_ordered: bool = False
    work_owed: bool = False
    """A prompt may have been sent since the last collection that nothing could follow."""
    head: str | None = None
    """The last commit of the task that the service clone holds."""
    moved: bool = False
    """The branch was moved elsewhere; the work is under the task's own ref."""
    force: bool = False
    tabs_opened: int = 0
    step: Step | None = None
    failure: Failure | None = None

    @property
    def status(self) -> TaskStatus:
        """The status of the contract: what stands before the slash."""
        return TaskStatus(self.at.partition("/")[0])

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox of the current generation; its name holds whether or not it was ordered yet."""
        name = sandbox_name(self.owner, self.id, self.generation)
        return Sandbox(self.provider, name, self.owner, self.id, self.generation)


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
            if not (isinstance(intent.body, SendPrompt) and intent.started):
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


MACHINE = build(STATES, ROWS, TaskCursor)
