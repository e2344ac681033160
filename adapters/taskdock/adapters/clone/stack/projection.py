"""Projection: every branch as a person wants to see it, read once at the end of a job.

Owns: what `BranchSeen` is filled with, in the order of the stacks.
Never: a network call, or a change to a branch.
Reads as: jobs.py -> this -> listing.py, clone.py.

Distances, sizes and conflicts cost three gits a branch. They are read for the branches of the clone itself and, of those
that only the remote has, for the ones with the newest commits.
"""

import re
from collections.abc import Mapping

import anyio
from attrs import evolve, frozen

from taskdock.adapters.clone.refs import REMOTE
from taskdock.adapters.clone.stack.listing import Stacks
from taskdock.adapters.clone.stack.parents import written_down
from taskdock.adapters.clone.stack.run import JobRun
from taskdock.core.job_record import BranchSeen

REMOTE_ONLY_MAX = 100
"""So many branches that only the remote has are looked at closely."""

_AT_ONCE = 4
_DOING = "looking at the branches"
_SHORTSTAT = re.compile(r"(\d+) (file|insertion|deletion)")
_CONFLICT = 1
"""What `git merge-tree` answers when the two cannot be merged without somebody."""


@frozen
class _View:
    """What the branches are looked at with."""

    run: JobRun
    stacks: Stacks
    heads: Mapping[str, str]
    trunk_head: str
    is_known_to_tool: bool

    async def closely(self, seen: BranchSeen) -> BranchSeen:
        """Fill in what needs a git of its own."""
        base = self.heads.get(seen.parent or self.run.trunk, self.trunk_head)
        ahead, behind = await self._distance(seen.head)
        files, more, less = await self._size(base, seen.head)
        restack = seen.needs_restack
        if seen.is_tracked and not self.is_known_to_tool:
            restack = not await self.run.clone.contains(base, seen.head)
        return evolve(
            seen,
            ahead=ahead,
            behind=behind,
            files_changed=files,
            insertions=more,
            deletions=less,
            needs_restack=restack,
            conflicts_with_trunk=behind > 0 and ahead > 0 and await self._conflicts(seen.head),
        )

    async def _distance(self, head: str) -> tuple[int, int]:
        counts = await self.run.clone.ask(
            _DOING, "rev-list", "--left-right", "--count", f"{self.trunk_head}...{head}", "--"
        )
        behind, ahead = counts.split()
        return int(ahead), int(behind)

    async def _size(self, base: str, head: str) -> tuple[int, int, int]:
        """Count against where the branch left its base; a branch that has nothing in common with it has no size."""
        result = await self.run.clone.git("diff", "--shortstat", "--no-ext-diff", f"{base}...{head}", "--")
        found = {word: int(number) for number, word in _SHORTSTAT.findall(result.text)}
        return found.get("file", 0), found.get("insertion", 0), found.get("deletion", 0)

    async def _conflicts(self, head: str) -> bool:
        order = ("merge-tree", "--write-tree", "--name-only", "--no-messages", self.trunk_head, head)
        return (await self.run.clone.git(*order)).exit_code == _CONFLICT


async def project(run: JobRun) -> tuple[BranchSeen, ...]:
    """Read every branch: trunk, then stack by stack from the bottom up, then what no stack has."""
    own, remote = await run.heads(), await run.remote_heads()
    heads = {**remote, **own}
    known = run.tool is not None
    stacks = await _stacks(run)
    names = [name for name in stacks.order() if name in heads]
    rest = sorted(set(heads) - {run.trunk, *names})
    close = {run.trunk, *names, *own, *await _newest(run, set(rest) - set(own))}
    view = _View(run, stacks, heads, heads.get(run.trunk, ""), known)
    rows = [_row(view, name) for name in (run.trunk, *names, *rest) if name in heads]
    return await _all(view, rows, close)


async def _all(view: _View, rows: list[BranchSeen], close: set[str]) -> tuple[BranchSeen, ...]:
    """Look closely at several at a time, each git being a process of its own."""
    found = list(rows)
    limit = anyio.CapacityLimiter(_AT_ONCE)

    async def look(index: int) -> None:
        async with limit:
            found[index] = await view.closely(rows[index])

    async with anyio.create_task_group() as tasks:
        for index, row in enumerate(rows):
            if row.name in close and view.trunk_head:
                tasks.start_soon(look, index)
    return tuple(found)


async def _stacks(run: JobRun) -> Stacks:
    if run.tool is not None and await run.clone.resolve("refs/spice/data") is not None:
        return await run.stacks(run.tool)
    return await written_down(run.clone, run.trunk)


async def _newest(run: JobRun, names: set[str]) -> set[str]:
    """Choose, of the branches that only the remote has, the ones with the newest commits."""
    order = ("for-each-ref", "--sort=-committerdate", "--format=%(refname:lstrip=3)", "--", REMOTE)
    listing = await run.clone.ask(_DOING, *order)
    return {*[name for name in listing.splitlines() if name in names][:REMOTE_ONLY_MAX]}


def _row(view: _View, name: str) -> BranchSeen:
    listed = view.stacks.branches.get(name)
    if listed is None:
        return BranchSeen(name=name, head=view.heads[name])
    return BranchSeen(
        name=name,
        head=view.heads[name],
        parent=listed.parent,
        is_tracked=True,
        depth=view.stacks.depth(name),
        needs_restack=listed.needs_restack,
        pull_request=listed.pull_request,
        pull_request_status=listed.pull_request_status,
    )
