"""Undo: the branches and the stack's own data put back where they were before a job, all or none.

Owns: the one transaction that does it, and when it is refused.
Never: a branch that has moved since. Commits that the job made stay in its snapshot, until that is too old.
Reads as: jobs.py -> this -> snapshot.py, clone.py, pushing.py.
"""

from taskdock.adapters.clone.refs import BRANCHES, ZERO
from taskdock.adapters.clone.stack import pushing, snapshot
from taskdock.adapters.clone.stack.failures import JobStopped, stopped
from taskdock.adapters.clone.stack.run import JobRun
from taskdock.adapters.clone.stack.snapshot import DATA, Snapshot
from taskdock.adapters.clone.stack.sync import fetch
from taskdock.adapters.clone.stack.worktrees import checked_out
from taskdock.core.job_record import JobErrorKind, Moved

_LOOK = "look at the branches; what you want back is in the history of the job, with its commits"


async def undo(run: JobRun) -> None:
    """Take back what a job moved; `diverged`, and nothing is touched, when anything of it stands elsewhere now."""
    job = run.order.undo_of or ""
    before, after = await _both(run, job)
    moves = snapshot.difference(before, after)
    remote = await _remote_moves(run, job, moves)
    heads = await run.heads()
    now = Snapshot(heads=heads, data=(await run.clone.refs("refs/spice/")).get("data"))
    if run.trunk in moves and now.heads.get(run.trunk) != moves[run.trunk].new:
        # Trunk follows the remote; a later sync that moved it on is none of this job's business.
        moves.pop(run.trunk)
    _require_unmoved(moves, now)
    if now.data not in {before.data, after.data}:
        raise stopped(JobErrorKind.DIVERGED, "the stacks were changed since by another job", _LOOK)
    await _require_free(run, moves)
    await _put_back(run, moves, now, before)
    if remote:
        await _push_back(run, remote)


async def _both(run: JobRun, job: str) -> tuple[Snapshot, Snapshot]:
    before = await snapshot.read(run.clone, job, snapshot.BEFORE)
    after = await snapshot.read(run.clone, job, snapshot.AFTER)
    if before is None or after is None:
        days = run.limits.snapshot_days
        reason = f"what the job moved is not known any more; it is kept for {days:g} days"
        raise stopped(
            JobErrorKind.USER_ERROR, reason, "move the branches by hand; the history has their heads"
        )
    return before, after


def _require_unmoved(moves: dict[str, Moved], now: Snapshot) -> None:
    """Refuse unless every branch is where the job left it, or back already (an undo that was cut off)."""
    elsewhere = [name for name, move in moves.items() if now.heads.get(name) not in {move.old, move.new}]
    if elsewhere:
        reason = f"moved since: {', '.join(elsewhere[:5])}; nothing was touched"
        raise stopped(JobErrorKind.DIVERGED, reason, _LOOK)


async def _require_free(run: JobRun, moves: dict[str, Moved]) -> None:
    held = {name: path for name, path in (await checked_out(run.clone)).items() if name in moves}
    if held:
        said = ", ".join(f"{name} at {path}" for name, path in held.items())
        hint = "check out something else there, then try again"
        raise stopped(JobErrorKind.USER_ERROR, f"checked out elsewhere: {said}; nothing was touched", hint)


async def _put_back(run: JobRun, moves: dict[str, Moved], now: Snapshot, before: Snapshot) -> None:
    orders = [_order(BRANCHES + name, now.heads.get(name), move.old) for name, move in moves.items()]
    orders.append(_order(DATA, now.data, before.data))
    result = await run.clone.transact(run.note, "".join(orders))
    if result.exit_code != 0:
        raise run.clone.failed(result, "putting the branches back")


def _order(ref: str, now: str | None, old: str | None) -> str:
    """Say how one ref gets from where it is to where it was; nothing when it is there."""
    if now == old:
        return ""
    return f"delete {ref}\0{now}\0" if old is None else f"update {ref}\0{old}\0{now or ZERO}\0"


async def _remote_moves(run: JobRun, job: str, moves: dict[str, Moved]) -> dict[str, Moved]:
    """Find what the job pushed; refused when the remote has moved on, or may not be touched."""
    there_before = await snapshot.read(run.clone, job, snapshot.REMOTE_BEFORE)
    if there_before is None:
        return {}
    if not run.order.push:
        reason = "the job was pushed, so taking it back only here would leave the remote as it is"
        raise stopped(JobErrorKind.USER_ERROR, reason, "undo it with push")
    if (failed := await fetch(run)) is not None:
        raise JobStopped(failed)
    there = await run.remote_heads()
    back: dict[str, Moved] = {}
    for name, move in moves.items():
        if name == run.trunk or there.get(name) == there_before.heads.get(name):
            continue
        if there.get(name) != move.new:
            reason = f"the remote's {name} was moved since; nothing was touched"
            raise stopped(JobErrorKind.DIVERGED, reason, _LOOK)
        back[name] = Moved(move.new, there_before.heads.get(name))
    return back


async def _push_back(run: JobRun, moves: dict[str, Moved]) -> None:
    answers = await pushing.send(run, moves)
    for name, answer in answers.items():
        old = moves[name].new
        if answer.accepted and old is not None:
            run.pushed[name] = old
    refused = [f"{name} {answer.reason}" for name, answer in answers.items() if not answer.accepted]
    if refused:
        reason = f"put back here, but the remote refused: {'; '.join(refused[:3])}"
        raise stopped(JobErrorKind.DIVERGED, reason, "push the branches yourself where you want them back")
