"""Jobs: the order of a job's steps, from the lock to its end.

Owns: `GitStackJobs`, the steps, and what counts as the end of a job.
Never: a step begun before it was told; an end that does not say what moved.
Reads as: executors -> the stack port -> this -> recovery, snapshot, sync, acting, parents, undo, pushing, projection.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from taskdock.adapters.clone.clone import Clone
from taskdock.adapters.clone.git import GitClones
from taskdock.adapters.clone.refs import BRANCHES, REMOTE
from taskdock.adapters.clone.stack import acting, parents, projection, pushing, snapshot, sync, undo
from taskdock.adapters.clone.stack.failures import JobStopped, failure_of, stopped
from taskdock.adapters.clone.stack.recovery import recover
from taskdock.adapters.clone.stack.run import JobLimits, JobRun
from taskdock.adapters.clone.stack.tool import GitSpice, find
from taskdock.core.errors import PortError
from taskdock.core.job_record import (
    NEEDS_STACK_TOOL,
    BranchSeen,
    JobErrorKind,
    JobFailure,
    JobKind,
    JobResult,
    Moved,
)
from taskdock.ports.stack import JobEnd, JobOrder, JobReport, StackTool

_DIVERGED = "has diverged"


class GitStackJobs:
    """Implements `StackJobs` on the clones of `clones`, with the git-spice at `tool_path` or on the search path."""

    def __init__(
        self,
        clones: GitClones,
        *,
        tool_path: Path | None = None,
        limits: JobLimits | None = None,
        variables: Mapping[str, str] = os.environ,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clones = clones
        self._tool_path = tool_path
        self._limits = limits or JobLimits()
        self._search = variables.get("PATH", os.defpath)
        self._now = now

    async def probe(self) -> StackTool:
        """Look for git-spice; see `StackJobs.probe`."""
        found, _ = await self._find()
        return found

    async def run(self, order: JobOrder, report: JobReport) -> JobEnd:
        """Do the job, or go on with it; see `StackJobs.run`."""
        found, tool = await self._find()
        await report.checkpoint("lock")
        async with self._open(order, report, tool) as run:
            failure: JobFailure | None = None
            try:
                await _do(run, found)
            except JobStopped as reason:
                failure = reason.failure
            except PortError as error:
                failure = failure_of(error)
            return await self._end(run, failure)

    async def settle(self, order: JobOrder) -> JobEnd:
        """Put the clone in order and tell what was changed; see `StackJobs.settle`."""
        _, tool = await self._find()
        async with self._open(order, _Silent(), tool) as run:
            await snapshot.take_over(run)
            return await self._end(run, None)

    async def _find(self) -> tuple[StackTool, GitSpice | None]:
        return await find(self._clones.processes, self._tool_path, self._search)

    @asynccontextmanager
    async def _open(self, order: JobOrder, report: JobReport, tool: GitSpice | None) -> AsyncIterator[JobRun]:
        async with self._clones.locked(order.repo_id, self._limits.lock_seconds) as clone:
            trunk = await _trunk(clone)
            yield JobRun(clone=clone, order=order, report=report, limits=self._limits, trunk=trunk, tool=tool)

    async def _end(self, run: JobRun, failure: JobFailure | None) -> JobEnd:
        """Leave the clone in order, read the branches, and tell what moved, whatever happened before."""
        await recover(run)
        branches = await _project(run)
        read_at = self._now()
        changed = await snapshot.changed(run.clone, run.order.job_id)
        await snapshot.write(run.clone, run.order.job_id, snapshot.AFTER, await snapshot.now(run.clone))
        await snapshot.forget_old(run)
        result = JobResult(changed, run.skipped, run.blocked, run.conflicts, run.pushed)
        return JobEnd(
            result=result,
            failure=failure or await _conflict(run, changed),
            branches=branches,
            trunk_head=await run.clone.resolve(BRANCHES + run.trunk),
            read_at=read_at,
        )


class _Silent:
    """A report that nobody hears."""

    async def checkpoint(self, step: str, done: int = 0, of: int = 0) -> None:
        """Tell nobody."""

    async def progress(self, sentence: str) -> None:
        """Tell nobody."""


async def _do(run: JobRun, found: StackTool) -> None:
    await run.report.checkpoint("preflight")
    if run.order.kind in NEEDS_STACK_TOOL and run.tool is None:
        raise stopped(JobErrorKind.UNSUPPORTED, f"{run.order.kind.value} needs {found.name}", found.hint)
    await recover(run)
    await sync.require_whole(run.clone)
    await _require_trunk(run)
    await run.report.checkpoint("snapshot")
    await snapshot.take(run)
    if run.order.kind is JobKind.UNDO:
        await run.report.checkpoint("act", 0, 1)
        await undo.undo(run)
        return
    await _sync_and_act(run)
    await run.report.checkpoint("post_sync")
    if run.order.push:
        await recover(run)
        await pushing.push(run)


async def _sync_and_act(run: JobRun) -> None:
    await run.report.checkpoint("pre_sync")
    # Before trunk moves: git-spice then learns of branches that others rebased, while it still sees on what they stood.
    stacks = None if run.tool is None else await parents.prepare(run, run.tool)
    failed = await sync.fetch(run)
    if run.order.kind is JobKind.REGISTER_EXISTING_BRANCH:
        await run.report.checkpoint("act", 0, 1)
        await parents.register(run, failed)
        return
    if failed is not None:
        raise JobStopped(failed)
    await sync.forward_trunk(run)
    stacks = stacks or await parents.written_down(run.clone, run.trunk)
    for name in await sync.forward_branches(run, stacks.order()):
        run.blocked[name] = "was moved both here and on the remote"
        run.block(stacks, name, _DIVERGED)
    if run.order.kind is not JobKind.SYNC_REPO and run.tool is not None:
        await acting.act(run, run.tool)


async def _trunk(clone: Clone) -> str:
    """Read which branch of the remote is trunk; it was noted when the clone was made."""
    named = (await clone.git("symbolic-ref", "--quiet", f"{REMOTE}HEAD")).text.strip()
    return named.removeprefix(REMOTE)


async def _require_trunk(run: JobRun) -> None:
    """Have a branch for trunk, from the remote's when the clone has none."""
    if not run.trunk:
        hint = "retry the repo, so that its clone is made anew"
        raise stopped(JobErrorKind.CONFIG_ERROR, "the clone does not say which branch is trunk", hint)
    remote = await run.clone.resolve(REMOTE + run.trunk)
    if await run.clone.resolve(BRANCHES + run.trunk) is None and remote is not None:
        await sync.move(run, run.trunk, None, remote)


async def _project(run: JobRun) -> tuple[BranchSeen, ...] | None:
    """Read the branches; None when they cannot be read, so that what was known of them stays."""
    try:
        return await projection.project(run)
    except (PortError, JobStopped):
        return None
    except ExceptionGroup as group:
        rest = group.split((PortError, JobStopped))[1]
        if rest is not None:
            raise rest from None
        return None


async def _conflict(run: JobRun, changed: Mapping[str, Moved]) -> JobFailure | None:
    """Call a job failed when conflicts kept it from moving anything but trunk, which follows the remote."""
    if not run.conflicts or set(changed) - {run.trunk}:
        return None
    said = "; ".join(f"{name}: {', '.join(files[:5])}" for name, files in run.conflicts.items())
    hint = "rebase the branch in a task or by hand, push it, then sync"
    squashed = [name for name in run.conflicts if await _is_in_trunk(run, name)]
    if squashed:
        hint = f"{', '.join(squashed)} looks squash-merged: move what is stacked on it onto {run.trunk}"
    return JobFailure(JobErrorKind.CONFLICT, f"in conflict with its parent: {said}", hint)


async def _is_in_trunk(run: JobRun, name: str) -> bool:
    """Tell whether trunk has the branch's version of every file that the two are in conflict about."""
    sides = (BRANCHES + run.trunk, BRANCHES + name)
    same = await run.clone.git("diff", "--quiet", "--no-ext-diff", *sides, "--", *run.conflicts[name])
    return same.exit_code == 0
