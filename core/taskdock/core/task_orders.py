"""Task orders: what the rows of the task table take over, and what its states order.

Owns: `TaskCursor`, the orders of task.py.
Never: a status assigned but by `transitions`, through `TaskCursor.state`; a change to a tab, message or turn.
Reads as: task.py names these methods -> `fire` calls them -> they change the draft.
"""

from datetime import datetime

from attrs import evolve

from taskdock.core.change import BranchHold, Place
from taskdock.core.history import HistoryKind
from taskdock.core.inputs import (
    NameEnsured,
    Observed,
    SandboxLost,
    SandboxPhase,
    SandboxReady,
    SandboxReleased,
    SandboxStopped,
    WorkCollected,
)
from taskdock.core.intents import (
    Body,
    CancelTurn,
    CloseSession,
    CollectWork,
    CreateSandbox,
    DestroySandbox,
    EnsureAgent,
    EnsureName,
    Intent,
    ObserveSandbox,
    SendPrompt,
    StopSandbox,
    Wake,
)
from taskdock.core.machine import order
from taskdock.core.step import Failure, Step, Tries
from taskdock.core.task_asks import TaskAsks, is_for_others
from taskdock.core.task_record import QUEUED, STEPS
from taskdock.core.task_retry import on_retry

RELEASE_LANE = "release"
"""Not the provider's own lane, so that ending a sandbox never queues behind making others."""

_SUPERSEDED = (EnsureName, CreateSandbox, ObserveSandbox, EnsureAgent)


def _outlasts(not_before: datetime | None, deadline_at: datetime | None) -> bool:
    """Whether the next run may begin only after the deadline: a wait for the window of a create is no time of its own."""
    return not_before is not None and deadline_at is not None and not_before >= deadline_at


class TaskCursor(TaskAsks):
    """Guards and orders of the table, on the task of one draft."""

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
            why = {"reason": self._input.reason} if isinstance(self._input, SandboxLost) else {}
            self._draft.note(HistoryKind.TASK_STEP_STARTED, step=entered, **why)

    def _ensure(self, body: Body, place: Place, *, not_before: datetime | None = None) -> None:
        """Order the intent unless one of its kind is open: the next run after a failed one, or after one that a look cut off."""
        if self._draft.intents(type(body)):
            return
        after = self._run_before(type(body))
        if not_before is None and isinstance(after, Intent):
            not_before = self._draft.next_attempt_at(after, self._failed)
        elif not_before is None and after is not None:
            not_before = self._draft.now + self._draft.figures.backoff(self._id, after.attempt)
        if after is not None and _outlasts(not_before, after.deadline_at):
            after = Tries(type(body).__name__, after.attempt, None)
        self._draft.order(body, place, not_before=not_before, after=after)

    def _run_before(self, kind: type[Body]) -> Intent | Tries | None:
        if self._intent is not None and type(self._intent.body) is kind:
            if self._failed is not None:
                return self._intent
            # It succeeded and has to be done again: within the deadline of all its runs.
            return Tries(kind.__name__, self._intent.attempt, self._intent.deadline_at)
        tries = self.task.tries
        return tries if tries is not None and tries.kind == kind.__name__ else None

    # Orders: what a row takes over

    @order
    def take_name(self) -> None:
        """Title, branch and base are settled; the branch is held until the task is archived or killed."""
        named, task = self._value(NameEnsured), self.task
        title = task.title if task.title_given else named.title
        self._put(title=title, branch=named.branch, base=named.base, is_named=True)
        self._draft.hold = BranchHold(task.repo_id, named.branch, task.id)
        self._draft.note(
            HistoryKind.TASK_NAMED, title=title, branch=named.branch, base=named.base, note=named.note
        )

    @order
    def take_box(self) -> None:
        """The sandbox runs; where it is not the one that ran before, that one is gone with what was in it."""
        if not self.is_the_same():
            self.note_lost()
            self._forget_work()
        self._put(mark=self._value(SandboxReady).mark)

    @order
    def take_sandbox(self) -> None:
        """The branch is checked out in it."""
        adopted = self._value(SandboxReady).adopted
        kind = HistoryKind.SANDBOX_ADOPTED if adopted else HistoryKind.SANDBOX_CREATED
        self._put(box_ready=True, discard=False, tries=None)
        self._draft.note(kind, sandbox=self.task.sandbox.name, generation=self.task.generation)

    @order
    def take_work(self) -> None:
        """The service clone holds the work; only a collection that nothing could follow clears what is owed."""
        work = self._value(WorkCollected)
        assert self._intent is not None and isinstance(self._intent.body, CollectWork)
        owed = self.task.work_owed and not (self._intent.body.quiesce and not work.uncommitted)
        head, kept = work.head or self.task.head, work.kept
        # Without a commit of its own there is nothing that its branch could have followed.
        moved = self.task.moved if work.head is None else not work.branch_moved
        # Also where a job has moved it since: a crash may come between the branch and the word of it.
        is_born = self.task.head is None and not self.task.on_branch
        if (head, kept) != (self.task.head, self.task.kept):
            self._draft.note(
                HistoryKind.WORK_COLLECTED, head=head, branch=self.task.branch, moved=moved, uncommitted=kept
            )
            self._put(head=head, kept=kept, moved=moved)
        if not moved:
            self._put(moved_from=None, moved_to=None)
        if is_born and head is not None:
            self.tell_born(head)
        self._put(work_owed=owed)

    @order
    def take_stop(self) -> None:
        """Nothing runs any more; where the sandbox is gone altogether, that is told."""
        if self._value(SandboxStopped).is_absent:
            self.note_lost()
            self._forget_work()
            self._put(mark=None)

    @order
    def take_force(self) -> None:
        """Remember that work may be given up."""
        self._put(force=self.task.force or bool(getattr(self._input, "force", False)))

    @order
    def take_discard(self) -> None:
        """The same of a retry."""
        self._put(discard=self.task.discard or bool(getattr(self._input, "discard", False)))

    @order
    def want_resume(self) -> None:
        """It goes on when it is stopped."""
        self._put(resume_wanted=True)

    @order
    def want_rest(self) -> None:
        """It stays stopped after all."""
        self._put(resume_wanted=False)

    @order
    def begin_ending(self) -> None:
        """A stop, archive or kill begins; what an archive gave up by force stays given up in the kill after it."""
        self._put(discard=False, woken=False, resume_wanted=False, tries=None)

    @order
    def drop_work(self) -> None:
        """What ends the task's work supersedes all under way but turns, which are settled first, and ends of sessions.

        Those go on until the sandbox is stopped or released: where that fails, no agent of a closed tab writes on.
        """
        for intent in list(self._draft.open.values()):
            is_running_turn = isinstance(intent.body, SendPrompt) and intent.started
            is_end = isinstance(intent.body, CancelTurn | CloseSession)
            if not is_running_turn and not is_end and not is_for_others(intent):
                self._draft.cancel(intent)
        self.stop_waiting()

    @order
    def drop_step(self) -> None:
        """What was ordered for the step is not wanted any more."""
        for kind in _SUPERSEDED:
            for intent in self._draft.intents(kind):
                self._draft.cancel(intent)

    @order
    def unorder_box(self) -> None:
        """No attempt to make the sandbox has begun, so there is none."""
        self._put(box_ordered=False)

    @order
    def keep_tries(self) -> None:
        """A look at the sandbox comes between; the step's next run counts on from this one."""
        assert self._intent is not None
        # Its deadline begins anew: the look may take longer than all its runs.
        self._put(tries=Tries(type(self._intent.body).__name__, self._intent.attempt, None))

    @order
    def forget_tries(self) -> None:
        """The step has succeeded."""
        self._put(tries=None)

    @order
    def forget_heals(self) -> None:
        """Somebody looked after it: earlier heals do not count any more."""
        self._put(heals=(), tries=None)

    def _forget_work(self) -> None:
        """The sandbox is gone, and with it what was still in it."""
        self._put(work_owed=False)

    @order
    def keep_work(self) -> None:
        """The sandbox runs after all: that its work might be given up was said of a broken one."""
        self._put(discard=False)

    @order
    def look_again(self) -> None:
        """Remember the first absence of this look; the state orders the next look."""
        seen = self._value(Observed)
        absent = seen.phase is SandboxPhase.ABSENT
        self._put(absent_at=(self.task.absent_at or seen.read_at) if absent else None)

    @order
    def wait_for_window(self) -> None:
        """A create may still land: look again when none can any more."""
        step = self.task.step
        assert step is not None
        self._put(step=evolve(step, waits_for="a create that may still land"))

    # Orders: what a state entered asks for

    @order
    def ensure_name(self) -> None:
        """Order the naming; what the user gave, or what was settled before, is handed on."""
        task = self.task
        body = EnsureName(
            task_id=task.id,
            repo_id=task.repo_id,
            message_id=task.first_message_id,
            title=task.title if task.title_given or task.is_named else None,
            branch=task.branch if task.branch_given or task.is_named else None,
            base=task.base,
            attempt=task.step.attempt if task.step else 1,
            is_kept=task.is_named,
            is_there=task.on_branch,
        )
        self._ensure(body, Place("name", "naming"))

    @order
    def create_sandbox(self) -> None:
        """Order the sandbox of this generation; from here on one may exist."""
        task = self.task
        assert task.branch is not None and task.base is not None
        body = CreateSandbox(task.sandbox, task.repo_id, task.branch, task.base)
        self._put(box_ordered=True, box_ready=False, absent_at=None)
        self._ensure(body, Place("sandbox", f"sandbox:{task.provider}"))

    @order
    def wake_sandbox(self) -> None:
        """Order the sandbox to be started once more, without an agent, so that its work can be brought out."""
        self._put(woken=True)
        self.create_sandbox()

    @order
    def observe_sandbox(self) -> None:
        """Order a look at the sandbox; a look behind one that found nothing waits for its time."""
        if self._intent is None or not isinstance(self._intent.body, ObserveSandbox):
            self._put(absent_at=None)
        not_before = None
        if isinstance(self._input, Observed) and self._intent is not None:
            not_before = self._next_look_at()
        # Beside whatever still runs there: it only looks.
        self._ensure(ObserveSandbox(self.task.sandbox), Place("look", "observe"), not_before=not_before)

    @order
    def ensure_agent(self) -> None:
        """Order the agent's server."""
        self._ensure(EnsureAgent(self.task.sandbox, self.task.agent), Place("sandbox", "agent"))

    @order
    def come_up(self) -> None:
        """The task is provisioned."""
        self._draft.note(HistoryKind.TASK_RUNNING)

    @order
    def settle(self) -> None:
        """Give running turns a bounded time to end."""
        if not any(intent.body == Wake("settle") for intent in self._draft.intents(Wake)):
            at = self._draft.after(self._draft.figures.settle_seconds)
            self._draft.order(Wake("settle"), Place("settle", "wake"), not_before=at)

    @order
    def collect_work(self) -> None:
        """Order a collection that nothing can follow."""
        task = self.task
        assert task.branch is not None
        body = CollectWork(task.sandbox, task.repo_id, task.branch, quiesce=True, mark=task.mark or "")
        self._ensure(body, Place("sandbox", "collect"))

    @order
    def stop_sandbox(self) -> None:
        """Order the stop of this generation's sandbox."""
        body = StopSandbox(self.task.sandbox)
        self._ensure(body, Place("sandbox", RELEASE_LANE), not_before=self._settled_at())

    @order
    def destroy_sandbox(self) -> None:
        """Order the end of this generation's sandbox: from here on it is never started again, and owes nothing."""
        self._put(destroy_ordered=True, work_owed=False)
        body = DestroySandbox(self.task.sandbox)
        self._ensure(body, Place("sandbox", RELEASE_LANE), not_before=self._settled_at())

    def _settled_at(self) -> datetime | None:
        """When to ask again after an absence that came too early to prove anything.

        Where that time is over, the look was not late enough all the same: the clock was set, and the look did not go by it.
        """
        seen = self._input
        if not isinstance(seen, SandboxReleased | SandboxStopped):
            return None
        at = self.task.settled_at(seen.create_window_seconds, self._draft.figures.call_seconds)
        now = self._draft.now
        return at if at is None or at > now else now + (at - seen.read_at)

    @order
    def be_stopped(self) -> None:
        """Nothing of it runs: what is still open is not wanted any more."""
        self._take_back_all()
        self._put(discard=False)
        self._draft.note(HistoryKind.TASK_STOPPED, head=self.task.head, branch=self.task.branch)

    @order
    def be_archived(self) -> None:
        """Its work is in the service clone, its sandbox is gone."""
        self._draft.note(HistoryKind.TASK_ARCHIVED, head=self.task.head, branch=self.task.branch)

    @order
    def be_killed(self) -> None:
        """It is gone for good."""
        self._draft.note(HistoryKind.TASK_KILLED, head=self.task.head, branch=self.task.branch)

    @order
    def let_go(self) -> None:
        """Nothing of the task is left outside: free its branch, take back what is still open."""
        task = self.task
        if task.branch is not None:
            self._draft.release = BranchHold(task.repo_id, task.branch, task.id)
        self._take_back_all()

    def _take_back_all(self) -> None:
        for intent in list(self._draft.open.values()):
            if not is_for_others(intent):
                self._draft.cancel(intent)

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
                retry=on_retry(step),
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
