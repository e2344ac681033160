"""Task guards: what the rows of the task table ask before they are taken.

Owns: `TaskGuards`, the base of the cursor: the task of one draft, and what the input brought.
Never: a change; a guard may be asked twice, or in vain.
Reads as: task.py names these methods -> `fire` asks them -> task_orders.py does what the row says.
"""

from datetime import datetime, timedelta
from typing import TypeVar

from taskdock.core.change import Draft
from taskdock.core.inputs import (
    Failed,
    FailureClass,
    Observed,
    SandboxPhase,
    SandboxReady,
    SandboxReleased,
    SandboxStopped,
    WorkCollected,
)
from taskdock.core.intents import Intent
from taskdock.core.machine import guard
from taskdock.core.task_record import Task

_ValueT = TypeVar("_ValueT")

_UNCLEAR = (FailureClass.UNREACHABLE, FailureClass.UNKNOWN)
_BROKEN = (SandboxPhase.FAILED, SandboxPhase.DESTROYING)


class TaskGuards:
    """The task of one draft, and the questions that rows ask. `intent` and `failed` are those of the input, if any."""

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

    def _value(self, kind: type[_ValueT]) -> _ValueT:
        """The value that the input brought; the trigger's name already promised its type."""
        assert isinstance(self._input, kind)
        return self._input

    # What the task is

    @guard
    def repo_is_ready(self) -> bool:
        """The repo's clone was ready when the task last heard of it."""
        return self.task.repo_is_ready

    @guard
    def must_attach(self) -> bool:
        """It shall work on a branch that is to be there already, and nobody knows yet whether it is."""
        return self.task.on_branch and not self.task.is_attached

    @guard
    def is_named(self) -> bool:
        """Title, branch and base are settled."""
        return self.task.is_named

    @guard
    def box_ordered(self) -> bool:
        """A sandbox of this generation was ordered and not released."""
        return self.task.box_ordered

    @guard
    def create_never_began(self) -> bool:
        """No attempt to make this generation's sandbox has begun: there can be none."""
        return self.task.create_began is None

    @guard
    def box_is_ready(self) -> bool:
        """The sandbox has run since it was last asked for, with the branch checked out in it."""
        return self.task.box_ready

    @guard
    def destroy_was_ordered(self) -> bool:
        """The end of this generation's sandbox was ordered: only its release leads on."""
        return self.task.destroy_ordered

    @guard
    def work_is_owed(self) -> bool:
        """There may be work in the sandbox that the service clone does not hold."""
        return self.task.box_ordered and self.task.work_owed

    @guard
    def work_must_be_kept(self) -> bool:
        """The same, and nobody gave it up."""
        return self.work_is_owed() and not self.task.discard

    @guard
    def is_resumed(self) -> bool:
        """Somebody has asked to go on after the stop."""
        return self.task.resume_wanted

    @guard
    def is_not_resumed(self) -> bool:
        """Nobody has asked yet to go on after the stop."""
        return not self.task.resume_wanted

    # What the user wants

    @guard
    def is_forced(self) -> bool:
        """The user gave up what cannot be brought out."""
        return self.task.force or self.task.discard

    @guard
    def asks_for_more_force(self) -> bool:
        """A kill or archive with force while one without is under way."""
        return bool(getattr(self._input, "force", False)) and not self.task.force

    # What an intent brought

    @guard
    def all_is_in(self) -> bool:
        """The collection left nothing behind."""
        return not self._value(WorkCollected).uncommitted

    @guard
    def is_the_same(self) -> bool:
        """The sandbox is the one that ran before, if any did; another one has nothing of its work."""
        ready, mark = self._value(SandboxReady), self.task.mark
        if mark and ready.mark:
            # The look before may have found nothing where there was something; the mark was read of what runs now.
            return mark == ready.mark
        return ready.adopted and mark in (None, ready.mark)

    @guard
    def window_has_passed(self) -> bool:
        """The provider found no sandbox at a time when no create of it could land any more."""
        released = self._value(SandboxReleased)
        return self._is_settled(released.read_at, released.create_window_seconds)

    @guard
    def stop_is_sure(self) -> bool:
        """The sandbox is stopped, or absent at a time when no create of it could land any more."""
        stopped = self._value(SandboxStopped)
        return not stopped.is_absent or self._is_settled(stopped.read_at, stopped.create_window_seconds)

    def _is_settled(self, read_at: datetime, create_window_seconds: float) -> bool:
        settled_at = self.task.settled_at(create_window_seconds, self._draft.figures.call_seconds)
        return settled_at is None or read_at >= settled_at

    # Failures

    @guard
    def may_try_again(self) -> bool:
        """The failure may pass, and attempts and deadline allow one more run."""
        return self._draft.next_attempt_at(self._intent, self._failed) is not None

    @guard
    def is_unclear(self) -> bool:
        """The other side did not answer, so the sandbox may be gone."""
        return self._failed is not None and self._failed.failure_class in _UNCLEAR

    @guard
    def must_be_woken(self) -> bool:
        """Nothing answers in the sandbox, and it was not started for this yet."""
        unreachable = self._failed is not None and self._failed.failure_class is FailureClass.UNREACHABLE
        return unreachable and not self.task.woken

    # What a look at the sandbox found

    @guard
    def is_seen_running(self) -> bool:
        """It runs."""
        return self._value(Observed).phase is SandboxPhase.RUNNING

    @guard
    def is_seen_stopped(self) -> bool:
        """It is stopped, with its files."""
        return self._value(Observed).phase is SandboxPhase.STOPPED

    @guard
    def is_seen_failed(self) -> bool:
        """It has failed; its files may still be there."""
        return self._value(Observed).phase is SandboxPhase.FAILED

    @guard
    def is_seen_broken(self) -> bool:
        """It has failed, or somebody is destroying it."""
        return self._value(Observed).phase in _BROKEN

    @guard
    def is_seen_gone(self) -> bool:
        """It is absent, and was so some time ago as well."""
        seen, first = self._value(Observed), self.task.absent_at
        if seen.phase is not SandboxPhase.ABSENT or first is None:
            return False
        return seen.read_at >= first + timedelta(seconds=self._draft.figures.absent_seconds)

    @guard
    def heals_too_often(self) -> bool:
        """It would have to be started again or replaced, and was so too often lately."""
        needs_healing = self.is_seen_stopped() or self.is_seen_broken() or self.is_seen_gone()
        return needs_healing and len(self._recent_heals()) >= self._draft.figures.heals_max

    @guard
    def may_look_again(self) -> bool:
        """Attempts and deadline allow one more look."""
        return self._next_look_at() is not None

    def _recent_heals(self) -> tuple[datetime, ...]:
        since = self._draft.after(-self._draft.figures.heals_seconds)
        return tuple(at for at in self.task.heals if at > since)

    def _next_look_at(self) -> datetime | None:
        """When to look next: after an absence soon, else after a growing pause; None when time is up."""
        intent, seen = self._intent, self._value(Observed)
        assert intent is not None
        figures = self._draft.figures
        if seen.phase is SandboxPhase.ABSENT:
            at = (self.task.absent_at or seen.read_at) + timedelta(seconds=figures.absent_seconds)
        else:
            at = self._draft.now + figures.backoff(intent.id, intent.attempt)
        at = max(at, self._draft.now)
        in_time = intent.deadline_at is None or at < intent.deadline_at
        return at if in_time and intent.attempt < figures.of(intent.body).attempts_max else None
