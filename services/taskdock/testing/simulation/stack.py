"""Stack: repo jobs as one simulated process does them, step by step, with a place to die between any two.

Owns: `SimulatedStack`, and what the clone remembers of jobs (`Jobs`).
Never: a job that moves a branch twice; two jobs with their hands in one clone.
Reads as: run_repo_job -> this -> Calls -> code.py.
"""

from collections.abc import Callable, Mapping

import anyio
from attrs import field, mutable

from taskdock.core.errors import Transient
from taskdock.core.job_record import BranchSeen, JobErrorKind, JobFailure, JobKind, JobResult, Moved
from taskdock.ports.stack import JobEnd, JobOrder, JobReport, StackTool
from taskdock.testing.simulation.calls import Calls
from taskdock.testing.simulation.code import TRUNK, TRUNK_HEAD, Clones
from taskdock.testing.simulation.nature import Nature

_LOCK_SECONDS_MAX = 60.0
_LOOK_SECONDS = 0.5


@mutable(eq=False)
class Jobs:
    """What lies in the clones beside the branches: who holds one, and the snapshots that jobs took."""

    holders: dict[str, Calls] = field(factory=dict)
    before: dict[str, Mapping[str, str]] = field(factory=dict)
    """By job: the heads before it."""
    moved: dict[str, dict[str, Moved]] = field(factory=dict)
    """By job: what it moved."""


@mutable(eq=False)
class SimulatedStack:
    """Implements `StackJobs` on simulated clones."""

    nature: Nature
    clones: Clones
    jobs: Jobs
    calls: Calls

    async def probe(self) -> StackTool:
        """There always is one."""
        return StackTool("simulated", "v1")

    async def run(self, order: JobOrder, report: JobReport) -> JobEnd:
        """Take the clone, then step by step."""
        await report.checkpoint("lock")
        await self._hold(order)
        try:
            await report.checkpoint("snapshot")
            await self.calls.make("stack.snapshot", lambda: self._take_snapshot(order))
            failure = await self._act(order, report)
            await report.checkpoint("post_sync")
            return await self.calls.make("stack.post_sync", lambda: self._end(order, failure))
        finally:
            self._let_go(order)

    async def settle(self, order: JobOrder) -> JobEnd:
        """Only tell."""
        await self._hold(order)
        try:
            return await self.calls.make("stack.settle", lambda: self._end(order, None))
        finally:
            self._let_go(order)

    async def _hold(self, order: JobOrder) -> None:
        """Wait for the lock, which a process that died does not hold any more."""
        with anyio.move_on_after(_LOCK_SECONDS_MAX):
            while (holder := self.jobs.holders.get(order.repo_id)) is not None and holder.is_alive:  # noqa: ASYNC110 - as a flock is waited for
                await anyio.sleep(_LOOK_SECONDS)
            self.jobs.holders[order.repo_id] = self.calls
            return
        raise Transient("another job held the clone for too long")

    def _let_go(self, order: JobOrder) -> None:
        if self.jobs.holders.get(order.repo_id) is self.calls:
            del self.jobs.holders[order.repo_id]

    async def _act(self, order: JobOrder, report: JobReport) -> JobFailure | None:
        if order.kind is JobKind.UNDO:
            await report.checkpoint("act", 0, 1)
            return await self.calls.make("stack.act", lambda: self._undo(order))
        names = self._targets(order)
        for number, name in enumerate(names):
            await report.checkpoint("act", number, len(names))
            await self.calls.make("stack.act", self._mover(order, name))
        return None

    def _targets(self, order: JobOrder) -> list[str]:
        heads = self.clones.branches.get(order.repo_id, {})
        if order.kind is JobKind.SYNC_REPO:
            return []
        if order.branch is not None:
            return [order.branch] if order.branch in heads else []
        return [name for name in heads if name != TRUNK]

    def _mover(self, order: JobOrder, name: str) -> Callable[[], None]:
        def move() -> None:
            moved = self.jobs.moved.setdefault(order.job_id, {})
            heads = self.clones.branches[order.repo_id]
            if name not in moved:
                moved[name] = Moved(heads[name], self.nature.new_id("rebased"))
                heads[name] = str(moved[name].new)
                return
            if heads[name] != moved[name].new:
                self.nature.broken(6, f"{name} was moved by two jobs at once")

        return move

    def _undo(self, order: JobOrder) -> JobFailure | None:
        heads = self.clones.branches.get(order.repo_id, {})
        undone = self.jobs.moved.get(str(order.undo_of), {})
        moved = self.jobs.moved.setdefault(order.job_id, {})
        if moved:
            return None
        if any(heads.get(name) != one.new for name, one in undone.items()):
            return JobFailure(JobErrorKind.DIVERGED, "a branch moved since", "")
        for name, one in undone.items():
            moved[name] = Moved(one.new, one.old)
            heads[name] = str(one.old)
        return None

    def _take_snapshot(self, order: JobOrder) -> None:
        heads = self.clones.branches.get(order.repo_id, {})
        self.jobs.before.setdefault(order.job_id, dict(heads))

    def _end(self, order: JobOrder, failure: JobFailure | None) -> JobEnd:
        heads = self.clones.branches.get(order.repo_id, {})
        result = JobResult(changed=dict(self.jobs.moved.get(order.job_id, {})))
        seen = tuple(BranchSeen(name, head) for name, head in heads.items())
        return JobEnd(result, failure, seen, heads.get(TRUNK, TRUNK_HEAD), self.nature.now())
