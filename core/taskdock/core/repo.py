"""Repo: a registered git repository with a service-owned clone.

Owns: `RepoStatus`, the repo table, the `Repo` record, its guards and orders.
Never: git; a clone, and its removal, is an intent.
Reads as: repo_boundary matches an input to an open intent -> fires its trigger here -> the row alone sets the status.

Rule 1. A repo is registered at once and cloned in the background; tasks wait for it by asking (`AwaitReady`).
Rule 2. Every task that asked is told exactly when the clone is ready or has failed, with the number of its question.
Rule 3. Somebody asking for a repo in `error` starts its clone again, so a mended remote needs no separate step.
Rule 4. A removed repo is a tombstone: who asks it is told that it failed. It holds no task and no job, which the commit checks.
Rule 5. Its clone goes only when all that is in it is elsewhere; else it stays, and the failure says why and where.
Rule 6. Adding the remote again brings the repo back under its id; a clone that stayed is taken over, with its work.
"""

from datetime import datetime
from enum import Enum
from typing import Any

from attrs import evolve, frozen

from taskdock.core.branches import Branches
from taskdock.core.change import Draft, Place
from taskdock.core.history import HistoryKind
from taskdock.core.inputs import AddRepo, AwaitReady, Cloned, Failed, RepoFailed, RepoReady
from taskdock.core.intents import CloneRepo, Intent, RemoveClone, Tell
from taskdock.core.machine import NEW, Row, build, guard, order
from taskdock.core.step import Failure, Step


class RepoStatus(Enum):
    """What clients see of a repo."""

    CLONING = "cloning"
    """The clone is being made; Cloned moves it."""
    READY = "ready"
    """Tasks can start. Rests here."""
    ERROR = "error"
    """The clone failed. A retry, adding it again, or a task that asks for it moves it."""
    REMOVED = "removed"
    """Nobody works on it any more. Adding it again moves it. Rests here, also with a clone that had to stay."""


ANSWERED_MAX = 256
WAS_REMOVED = "its repo was removed; add its remote again, then retry"
CLONING, READY, ERROR, REMOVED = (status.value for status in RepoStatus)

REMOVE_CLONE = "remove_clone"
_STEPS = {CLONING: CLONING, REMOVED: REMOVE_CLONE}
"""What is done in a state, where something is."""

STATES: dict[str, tuple[str, ...]] = {
    NEW: (),
    CLONING: ("clone",),
    READY: ("tell_ready",),
    ERROR: ("fail", "tell_failed"),
    REMOVED: ("remove_clone", "tell_removed"),
}

ROWS = (
    Row("add", NEW, CLONING, then="note_added"),
    Row("cloned", CLONING, READY, then="take_clone"),
    Row("failed", CLONING, "=", when="may_try_again", then="note_failed_attempt"),
    Row("failed", CLONING, ERROR),
    Row("retry", ERROR, CLONING, then="note_retried"),
    Row("await_ready", CLONING, "=", then="take_waiting"),
    Row("await_ready", READY, "=", then="take_waiting"),
    Row("await_ready", ERROR, CLONING, then=("take_waiting", "note_retried")),
    Row("await_branch", ERROR, CLONING, then="note_retried"),
    Row("remove", (CLONING, READY, ERROR), REMOVED, then=("take_back", "note_removed")),
    Row("remove", REMOVED, "=", when="keeps_a_clone", then=("try_again", "note_retried")),
    Row("clone_removed", REMOVED, "=", then="forget_clone"),
    Row("failed", REMOVED, "=", when="may_try_again", then="note_failed_attempt"),
    Row("failed", REMOVED, "=", then="keep_clone"),
    Row("await_ready", REMOVED, "=", then="take_waiting"),
    Row("add", REMOVED, CLONING, then=("take_back", "take_address", "note_added")),
)


@frozen
class Waiting:
    """A task that asked to be told, and the number of its question."""

    task_id: str
    ask: int


@frozen
class Repo:
    """A repo as it is stored. `at` is its machine state, written by the table alone."""

    id: str
    workspace: str
    name: str
    remote: str
    created_at: datetime
    updated_at: datetime
    at: str = NEW
    trunk: str | None = None
    head: str | None = None
    waiting: tuple[Waiting, ...] = ()
    answered: tuple[Waiting, ...] = ()
    """The newest questions that got their answer, so that one delivered again after a crash gets no second one."""
    jobs_asked: int = 0
    """How many jobs were ever queued."""
    undoable: tuple[str, ...] = ()
    """The newest jobs that changed something and were not undone."""
    step: Step | None = None
    failure: Failure | None = None

    @property
    def status(self) -> RepoStatus:
        """The status of the contract."""
        return RepoStatus(self.at)

    def answered_with(self, *heard: Waiting) -> tuple[Waiting, ...]:
        """The questions that are remembered as answered, once these are."""
        return (*self.answered, *heard)[-ANSWERED_MAX:]


class RepoCursor:
    """Guards and orders of the table, on the repo of one draft."""

    def __init__(
        self,
        draft: Draft,
        repo_id: str,
        *,
        input_: object = None,
        intent: Intent | None = None,
        failed: Failed | None = None,
    ) -> None:
        self._draft = draft
        self._id = repo_id
        self._input = input_
        self._intent = intent
        self._failed = failed

    @property
    def repo(self) -> Repo:
        """The repo as it stands in the draft."""
        return self._draft.get(Repo, self._id)

    @property
    def state(self) -> str:
        """The machine state; only `transitions` assigns it, row by row."""
        return self.repo.at

    @state.setter
    def state(self, entered: str) -> None:
        if entered != self.repo.at:
            name = _STEPS.get(entered)
            step = None if name is None else self._step(name)
            self._put(at=entered, step=step, failure=None)

    def _step(self, name: str) -> Step:
        return Step(name, attempt=1, started_at=self._draft.now)

    def _put(self, **changes: Any) -> None:
        self._draft.put(evolve(self.repo, updated_at=self._draft.now, **changes))

    @guard
    def may_try_again(self) -> bool:
        """The failure may pass, and attempts and deadline allow one more run."""
        return self._draft.next_attempt_at(self._intent, self._failed) is not None

    @guard
    def keeps_a_clone(self) -> bool:
        """The clone had to stay, and nobody is looking whether it still has to."""
        return self.repo.failure is not None

    @order
    def take_back(self) -> None:
        """What is done to the clone is not wanted any more; what is ordered next waits until its execution has ended."""
        for intent in (*self._draft.intents(CloneRepo), *self._draft.intents(RemoveClone)):
            self._draft.cancel(intent)

    @order
    def note_removed(self) -> None:
        """Nobody needs it, if the store finds no live task either."""
        self._draft.needs_no_task_of = self.repo.id
        self._draft.note(HistoryKind.REPO_REMOVED, name=self.repo.name)

    @order
    def try_again(self) -> None:
        """Perhaps what kept the clone is elsewhere by now."""
        self._put(step=self._step(REMOVE_CLONE), failure=None)

    @order
    def forget_clone(self) -> None:
        """There is no clone any more, and so nothing to undo, and no branches."""
        self._put(step=None, trunk=None, head=None, undoable=())
        self._draft.put(Branches(self.repo.id))
        self._draft.note(HistoryKind.REPO_CLONE_REMOVED)

    @order
    def keep_clone(self) -> None:
        """The clone stays; say why."""
        failure = self._failure_of(REMOVE_CLONE, "looks again whether the clone can go")
        self._put(step=None, failure=failure)
        self._draft.note(HistoryKind.REPO_CLONE_KEPT, reason=failure.reason)

    @order
    def take_address(self) -> None:
        """Somebody registers it again, perhaps under another name."""
        assert isinstance(self._input, AddRepo)
        self._put(name=self._input.name, remote=self._input.remote)

    @order
    def note_added(self) -> None:
        """Somebody registered it."""
        self._draft.note(HistoryKind.REPO_ADDED, name=self.repo.name, remote=self.repo.remote)

    @order
    def note_retried(self) -> None:
        """What failed starts again."""
        self._draft.note(HistoryKind.REPO_RETRIED)

    @order
    def take_clone(self) -> None:
        """The clone is there."""
        assert isinstance(self._input, Cloned)
        self._put(trunk=self._input.trunk, head=self._input.head)
        self._draft.note(HistoryKind.REPO_READY, trunk=self._input.trunk, head=self._input.head)

    @order
    def take_waiting(self) -> None:
        """A task waits; a later question of the same task replaces its earlier one."""
        assert isinstance(self._input, AwaitReady)
        asked = Waiting(self._input.task_id, self._input.ask)
        others = tuple(waiting for waiting in self.repo.waiting if waiting.task_id != asked.task_id)
        self._put(waiting=(*others, asked))

    @order
    def note_failed_attempt(self) -> None:
        """One attempt failed and another follows."""
        assert self._failed is not None and self._intent is not None and self.repo.step is not None
        retry_at = self._draft.next_attempt_at(self._intent, self._failed)
        assert retry_at is not None
        self._put(
            step=evolve(self.repo.step, attempt=self._intent.attempt + 1, retry_at=retry_at, progress=None)
        )
        self._draft.note(
            HistoryKind.REPO_STEP_FAILED,
            step=self.repo.step.name,
            attempt=self._intent.attempt,
            retry_at=retry_at.isoformat(),
            reason=self._failed.reason,
            **{"class": self._failed.failure_class.value},
        )

    @order
    def clone(self) -> None:
        """Order the clone, unless it is under way."""
        if self._draft.intents(CloneRepo):
            return
        after = self._intent if self._failed is not None else None
        self._draft.order(
            CloneRepo(self.repo.id, self.repo.remote),
            Place("clone", "clone"),
            not_before=self._draft.next_attempt_at(after, self._failed),
            after=after,
        )

    @order
    def remove_clone(self) -> None:
        """Order the end of the clone, unless it is under way, done, or given up."""
        if self.repo.step is None or self._draft.intents(RemoveClone):
            return
        after = self._intent if self._failed is not None else None
        self._draft.order(
            RemoveClone(self.repo.id),
            Place("clone", "clone"),
            not_before=self._draft.next_attempt_at(after, self._failed),
            after=after,
        )

    @order
    def tell_removed(self) -> None:
        """Answer every task that asked: those that still do are over."""
        for waiting in self.repo.waiting:
            self._tell(waiting, RepoFailed(waiting.ask, WAS_REMOVED))
        self._all_answered()

    @order
    def tell_ready(self) -> None:
        """Answer every task that asked."""
        for waiting in self.repo.waiting:
            self._tell(waiting, RepoReady(waiting.ask))
        self._all_answered()

    @order
    def tell_failed(self) -> None:
        """Answer every task that asked, with the reason."""
        failure = self.repo.failure
        assert failure is not None
        for waiting in self.repo.waiting:
            self._tell(waiting, RepoFailed(waiting.ask, failure.reason, failure.log_tail))
        self._all_answered()

    def _all_answered(self) -> None:
        """Nobody waits any more. A `Tell` is repeated within moments if at all, so the newest answers are enough."""
        self._put(waiting=(), answered=self.repo.answered_with(*self.repo.waiting))

    def _tell(self, waiting: Waiting, answer: RepoReady | RepoFailed) -> None:
        self._draft.order(
            Tell(waiting.task_id, answer), Place(f"tell:{waiting.task_id}:{waiting.ask}", "tell")
        )

    @order
    def fail(self) -> None:
        """Rest in `error`: say why."""
        failure = self._failure_of(CLONING, "clones again")
        self._put(failure=failure)
        self._draft.note(
            HistoryKind.REPO_FAILED,
            step=CLONING,
            attempts=failure.attempts,
            reason=failure.reason,
            **{"class": failure.failure_class.value},
        )

    def _failure_of(self, step: str, retry: str) -> Failure:
        assert self._failed is not None and self._intent is not None
        return Failure(
            step=step,
            failure_class=self._failed.failure_class,
            reason=self._failed.reason,
            attempts=self._intent.attempt,
            retry=retry,
            log_tail=self._failed.log_tail,
        )


MACHINE = build(STATES, ROWS, RepoCursor)
