"""Task asks: what a task asks its repo, what it makes of the answers, and what it tells it.

Owns: `TaskAsks`, between the notes and the cursor, and `is_for_others`.
Never: a wait without a name; the step says which clone or which job it waits for.
Reads as: task.py names these methods -> `fire` calls them -> `Tell` -> repo_boundary, and its answers back.
"""

from attrs import evolve

from taskdock.core.change import Place
from taskdock.core.history import HistoryKind
from taskdock.core.inputs import (
    AwaitBranch,
    AwaitReady,
    BranchAwaited,
    BranchBorn,
    BranchReady,
    NoLongerWaits,
)
from taskdock.core.intents import Intent, Tell
from taskdock.core.machine import order
from taskdock.core.task_notes import TaskNotes
from taskdock.core.task_record import ATTACH

_LANE = "tell"


def is_for_others(intent: Intent) -> bool:
    """Whether an intent tells another boundary something that it needs, whatever becomes of the task."""
    return isinstance(intent.body, Tell) and isinstance(intent.body.input, NoLongerWaits | BranchBorn)


class TaskAsks(TaskNotes):
    """What goes between a task and its repo."""

    # Orders of rows: the answers

    @order
    def take_repo(self) -> None:
        """The repo is ready."""
        self._put(repo_is_ready=True)

    @order
    def take_job(self) -> None:
        """The job that registers the branch has a name now."""
        step, job_id = self.task.step, self._value(BranchAwaited).job_id
        assert step is not None
        self._put(step=evolve(step, waits_for=f"{job_id}, which registers {self.task.branch}", job_id=job_id))

    @order
    def take_branch(self) -> None:
        """The branch is there, and so is the clone that it is in."""
        ready = self._value(BranchReady)
        self._put(repo_is_ready=True, is_attached=True)
        self._draft.note(
            HistoryKind.TASK_ATTACHED, branch=self.task.branch, head=ready.head, job=ready.job_id
        )

    # Orders of states: the questions

    @order
    def await_repo(self) -> None:
        """Ask the repo to say when it is ready; the number tells its answer from one to an older question."""
        ask = self._draft.next_run
        self._say(ask, AwaitReady(self.task.id, ask))
        self._wait_for(ask, f"clone of {self.task.repo_id}")

    @order
    def await_branch(self) -> None:
        """Ask the repo to register the branch, unless that was asked; the job is not known before the first answer."""
        task, ask = self.task, self._draft.next_run
        assert task.branch is not None
        if task.step is not None and task.step.waits_for is None:
            self._say(ask, AwaitBranch(task.id, ask, task.branch))
            self._wait_for(ask, f"branch {task.branch} of {task.repo_id}")

    def stop_waiting(self) -> None:
        """Take the question about the branch back, so that its job can be cancelled without asking this task."""
        if self.task.at == ATTACH:
            self._say(self.task.ask, NoLongerWaits(self.task.id, self.task.ask))

    def tell_born(self, head: str) -> None:
        """The service clone has the task's branch, which nobody had before: its repo takes it into the stack."""
        task, ask = self.task, self._draft.next_run
        assert task.branch is not None and task.base is not None
        self._say(ask, BranchBorn(task.id, ask, task.branch, task.base, head))

    def _say(self, ask: int, said: AwaitReady | AwaitBranch | NoLongerWaits | BranchBorn) -> None:
        # What takes a question back has its subject, so it waits until an execution of the question has ended.
        self._draft.order(Tell(self.task.repo_id, said), Place(f"ask:{ask}", _LANE))

    def _wait_for(self, ask: int, waits_for: str) -> None:
        step = self.task.step
        assert step is not None
        self._put(ask=ask, step=evolve(step, waits_for=waits_for))
