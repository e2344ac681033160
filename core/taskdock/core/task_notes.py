"""Task notes: the orders of the task table that tell people something, with what the task remembers of it.

Owns: `TaskNotes`, between the guards and the cursor: heals, losses, releases, failed attempts, work that was given up.
Never: an intent ordered; a status.
Reads as: task.py names these methods -> `fire` calls them -> history, and the draft.
"""

from typing import Any

from attrs import evolve

from taskdock.core.change import BranchHold
from taskdock.core.history import HistoryKind
from taskdock.core.inputs import Failed, FailureClass, Observed, SandboxReleased
from taskdock.core.intents import CloseSession, CollectWork
from taskdock.core.machine import order
from taskdock.core.task_guards import TaskGuards


class TaskNotes(TaskGuards):
    """What the rows tell."""

    def _put(self, **changes: Any) -> None:
        self._draft.put(evolve(self.task, updated_at=self._draft.now, **changes))

    @order
    def give_up_work(self) -> None:
        """Work could not be brought out and was forced away: say so for ever."""
        assert self._failed is not None
        self._note_given_up(self._failed.reason)

    @order
    def note_given_up(self) -> None:
        """Work that may still be in a sandbox that is replaced goes with it: say so for ever."""
        if self.work_is_owed():
            self._note_given_up(f"the sandbox is {self._value(Observed).phase.value}")

    def _note_given_up(self, reason: str) -> None:
        self._draft.note(HistoryKind.WORK_GIVEN_UP, reason=reason, head=self.task.head)

    @order
    def note_heal(self) -> None:
        """The sandbox is started again or replaced: count it, and take back the copies that were to be made of its work."""
        self._put(heals=(*self._recent_heals(), self._draft.now))
        for intent in self._draft.intents(CollectWork):
            self._draft.cancel(intent)

    @order
    def note_unstable(self) -> None:
        """Too many heals: the next one is for somebody to decide."""
        minutes = round(self._draft.figures.heals_seconds / 60)
        seen = self._value(Observed)
        reason = (
            f"unstable: the sandbox is {seen.phase.value}, and it was replaced or started again "
            f"{len(self._recent_heals())} times within {minutes} minutes"
        )
        self._failed = Failed(FailureClass.PERMANENT, reason)

    @order
    def note_unseen(self) -> None:
        """Nobody could say in time what became of the sandbox."""
        seen = self._value(Observed)
        why = f": {seen.reason}" if seen.reason else ""
        self._failed = Failed(
            FailureClass.DEADLINE, f"the sandbox is still {seen.phase.value}, says its provider{why}"
        )

    @order
    def note_failed_attempt(self) -> None:
        """One attempt failed and another follows."""
        assert self._failed is not None and self._intent is not None
        retry_at = self._draft.next_attempt_at(self._intent, self._failed)
        step = self.task.step
        assert step is not None
        self._put(step=evolve(step, attempt=self._intent.attempt + 1, retry_at=retry_at, progress=None))
        self._draft.note(
            HistoryKind.TASK_STEP_FAILED,
            step=self.task.at,
            attempt=self._intent.attempt,
            retry_at=retry_at.isoformat() if retry_at else None,
            reason=self._failed.reason,
            **{"class": self._failed.failure_class.value},
        )

    @order
    def note_retried(self) -> None:
        """Somebody asked to go on."""
        self._draft.note(HistoryKind.TASK_RETRIED, step=self.task.at.removeprefix("error/"))

    @order
    def note_resumed(self) -> None:
        """Somebody, or a message, wants it to go on."""
        self._put(resume_wanted=False)
        self._draft.note(HistoryKind.TASK_RESUMED)

    @order
    def note_unarchived(self) -> None:
        """Its branch is held again, and its work comes back from the service clone."""
        task = self.task
        self._put(force=False)
        if task.branch is not None:
            self._draft.hold = BranchHold(task.repo_id, task.branch, task.id)
        self._draft.note(HistoryKind.TASK_UNARCHIVED, branch=task.branch)

    @order
    def note_lost(self) -> None:
        """A sandbox that had run is gone without our doing: what the service clone holds of it is its last head."""
        if self.task.mark is not None:
            self._draft.note(
                HistoryKind.SANDBOX_LOST,
                sandbox=self.task.sandbox.name,
                head=self.task.head,
                work_owed=self.task.work_owed,
            )

    @order
    def note_released(self) -> None:
        """The sandbox is gone for good: the next one has the next generation, and sessions in this one are over."""
        self._value(SandboxReleased)
        task = self.task
        self._draft.note(HistoryKind.SANDBOX_RELEASED, sandbox=task.sandbox.name)
        for intent in self._draft.intents(CloseSession):
            self._draft.cancel(intent)
        self._put(
            generation=task.generation + 1,
            box_ordered=False,
            create_began=None,
            box_ready=False,
            mark=None,
            destroy_ordered=False,
            absent_at=None,
        )
