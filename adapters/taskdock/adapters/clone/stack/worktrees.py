"""Worktrees: which branches somebody else has checked out from this clone.

Owns: the reading of `git worktree list`.
Never: a change to one; its files are somebody's.
Reads as: sync.py, undo.py -> this -> clone.py.
"""

from taskdock.adapters.clone.clone import Clone
from taskdock.adapters.clone.refs import BRANCHES


async def checked_out(clone: Clone) -> dict[str, str]:
    """Map each branch that a worktree has checked out to that worktree; our own is always detached."""
    listing = await clone.ask("looking for worktrees", "worktree", "list", "--porcelain", "-z")
    found: dict[str, str] = {}
    path = ""
    for line in listing.split("\0"):
        word, _, rest = line.partition(" ")
        if word == "worktree":
            path = rest
        elif word == "branch":
            found[rest.removeprefix(BRANCHES)] = path
    return found
