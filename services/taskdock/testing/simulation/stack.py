"""Stack: repo jobs as one simulated process does them, step by step, with a place to die between any two.

Owns: `SimulatedStack`: the steps of a job, and what goes wrong in them.
Never: a job that moves a branch twice; a step that was not told before it begins.
Reads as: run_repo_job -> this -> Calls -> gits.py -> moves.py.
"""

from collections.abc import Callable

import anyio
from attrs import field, mutable

from taskdock.core.errors import Permanent, PortError, Transient, Unreachable
from taskdock.core.job_record import BranchSeen, JobErrorKind, JobFailure, JobKind, JobResult
from taskdock.ports.stack import JobEnd, JobOrder, JobReport, StackTool
from taskdock.testing.simulation.calls import Calls
from taskdock.testing.simulation.code import TRUNK, TRUNK_HEAD
from taskdock.testing.simulation.gits import Git, Gits
from taskdock.testing.simulation.moves import Moves

_CONFLICT_EVERY = 5
"""One of so many heads is in conflict with what it would be rebased onto."""


@mutable(eq=False)
class _Run:
    """One attempt."""

    order: JobOrder
    report: JobReport
    conflicts: dict[str, tuple[str, ...]] = field(factory=dict)
    pushed: dict[str, str] = field(factory=dict)


class _Stopped(Exception):
    """The job ends here, for a reason that people are told."""

    def __init__(self, kind: JobErrorKind, reason: str) -> None:
        super().__init__(reason)
        self.failure = JobFailure(kind, reason, "")


@mutable(eq=False)
class SimulatedStack:
    """Implements `StackJobs` on simulated clones."""

    gits: Gits
    moves: Moves
    calls: Calls

    async def probe(self) -> StackTool:
        """There always is one."""
        return StackTool("simulated", "v1")

    async def run(self, order: JobOrder, report: JobReport) -> JobEnd:
        """Take the clone, then step by step; what goes wrong in a step is the end of the job, and told."""
        await report.checkpoint("lock")
        self._require_clone(order)
        async with self.gits.hold(order.repo_id, self.calls):
            run, failure = _Run(order, report), None
            try:
                await self._work(run)
            except _Stopped as reason:
                failure = reason.failure
            except PortError as error:
                failure = _failure_of(error)
            return await self._end(run, failure)

    async def settle(self, order: JobOrder) -> JobEnd:
        """Only tell."""
        self._require_clone(order)
        async with self.gits.hold(order.repo_id, self.calls):
            await self._git(order, "settle", lambda: None)
            return await self._end(_Run(order, _Silent()), None)

    def _require_clone(self, order: JobOrder) -> None:
        if order.repo_id not in self.moves.clones.branches:
            raise Permanent(f"there is no clone of {order.repo_id}")

    async def _work(self, run: _Run) -> None:
        order, report = run.order, run.report
        await report.checkpoint("preflight")
        await self._git(order, "preflight", lambda: None)
        await report.checkpoint("snapshot")
        await self._git(order, "snapshot", lambda: self.moves.take_snapshot(order.repo_id, order.job_id))
        if order.kind is JobKind.UNDO:
            await report.checkpoint("act", 0, 1)
            await self._undo(order)
            return
        await report.checkpoint("pre_sync")
        await self._git(order, "pre_sync", lambda: None)
        names = self._targets(order)
        for number, name in enumerate(names):
            await report.checkpoint("act", number, len(names))
            await self._rebase(run, name)
        await report.checkpoint("post_sync")
        if order.push:
            await self._git(order, "post_sync", lambda: self._push(run))

    def _targets(self, order: JobOrder) -> list[str]:
        heads = self.moves.heads(order.repo_id)
        if order.kind is JobKind.SYNC_REPO:
            return []
        if order.branch is None:
            return [name for name in heads if name != TRUNK]
        if order.branch not in heads:
            raise _Stopped(JobErrorKind.USER_ERROR, f"there is no branch {order.branch}")
        return [] if order.kind is JobKind.REGISTER_EXISTING_BRANCH else [order.branch]

    async def _rebase(self, run: _Run, name: str) -> None:
        order, moves = run.order, self.moves
        head = moves.heads(order.repo_id)[name]
        if name in moves.difference(order.job_id, moves.heads(order.repo_id)):
            return
        if moves.nature.dice("conflict", order.repo_id, name, head).randrange(_CONFLICT_EVERY) == 0:
            run.conflicts[name] = ("README",)
            return
        new = moves.nature.new_id("rebased")
        await self._git(order, "act", lambda: moves.move(order.repo_id, order.job_id, name, new))

    async def _undo(self, order: JobOrder) -> None:
        undone = str(order.undo_of)
        if undone not in self.moves.before or undone not in self.moves.after:
            raise _Stopped(JobErrorKind.USER_ERROR, f"nobody knows any more what {undone} moved")
        moves = self.moves.difference(undone, self.moves.after[undone])
        heads = self.moves.heads(order.repo_id)
        back = {name: str(one.old) for name, one in moves.items() if heads.get(name) != one.old}
        if elsewhere := [name for name in back if heads.get(name) != moves[name].new]:
            self.refuse(elsewhere)

        def put_back() -> None:
            for name, old in back.items():
                self.moves.put_back(order.repo_id, order.job_id, undone, name, old)

        await self._git(order, "act", put_back)

    @staticmethod
    def refuse(elsewhere: list[str]) -> None:
        """What moved since is not put back, and nothing else either."""
        raise _Stopped(JobErrorKind.DIVERGED, f"moved since: {', '.join(elsewhere)}")

    def _push(self, run: _Run) -> None:
        order, heads = run.order, self.moves.heads(run.order.repo_id)
        run.pushed = {name: heads[name] for name in self.moves.difference(order.job_id, heads)}
        for name in run.pushed:
            self.moves.clones.push(order.repo_id, name)

    async def _end(self, run: _Run, failure: JobFailure | None) -> JobEnd:
        """Read the branches, and tell what moved, whatever happened before."""
        order, ends = run.order, list[JobEnd]()
        await self._git(order, "end", lambda: ends.append(self._read(run, failure)))
        return ends[0]

    def _read(self, run: _Run, failure: JobFailure | None) -> JobEnd:
        changed = self.moves.end(run.order.repo_id, run.order.job_id)
        heads = self.moves.heads(run.order.repo_id)
        if failure is None and run.conflicts and not changed:
            failure = JobFailure(JobErrorKind.CONFLICT, f"in conflict: {', '.join(run.conflicts)}", "")
        result = JobResult(changed=changed, conflicts=run.conflicts, pushed=run.pushed)
        seen = tuple(BranchSeen(name, head) for name, head in heads.items())
        return JobEnd(result, failure, seen, heads.get(TRUNK, TRUNK_HEAD), self.moves.nature.now())

    async def _git(self, order: JobOrder, step: str, effect: Callable[[], None]) -> None:
        """Run one git; who is cancelled, or hears nothing of it, waits for its end all the same."""
        begun: list[Git] = []
        name = f"{order.kind.value}.{step}"
        try:
            await self.calls.make(
                f"stack.{step}", lambda: begun.append(self.gits.begin(order.repo_id, name, effect))
            )
        finally:
            for git in begun:
                with anyio.CancelScope(shield=True):
                    await git.ended.wait()


class _Silent:
    """A report that nobody hears."""

    async def checkpoint(self, step: str, done: int = 0, of: int = 0) -> None:
        """Tell nobody."""

    async def progress(self, sentence: str) -> None:
        """Tell nobody."""


def _failure_of(error: PortError) -> JobFailure:
    kinds = ((Unreachable, JobErrorKind.UNREACHABLE), (Transient, JobErrorKind.TIMEOUT))
    kind = next((kind for found, kind in kinds if isinstance(error, found)), JobErrorKind.BUG)
    return JobFailure(kind, error.reason, "")
