"""Recovery: a clone put in order, whatever was cut off in it, and what a failed rebase left to be seen.

Owns: the state that every job begins and ends with: no lock file, no rebase, no merge, a clean work tree that is detached.
Never: a look at who left it. The lock of the clone is ours, so whatever is there is nobody's.
Reads as: jobs.py (before and after), acting.py (after each call) -> this -> clone.py.
"""

import shutil
from pathlib import Path

from attrs import frozen

from taskdock.adapters.clone.clone import Clone, sweep_locks
from taskdock.adapters.clone.disk import on_disk
from taskdock.adapters.clone.refs import BRANCHES
from taskdock.adapters.clone.stack.run import JobRun

_DOING = "putting the clone in order"
_REBASES = ("rebase-merge", "rebase-apply")
_HALF_DONE = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD")


@frozen
class Rebase:
    """A rebase that stands still; in conflict if git left files unmerged, else stopped by something else."""

    branch: str | None
    files: tuple[str, ...]

    @property
    def is_conflict(self) -> bool:
        """Whether people must decide; git-spice says so of every rebase that failed, these files are the proof."""
        return bool(self.files)


async def standing_rebase(clone: Clone) -> Rebase | None:
    """Look for a rebase that stands still, and what it is in conflict about."""
    folder = await on_disk(_rebase_folder, clone.folder / ".git")
    unmerged = await clone.ask("looking for conflicts", "ls-files", "--unmerged", "-z")
    # Each entry is `mode object stage<tab>path`, and a path comes once for each side that has it.
    files = {entry.partition("\t")[2] for entry in unmerged.split("\0") if entry}
    if folder is None and not files:
        return None
    branch = None if folder is None else await on_disk(_branch_of, folder)
    return Rebase(branch=branch, files=tuple(sorted(files)))


async def recover(run: JobRun) -> None:
    """Put the clone in order; idempotent, and cheap when there is nothing to do."""
    clone = run.clone
    git_dir = clone.folder / ".git"
    swept = await on_disk(sweep_locks, git_dir)
    if swept:
        await run.report.progress(f"took away lock files of a git that was killed: {', '.join(swept)}")
    if await on_disk(_rebase_folder, git_dir) is not None:
        await _end_rebase(clone)
    if await on_disk(_is_half_done, git_dir):
        await clone.git("reset", "--merge")
    await _detach(clone, run.trunk)
    await clone.ask(_DOING, "clean", "-ffdq")
    if run.tool is not None and await clone.resolve("refs/spice/data") is not None:
        # Takes back what git-spice would go on with; it says no when there is nothing, which is as well.
        await run.call(run.tool, "rebase", "abort")
        await on_disk(sweep_locks, git_dir)


async def _end_rebase(clone: Clone) -> None:
    """Drop a rebase. Its branch has not moved yet, so it is not put back either.

    `git rebase --abort` would set it to where the rebase began, and drop what was collected from a sandbox since then.
    """
    await clone.git("rebase", "--quit")
    await on_disk(_remove_rebases, clone.folder / ".git")


async def _detach(clone: Clone, trunk: str) -> None:
    """Let go of every branch, so that no worktree elsewhere is kept from it."""
    order = ("checkout", "--quiet", "--force", "--detach")
    trunk_ref = BRANCHES + trunk
    target = trunk_ref if await clone.resolve(trunk_ref) is not None else "HEAD"
    await clone.ask(_DOING, *order, target, timeout_seconds=10 * clone.timeout_seconds)


def _rebase_folder(git_dir: Path) -> Path | None:
    return next((git_dir / name for name in _REBASES if (git_dir / name).exists()), None)


def _branch_of(folder: Path) -> str | None:
    try:
        ref = (folder / "head-name").read_text(encoding="utf-8", errors="surrogateescape").strip()
    except FileNotFoundError:
        return None
    return ref.removeprefix(BRANCHES) if ref.startswith(BRANCHES) else None


def _is_half_done(git_dir: Path) -> bool:
    return any((git_dir / name).exists() for name in _HALF_DONE)


def _remove_rebases(git_dir: Path) -> None:
    for name in _REBASES:
        shutil.rmtree(git_dir / name, ignore_errors=True)
    for name in ("REBASE_HEAD", "AUTO_MERGE"):
        (git_dir / name).unlink(missing_ok=True)
