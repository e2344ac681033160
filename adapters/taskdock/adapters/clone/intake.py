"""Intake: what a bundle from a sandbox becomes in the clone.

Owns: the order of the writes, on which recovery after a crash rests, and the rule where a task stands.
Never: a branch moved by force, or a head of the bundle that is kept nowhere.
Reads as: git.py -> this -> clone.py.

Order: objects first (no ref names them yet), then the head under the task's own ref, then the other heads, then the
branch. Whoever is killed in between is made good by the next call, also by one without a bundle: what the task's own
refs hold counts as known, so the sandbox will not send it again, and the branch is brought up to it then.

Where the task stands: at HEAD, as long as HEAD has the task's branch in its history. In the middle of a rebase it has
not: then the branch is where the task stands, and HEAD is kept beside it.
"""

from pathlib import Path

from taskdock.adapters.clone.clone import Clone
from taskdock.adapters.clone.refs import BRANCHES, ZERO, TaskRefs, head_name, is_ref_name
from taskdock.core.errors import Permanent
from taskdock.ports.clone import TakenIn

HEAD = "HEAD"
STASH = "refs/stash"
DIRTY = "refs/taskdock/dirty"
"""The ref under which a bundle brings the sandbox's uncommitted work, as a commit on top of HEAD."""

_DOING = "taking in the work of a sandbox"


async def take_in(clone: Clone, task_id: str, generation: int, branch: str, bundle: Path | None) -> TakenIn:
    """Take in a bundle (None: only finish what an earlier call began); see `CloneStore.take_in`.

    The head in the answer is where the task stands now, None while it never made a commit; so a caller that died before
    it could write an earlier answer down learns of that head from the next one, although nothing is new by then.
    """
    before = await clone.task_refs(task_id)
    heads = {} if bundle is None else await _unpack(clone, bundle)
    stand = await _stand(clone, before, branch, heads)
    if heads:
        if stand is not None and stand != before.values.get(str(generation)):
            await clone.put(_DOING, {before.name(str(generation)): stand})
        await _keep(clone, before, generation, heads)
    moved = True if stand is None else await _follow(clone, before, branch, stand)
    return TakenIn(head=stand, branch_moved=moved)


async def _unpack(clone: Clone, bundle: Path) -> dict[str, str]:
    """Fetch the bundle's objects (git checks that they are whole) without naming them; gives its heads."""
    verified = await clone.git("bundle", "verify", str(bundle))
    if verified.exit_code != 0:
        raise clone.failed(verified, _DOING)
    listing = await clone.ask(_DOING, "bundle", "list-heads", str(bundle))
    rows = (line.partition(" ") for line in listing.splitlines())
    heads = {_checked(ref): commit for commit, _, ref in rows}
    if not heads:
        raise Permanent(f"{_DOING}: the bundle holds neither HEAD nor a branch")
    options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--stdin")
    wanted = "".join(f"{ref}\n" for ref in heads).encode(errors="surrogateescape")
    await clone.ask(_DOING, "fetch", *options, "--", str(bundle), stdin=wanted)
    return heads


def _checked(ref: str) -> str:
    """Give the head's name back; what the sandbox wrote there goes to git as a refspec, where `a:b` would write `b`."""
    if ref in {HEAD, STASH, DIRTY} or (ref.startswith(BRANCHES) and is_ref_name(ref.removeprefix(BRANCHES))):
        return ref
    raise Permanent(f"{_DOING}: the bundle holds {ref[:80]!r}, which is neither HEAD nor a branch")


async def _stand(clone: Clone, before: TaskRefs, branch: str, heads: dict[str, str]) -> str | None:
    """Where the task stands now; None when it still stands at its base."""
    head = heads.get(HEAD)
    # A branch that the bundle does not bring is known: it stands where we last saw it.
    tip = heads.get(BRANCHES + branch, before.standing or before.base)
    if head is not None and (tip is None or await clone.contains(tip, head)):
        return head
    return tip if tip != before.base else before.standing


async def _keep(clone: Clone, before: TaskRefs, generation: int, heads: dict[str, str]) -> None:
    """Keep every head and the uncommitted work under the task's own refs."""
    kept = {before.name(head_name(generation, ref)): heads[ref] for ref in heads if ref != DIRTY}
    if DIRTY in heads:
        kept[before.name(f"{generation}-dirty")] = heads[DIRTY]
    await clone.put(_DOING, kept)


async def _follow(clone: Clone, before: TaskRefs, branch: str, stand: str) -> bool:
    """Move the task's branch to where the task stands, from where we last put it; False when it was moved meanwhile."""
    ref = BRANCHES + branch
    now = await clone.resolve(ref)
    # The base counts as ours for a task that began on an existing branch, the standing for one that a crash cut off.
    ours = {before.followed, before.standing, before.base if before.followed is None else None}
    expected = now if now in ours and now is not None else before.followed or ZERO
    if now != stand and not await clone.move(ref, stand, expected):
        return False
    if before.followed != stand:
        await clone.put(_DOING, {before.name("branch"): stand})
    return True
