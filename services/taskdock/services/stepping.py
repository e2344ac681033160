"""Stepping: load, decide, commit, and again when somebody else was faster. It stands here once.

Owns: `Stepper` and what it tells after each commit.
Never: a decision (the core's) or a retry of the outside world (the core's, through the outbox).
Reads as: request path, scheduler, links -> `Stepper.apply` -> store.load -> step -> store.commit -> listeners.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from attrs import field, frozen, mutable

from taskdock.core import inputs, repo_boundary, task_boundary
from taskdock.core.change import Change, Record, Slice
from taskdock.core.errors import BranchTaken, Conflict, StaleVersion, TaskdockError
from taskdock.core.inputs import Failed, FailureClass, OutcomeReported
from taskdock.core.intents import Figures
from taskdock.ports.clock import Clock
from taskdock.ports.store import (
    BranchHeld,
    Commit,
    CommitResult,
    Committed,
    IdempotencyKey,
    KeyUsed,
    RepoGone,
    RepoNeeded,
    Store,
)
from taskdock.services.capacity import Capacity

_RecordT = TypeVar("_RecordT", bound=Record)

_TRIES_MAX = 100
"""Of one input against other writers; each lost try means that another one won."""


_ADDS_WORK = (inputs.CreateTask, inputs.OpenTab, inputs.SendMessage, inputs.AddRepo)
"""Commands that a full workspace refuses; those that end or mend something are always taken."""


@frozen
class Decision:
    """A boundary as it was loaded, and what one input makes of it."""

    slice: Slice
    change: Change

    def record(self, kind: type[_RecordT], record_id: str) -> _RecordT:
        """A record as it stands after the change; KeyError when there is none."""
        for record in (*self.change.records, *self.slice.records):
            if isinstance(record, kind) and record.id == record_id:
                return record
        raise KeyError(record_id)


@frozen
class Applied:
    """What became of an input, and the feed position of its commit (None when nothing was written)."""

    decision: Decision
    position: int | None

    @property
    def change(self) -> Change:
        """What was decided."""
        return self.decision.change


class KeyWasUsed(TaskdockError):
    """The idempotency key has an answer already; the request path repeats it. Never reaches a client."""

    def __init__(self, used: KeyUsed) -> None:
        super().__init__("the idempotency key was used before")
        self.used = used


@frozen
class Keyed:
    """A request's idempotency key, and how its answer follows from what was decided."""

    workspace: str
    key: str
    body_digest: str
    answer: Callable[[Decision], str]

    def with_answer(self, first: Decision) -> IdempotencyKey:
        """The key as it is stored in the transaction; the answer is that of the request's first boundary."""
        return IdempotencyKey(self.workspace, self.key, self.body_digest, self.answer(first))


Listener = Callable[[Decision], None]
"""Called in the event loop after a commit of this process; must not block."""


@mutable
class Stepper:
    """Feeds inputs to boundaries."""

    store: Store
    clock: Clock
    figures: Figures
    listeners: list[Listener] = field(factory=list)
    capacity: Capacity | None = None
    """Bounds what a request may add; None for no bound."""

    async def apply(self, boundary: str, input_: inputs.Input) -> Applied:
        """Feed one input to one boundary; raises CommandRejected for a command that does not fit."""
        for _ in range(_TRIES_MAX):
            decision = await self._decide(boundary, input_)
            if decision.change.ignored is not None:
                return Applied(decision, None)
            result = await self.store.commit(Commit((decision.change,)))
            if isinstance(result, Committed):
                return self._applied(decision, result.position)
            input_ = _after(result, input_)
        raise StaleVersion(
            f"{boundary} was changed by others {_TRIES_MAX} times while this input was decided."
        )

    async def submit(self, commands: Sequence[tuple[str, inputs.Input]], keyed: Keyed | None) -> Applied:
        """Feed a request's commands to their boundaries in one transaction, with the answer that its key repeats.

        What became of the first is returned. Raises CommandRejected (CapacityExceeded when the workspace has too much
        waiting), or KeyWasUsed when the key has an answer.
        """
        admitted = self.capacity is None
        for tried in range(_TRIES_MAX):
            decisions = [
                self._begin(boundary, command)
                if isinstance(command, inputs.CreateTask) and not tried
                else await self._decide(boundary, command)
                for boundary, command in commands
            ]
            changes = tuple(one.change for one in decisions if one.change.ignored is None)
            if not changes and keyed is None:
                return Applied(decisions[0], None)
            if not admitted:
                await self._admit(commands[0][1], decisions[0])
                admitted = True
            key = None if keyed is None else keyed.with_answer(decisions[0])
            result = await self.store.commit(Commit(changes, key))
            if isinstance(result, Committed):
                applied = [self._applied(one, result.position) for one in decisions]
                return applied[0]
            if isinstance(result, KeyUsed):
                raise KeyWasUsed(result)
            _refuse(result)
        raise StaleVersion(f"The request was overtaken {_TRIES_MAX} times by other changes; send it again.")

    async def _admit(self, command: inputs.Input, decision: Decision) -> None:
        if self.capacity is not None and isinstance(command, _ADDS_WORK) and decision.change.ignored is None:
            await self.capacity.admit(decision.change.workspace)

    def _begin(self, boundary: str, command: inputs.CreateTask) -> Decision:
        """Decide on a task that nobody can know yet, without looking for it; the commit refuses if it is there."""
        slice_ = Slice(boundary, workspace="")
        return Decision(slice_, task_boundary.step(slice_, command, self.clock.now(), self.figures))

    async def _decide(self, boundary: str, input_: inputs.Input) -> Decision:
        """Load the boundary and ask its own `step`; boundary ids say which one it is."""
        slice_ = await self.store.load(boundary)
        if boundary.startswith("repo-"):
            assert isinstance(input_, inputs.RepoInput)
            return Decision(slice_, repo_boundary.step(slice_, input_, self.clock.now(), self.figures))
        assert isinstance(input_, inputs.TaskInput)
        return Decision(slice_, task_boundary.step(slice_, input_, self.clock.now(), self.figures))

    def _applied(self, decision: Decision, position: int) -> Applied:
        if decision.change.ignored is None:
            for listener in self.listeners:
                listener(decision)
        return Applied(decision, position)


def _after(result: CommitResult, input_: inputs.Input) -> inputs.Input:
    """The input to try again with: a name that another task took first is a failed attempt at naming."""
    if not isinstance(result, BranchHeld):
        _refuse(result)
        return input_
    if not isinstance(input_, OutcomeReported):
        raise _taken(result)
    reason = f"name_taken: the branch {result.branch!r} belongs to {result.task_id}"
    return OutcomeReported(input_.intent_id, input_.issue, Failed(FailureClass.TRANSIENT, reason))


def _refuse(result: CommitResult) -> None:
    """Raise for what trying again does not mend."""
    if isinstance(result, BranchHeld):
        raise _taken(result)
    if isinstance(result, RepoGone):
        raise repo_gone(result.repo_id)
    if isinstance(result, RepoNeeded):
        names = ", ".join(result.task_ids)
        raise Conflict(
            f"The repo {result.repo_id!r} has live tasks: {names}. Archive or kill them, then remove it.",
            available_actions=("archive", "kill"),
            record_id=result.task_ids[0],
        )


def repo_gone(repo_id: str) -> Conflict:
    """The refusal of what needs a repo that was removed."""
    return Conflict(
        f"The repo {repo_id!r} was removed: add its remote again first.", status="removed", record_id=repo_id
    )


def _taken(held: BranchHeld) -> BranchTaken:
    return BranchTaken(
        f"The branch {held.branch!r} belongs to {held.task_id}: give another name, or end that task first."
    )
