"""Clone removal: a clone goes for good only when nothing in it is nowhere else.

Owns: `REMOVAL_CHECKS`.
Never: a clone taken for gone because the adapter says so; its path is looked at.
Reads as: clone.py -> these -> `CloneStore.remove`, `CloneStore.tasks_with_work`.
"""

import shutil

import anyio

from taskdock.core.errors import Permanent, PortError
from taskdock.testing.conformance.clone_repos import git, refs_of
from taskdock.testing.conformance.clone_under_test import Bench, CloneCheck, CloneUnderTest, unheard
from taskdock.testing.conformance.promises import PromiseBroken, refused, require, told

_GOES = "A clone of which the remote has everything is removed, and removing it again is a success"
_STAYS = "A clone stays, untouched, while something in it is nowhere else"
_ASKS = "begin is awaited right before the first file goes, and what it raises keeps the clone"
_SILENT = "A remote that does not answer proves nothing, so the clone stays"
_WORK = "tasks_with_work names every task of which the clone keeps work"


class _TakenBack(Exception):
    """What a caller raises who does not want it any more."""


async def _wanted() -> None:
    """Nobody minds."""


async def check_removed_clone_is_gone(sut: CloneUnderTest) -> None:
    """A clone that is whole on its remote goes, also when the remote has more by now; after that it can be made anew."""
    remote, repo_id = await sut.remote(), sut.new_repo_id()
    await sut.store.clone(repo_id, str(remote.folder), unheard)
    await sut.store.checkout(repo_id, "task-1", "main")
    await remote.push("main", "later.txt", "later")
    for store in (sut.store, sut.second(), sut.store):
        await store.remove(repo_id, _wanted)
        is_there = await anyio.Path(sut.store.path(repo_id)).exists()
        require(
            not is_there, _GOES, "its folder is still there", "take the folder away when the proof is there"
        )
    with refused(Permanent, "A clone that was removed is none", "keep nothing of it"):
        await sut.store.branch_heads(repo_id)
    again = await sut.store.clone(repo_id, str(remote.folder), unheard)
    head = await remote.head("main")
    require(
        again.head == head,
        "A clone that was removed can be made anew",
        f"the new one has main at {again.head}, not {head}",
        "leave nothing of the old one in the way",
    )


async def check_clone_with_unpushed_work_stays(sut: CloneUnderTest) -> None:
    """Work that only the clone has keeps it, and the refusal says what and where; once it is pushed, the clone goes."""
    bench = await sut.bench()
    _, bundle = await bench.work("first")
    await bench.take_in(bundle)
    before = await refs_of(bench.folder)
    reason = await _refusal(bench, "it was removed with a branch that was never pushed")
    named = bench.branch in reason and str(bench.folder) in reason
    require(
        named and await refs_of(bench.folder) == before,
        _STAYS,
        f"the branch {bench.branch} was not pushed, and the refusal is {reason!r}",
        "name the branch and the clone's path, and leave every ref where it is",
    )
    await git(bench.agent.folder, "push", "--quiet", "origin", f"HEAD:refs/heads/{bench.branch}")
    await sut.store.remove(bench.repo_id, _wanted)
    require(
        not await anyio.Path(bench.folder).exists(),
        _GOES,
        "its work was pushed, and it stays",
        "ask the remote what it has now",
    )


async def check_clone_with_uncommitted_work_stays(sut: CloneUnderTest) -> None:
    """Uncommitted work that was collected, or that somebody has in the clone's own folder, keeps it."""
    bench = await sut.bench()
    await anyio.Path(bench.agent.folder / "notes.txt").write_text("half a thought")
    await git(bench.agent.folder, "add", "--all")
    tree = await git(bench.agent.folder, "write-tree")
    dirty = await git(bench.agent.folder, "commit-tree", "-p", "HEAD", "-m", "dirty", tree)
    await git(bench.agent.folder, "update-ref", "refs/taskdock/dirty", dirty)
    await bench.take_in(await bench.bundle("HEAD", "refs/taskdock/dirty", "^origin/main~1"))
    await _refusal(bench, "it was removed with uncommitted work that was collected")
    other = await sut.bench()
    await anyio.Path(other.folder / "mine.txt").write_text("somebody is at work here")
    await _refusal(other, "it was removed with a file that somebody made in it")


async def check_remote_is_asked_before_a_removal(sut: CloneUnderTest) -> None:
    """What was once fetched proves nothing: of a branch that the remote has no more, and of a remote that is gone, the clone stays."""
    bench = await sut.bench()
    _, bundle = await bench.work("first")
    await bench.take_in(bundle)
    await git(bench.agent.folder, "push", "--quiet", "origin", f"HEAD:refs/heads/{bench.branch}")
    await git(bench.folder, "fetch", "--quiet", "origin")
    await git(bench.agent.folder, "push", "--quiet", "origin", f":refs/heads/{bench.branch}")
    await _refusal(bench, "it was removed with a branch that the remote has no more")
    other = await sut.bench()
    shutil.rmtree(other.remote.folder)
    try:
        await sut.store.remove(other.repo_id, _wanted)
    except PortError:
        is_there = await anyio.Path(other.folder).exists()
        require(is_there, _SILENT, "it was taken away before the error", "ask first")
    else:
        raise PromiseBroken(_SILENT, "it was removed", "let the error of the fetch be the answer")


async def check_removal_is_asked_once_more(sut: CloneUnderTest) -> None:
    """Who asked for the removal is heard once more when all is proven; what that raises leaves the clone whole."""
    remote, repo_id = await sut.remote(), sut.new_repo_id()
    made = await sut.store.clone(repo_id, str(remote.folder), unheard)
    folder = sut.store.path(repo_id)

    async def taken_back() -> None:
        require(
            await anyio.Path(folder / ".git").exists(),
            _ASKS,
            "the clone was gone when begin was called",
            "await it before you touch anything",
        )
        raise _TakenBack

    try:
        await sut.store.remove(repo_id, taken_back)
    except _TakenBack:
        pass
    else:
        raise PromiseBroken(_ASKS, "what it raised was not raised on", "do not catch it")
    again = await sut.store.clone(repo_id, str(remote.folder), unheard)
    require(
        again == made, _ASKS, "the clone is another one now", "take nothing away before begin has returned"
    )


async def check_tasks_with_work_are_named(sut: CloneUnderTest) -> None:
    """A task whose work came in is named, one that only began is not, and without a clone there is none."""
    bench = await sut.bench()
    (await sut.store.checkout(bench.repo_id, "task-began", "main")).bundle.unlink()
    before = await sut.store.tasks_with_work(bench.repo_id)
    _, bundle = await bench.work("first")
    await bench.take_in(bundle)
    after = await sut.second().tasks_with_work(bench.repo_id)
    unknown = await sut.store.tasks_with_work(sut.new_repo_id())
    require(
        (before, after, unknown) == ((), (bench.task_id,), ()),
        _WORK,
        f"before it came in {before}, then {after}, and without a clone {unknown}",
        "name each task that has a ref of its own beside its base",
    )


async def _refusal(bench: Bench, told_instead: str) -> str:
    """What a removal that has to be refused says; the clone has to be there after it."""
    folder = bench.folder
    try:
        await bench.sut.store.remove(bench.repo_id, _wanted)
    except Permanent as error:
        is_there = await anyio.Path(folder / ".git").exists()
        require(is_there, _STAYS, "it was refused, and the clone is gone", "look before you touch anything")
        return error.reason
    raise PromiseBroken(_STAYS, told_instead, "compare every ref and file of it with what the remote has")


REMOVAL_CHECKS: tuple[CloneCheck, ...] = told(
    check_removed_clone_is_gone,
    check_clone_with_unpushed_work_stays,
    check_clone_with_uncommitted_work_stays,
    check_remote_is_asked_before_a_removal,
    check_removal_is_asked_once_more,
    check_tasks_with_work_are_named,
)
