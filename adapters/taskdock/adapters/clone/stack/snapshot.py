"""Snapshot: every branch and the stack's own data at one moment, in one commit under `refs/repo-jobs/`.

Owns: everything below `refs/repo-jobs/`, what a job changed, and how long that is known.
Never: a ref for each branch: a kill between two of them would leave half a snapshot, which undo would believe.
Reads as: jobs.py, undo.py, pushing.py -> this -> clone.py.

    refs/repo-jobs/<job>/before   taken by the first attempt, before anything moves
    refs/repo-jobs/<job>/after    taken at each end
    refs/repo-jobs/<job>/remote   where the remote's branches were before the job pushed

The commit holds the heads as its parents, so that git keeps them, and says in its message which is which.
"""

import json
import time
from collections.abc import Mapping

from attrs import asdict, field, frozen

from taskdock.adapters.clone.clone import Clone
from taskdock.adapters.clone.refs import BRANCHES, REMOTE, checked_id
from taskdock.adapters.clone.stack.run import JobRun
from taskdock.core.job_record import Moved

BEFORE, AFTER, REMOTE_BEFORE = "before", "after", "remote"

DATA = "refs/spice/data"
_ROOT = "refs/repo-jobs/"
_DOING = "noting where the branches are"
_COLLECTED = "taskdock"
"""The reflog's word for a move by collected work (see `Clone.move`)."""


@frozen
class Snapshot:
    """Where the branches were: name -> commit; `data` is the stack's own."""

    heads: Mapping[str, str] = field(factory=dict)
    data: str | None = None


async def now(clone: Clone) -> Snapshot:
    """Read where the branches are."""
    data = (await clone.refs("refs/spice/")).get("data")
    return Snapshot(heads=await clone.refs(BRANCHES), data=data)


async def take(run: JobRun) -> None:
    """Take the snapshot before the job; a later attempt keeps it, but for what collected work has moved since."""
    if await read(run.clone, run.order.job_id, BEFORE) is None:
        await write(run.clone, run.order.job_id, BEFORE, await now(run.clone))
    else:
        await take_over(run)


async def take_over(run: JobRun) -> None:
    """Take into the snapshot what collected work moved while the job did not hold the clone: that is none of its doing."""
    before = await read(run.clone, run.order.job_id, BEFORE)
    if before is None:
        return
    heads = await run.heads()
    moved = [name for name, head in heads.items() if before.heads.get(name) != head]
    collected = {name: heads[name] for name in moved if await _last_note(run.clone, name) == _COLLECTED}
    if collected:
        known = Snapshot(heads={**before.heads, **collected}, data=before.data)
        await write(run.clone, run.order.job_id, BEFORE, known)


async def take_remote(run: JobRun) -> None:
    """Note, once, where the remote's branches are before the job pushes."""
    if await read(run.clone, run.order.job_id, REMOTE_BEFORE) is None:
        await write(run.clone, run.order.job_id, REMOTE_BEFORE, Snapshot(heads=await run.clone.refs(REMOTE)))


async def changed(clone: Clone, job_id: str) -> dict[str, Moved]:
    """Compare where the branches are with where they were before the job; nothing, when it took no snapshot."""
    before = await read(clone, job_id, BEFORE)
    return {} if before is None else difference(before, await now(clone))


def difference(before: Snapshot, after: Snapshot) -> dict[str, Moved]:
    """Name each branch that two snapshots show elsewhere."""
    names = sorted({*before.heads, *after.heads})
    moves = {name: Moved(before.heads.get(name), after.heads.get(name)) for name in names}
    return {name: move for name, move in moves.items() if move.old != move.new}


async def read(clone: Clone, job_id: str, which: str) -> Snapshot | None:
    """Read one snapshot of a job, or None."""
    commit = await clone.resolve(_name(job_id, which))
    if commit is None:
        return None
    text = await clone.ask(_DOING, "cat-file", "commit", commit)
    return Snapshot(**json.loads(text.partition("\n\n")[2]))


async def write(clone: Clone, job_id: str, which: str, snapshot: Snapshot) -> None:
    """Keep a snapshot: one object, then one ref."""
    tree = await clone.ask(_DOING, "hash-object", "-t", "tree", "-w", "--stdin")
    kept = sorted({*snapshot.heads.values(), *([snapshot.data] if snapshot.data else [])})
    stamp = f"Taskdock <taskdock@localhost> {int(time.time())} +0000"
    lines = [
        f"tree {tree}",
        *(f"parent {commit}" for commit in kept),
        f"author {stamp}",
        f"committer {stamp}",
    ]
    text = "\n".join(lines) + "\n\n" + json.dumps(asdict(snapshot), sort_keys=True) + "\n"
    commit = await clone.ask(_DOING, "hash-object", "-t", "commit", "-w", "--stdin", stdin=text.encode())
    await clone.put(_DOING, {_name(job_id, which): commit})


async def forget_old(run: JobRun) -> None:
    """Take away the snapshots of jobs that ended too long ago to be undone."""
    oldest = int(time.time() - run.limits.snapshot_days * 86_400)
    form = "--format=%(committerdate:unix) %(refname)"
    listing = await run.clone.ask(_DOING, "for-each-ref", form, "--", _ROOT)
    rows = (line.split(" ") for line in listing.splitlines())
    # A job is as old as the newest of its snapshots: the last one taken is its end.
    newest: dict[str, int] = {}
    names: list[tuple[str, str]] = []
    for stamp, name in rows:
        job = name.removeprefix(_ROOT).partition("/")[0]
        newest[job] = max(newest.get(job, 0), int(stamp))
        names.append((job, name))
    old = [name for job, name in names if newest[job] < oldest]
    if old:
        await run.clone.transact(run.note, "".join(f"delete {name}\0\0" for name in old))


async def _last_note(clone: Clone, branch: str) -> str:
    result = await clone.git(
        "log", "--walk-reflogs", "--max-count=1", "--format=%gs", BRANCHES + branch, "--"
    )
    return result.text.strip()


def _name(job_id: str, which: str) -> str:
    return f"{_ROOT}{checked_id(job_id, 'job id')}/{which}"
