"""Sync: the remote fetched, trunk moved forward, and tracked branches brought up to what others pushed.

Owns: every fetch of a job, and which branches are `diverged`.
Never: a rebase of trunk, a branch moved by force, or one deleted: a branch without commits may be a task's of just now.
Reads as: jobs.py -> this -> clone.py.
"""

from collections.abc import Iterable
from pathlib import Path

from taskdock.adapters.clone.clone import Clone
from taskdock.adapters.clone.disk import on_disk
from taskdock.adapters.clone.failures import NETWORK, failure
from taskdock.adapters.clone.process import GitCall, GitResult
from taskdock.adapters.clone.refs import BRANCHES, REMOTE, ZERO
from taskdock.adapters.clone.stack.failures import JobStopped, failure_of, stopped
from taskdock.adapters.clone.stack.run import JobRun
from taskdock.adapters.clone.stack.worktrees import checked_out
from taskdock.core.errors import PortError
from taskdock.core.job_record import JobErrorKind, JobFailure

_SHORT = 10


async def network_git(run: JobRun, doing: str, *arguments: str) -> GitResult:
    """Run a git that reaches the remote; any exit code is a result, a network that does not answer ends the job."""
    folder = run.clone.folder
    call = GitCall(
        arguments=(f"--git-dir={folder / '.git'}", f"--work-tree={folder}", *arguments),
        timeout_seconds=run.limits.network_seconds,
        doing=doing,
        network=True,
    )
    try:
        return await run.clone.processes.run(call, run.clone.lock)
    except PortError as error:
        raise JobStopped(failure_of(error, network=True)) from error


async def require_whole(clone: Clone) -> None:
    """Stop for a clone without its whole history: what is common to two branches cannot be told there."""
    if await clone.ask("looking at the clone", "rev-parse", "--is-shallow-repository") == "true":
        hint = f"git -C {clone.folder} fetch --unshallow, then try again"
        raise stopped(JobErrorKind.CONFIG_ERROR, "the clone is shallow, so branches cannot be compared", hint)


async def fetch(run: JobRun) -> JobFailure | None:
    """Fetch every branch of the remote; the failure is given back, since some jobs can do without."""
    options = ("--prune", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
    doing = "fetching from the remote"
    try:
        # The refspec is named: a clone that somebody made by hand may have none.
        result = await network_git(run, doing, "fetch", *options, "origin", f"+{BRANCHES}*:{REMOTE}*")
    except JobStopped as reason:
        return reason.failure
    if result.exit_code == 0:
        return None
    return failure_of(failure(result.exit_code, result.stderr, doing, rows=NETWORK), network=True)


async def forward_trunk(run: JobRun) -> None:
    """Move trunk to where the remote has it; `diverged` when that is not forward."""
    trunk = run.trunk
    remote = await run.clone.resolve(REMOTE + trunk)
    if remote is None:
        hint = f"push {trunk} again, or register the repo anew with its new default branch"
        raise stopped(JobErrorKind.CONFIG_ERROR, f"the remote has no branch {trunk} any more", hint)
    own = await run.clone.resolve(BRANCHES + trunk)
    if own == remote:
        return
    if own is not None and not await run.clone.contains(own, remote):
        raise stopped(JobErrorKind.DIVERGED, await _how(run, own, remote), _reset(run, remote))
    if (where := (await checked_out(run.clone)).get(trunk)) is not None:
        run.skipped[trunk] = f"checked out at {where}, so it was not moved forward"
        return
    await move(run, trunk, own, remote)


async def forward_branches(run: JobRun, names: Iterable[str]) -> list[str]:
    """Move branches to what others pushed on top of them; gives those that were moved on both sides."""
    own, remote = await run.heads(), await run.remote_heads()
    elsewhere = await checked_out(run.clone)
    diverged = []
    for name in names:
        here, there = own.get(name), remote.get(name)
        if here is None or there is None or here == there or await run.clone.contains(there, here):
            continue
        if not await run.clone.contains(here, there):
            diverged += [] if await run.clone.has_had(name, there) else [name]
        elif name in elsewhere:
            run.skipped[name] = f"checked out at {elsewhere[name]}, and the remote has newer commits"
        else:
            await move(run, name, here, there)
    return diverged


async def move(run: JobRun, branch: str, old: str | None, new: str) -> None:
    """Move one branch by compare-and-set."""
    result = await run.clone.transact(run.note, f"update {BRANCHES}{branch}\0{new}\0{old or ZERO}\0")
    if result.exit_code != 0:
        raise run.clone.failed(result, f"moving {branch}")


async def _how(run: JobRun, own: str, remote: str) -> str:
    """Say what became of trunk, so that who did it knows."""
    trunk, here, there = run.trunk, own[:_SHORT], remote[:_SHORT]
    if await run.clone.contains(remote, own):
        return f"{trunk} is ahead of the remote: here it is at {here}, there at {there}"
    if await on_disk(_was_fetched, run.clone.folder / ".git", trunk, own):
        return f"{trunk} was force-pushed: the remote had it at {here}, and has it at {there} now"
    return f"{trunk} has diverged: here it is at {here}, the remote has it at {there}"


def _was_fetched(git_dir: Path, trunk: str, commit: str) -> bool:
    """Tell whether the remote's trunk once stood at this commit.

    A clone notes no first value, only from where it moved; and no command of git shows that column of the log.
    """
    log = git_dir / "logs" / REMOTE / trunk
    return log.exists() and commit in log.read_text(encoding="utf-8", errors="replace")


def _reset(run: JobRun, remote: str) -> str:
    order = f"git -C {run.clone.folder} update-ref {BRANCHES}{run.trunk} {remote}"
    return f"put {run.trunk} right on the remote, or take over what it has: {order}"
