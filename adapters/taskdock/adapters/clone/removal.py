"""Removal: the end of a clone, once it is proven that nothing in it is nowhere else.

Owns: the proof, and how a folder goes: renamed away first, and only then emptied.
Never: a clone taken away on what was fetched once; the remote is asked again, and one that does not answer proves nothing.
Reads as: git.py -> this -> clone.py.

What counts is every branch, tag, stash and head of collected work, what is checked out, the files of the work tree, and every
other work tree that somebody made from the clone. The stack's own data and the snapshots that undo a job go with the clone.
"""

import secrets
import shutil
from pathlib import Path

from taskdock.adapters.clone.clone import Clone
from taskdock.adapters.clone.failures import NETWORK, failure
from taskdock.adapters.clone.process import GitCall
from taskdock.adapters.clone.refs import BRANCHES
from taskdock.core.errors import Permanent

_TRASH = ".removed"
_SEEN = "refs/removal/"
"""Where the remote's branches and tags are kept for the time of the look, so that the clone's own refs stay as they are."""
_NOT_WORK = ("refs/remotes/", "refs/repo-jobs/", "refs/spice/", _SEEN)
_NAMES_MAX = 5
_DOING = "looking whether the clone can go"


async def demand_all_elsewhere(clone: Clone) -> None:
    """Return when all that is in the clone is on its remote now. `Permanent` naming what is not; else as a fetch raises."""
    await _demand_no_files(clone)
    await _fetch(clone)
    try:
        names = await _only_here(clone)
    finally:
        await _forget_seen(clone)
    if names:
        raise _stays(clone, f"the remote has not all of {', '.join(names)}; push it")


async def _demand_no_files(clone: Clone) -> None:
    listing = await clone.ask(_DOING, "worktree", "list", "--porcelain", "-z")
    for entry in listing.split("\0\0")[1:]:
        lines = entry.strip("\0").split("\0")
        if lines[0].startswith("worktree ") and not any(line.startswith("prunable") for line in lines):
            raise _stays(clone, f"{lines[0].removeprefix('worktree ')} is a work tree of it; move it away")
    status = ("status", "--porcelain", "-z", "--untracked-files=normal", "--ignore-submodules=all")
    changed = await clone.ask(_DOING, *status)
    if changed:
        raise _stays(
            clone, f"its work tree has changes of its own ({changed.split(chr(0))[0][3:]}); undo them"
        )


async def _fetch(clone: Clone) -> None:
    """Learn where every branch and tag of the remote is now, with all that is in them."""
    options = ("--prune", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
    wanted = (f"+{BRANCHES}*:{_SEEN}heads/*", f"+refs/tags/*:{_SEEN}tags/*")
    place = (f"--git-dir={clone.folder / '.git'}", f"--work-tree={clone.folder}")
    call = GitCall(
        arguments=(*place, "fetch", *options, "origin", *wanted),
        timeout_seconds=clone.timeout_seconds,
        doing="asking the remote what it has",
        network=True,
    )
    result = await clone.processes.run(call, clone.lock)
    if result.exit_code != 0:
        raise failure(result.exit_code, result.stderr, call.doing, rows=NETWORK)


async def _only_here(clone: Clone) -> list[str]:
    """Name what holds commits that the remote has not; a few of them, when they are many."""
    refs = await clone.refs("refs/")
    seen = [f"^{commit}" for ref, commit in refs.items() if f"refs/{ref}".startswith(_SEEN)]
    own = {ref: commit for ref, commit in refs.items() if not f"refs/{ref}".startswith(_NOT_WORK)}
    head = await clone.resolve("HEAD")
    own |= {} if head is None else {"HEAD": head}
    if not await _has_more(clone, [*own.values(), *seen]):
        return []
    found: list[str] = []
    for ref, commit in own.items():
        if len(found) < _NAMES_MAX and await _has_more(clone, [commit, *seen]):
            found.append(ref.removeprefix("heads/"))
    return found


async def _has_more(clone: Clone, revisions: list[str]) -> bool:
    stdin = "\n".join(revisions).encode()
    return bool(await clone.ask(_DOING, "rev-list", "--max-count=1", "--stdin", stdin=stdin))


async def _forget_seen(clone: Clone) -> None:
    refs = await clone.refs(_SEEN)
    if refs:
        await clone.transact(_DOING, "".join(f"delete {_SEEN}{ref}\0\0" for ref in refs))


def _stays(clone: Clone, why: str) -> Permanent:
    return Permanent(f"the clone stays at {clone.folder}: {why}, then remove the repo again")


def take_away(folder: Path) -> None:
    """Take a clone away, and what a crash left of earlier ones. Blocking; only under the lock of the clone."""
    trash = folder.parent / _TRASH
    if folder.exists():
        trash.mkdir(mode=0o700, exist_ok=True)
        folder.rename(trash / f"{folder.name}~{secrets.token_hex(8)}")
    sweep(folder)


def sweep(folder: Path) -> None:
    """Empty what was taken away and is not gone yet. Blocking; only under the lock of the clone."""
    for left in (folder.parent / _TRASH).glob(f"{folder.name}~*"):
        shutil.rmtree(left)
