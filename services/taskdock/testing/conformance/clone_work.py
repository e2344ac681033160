"""Clone work checks: code that goes into a sandbox as a bundle, and work that comes out of it.

Owns: `WORK_CHECKS`, a part of `CLONE_CHECKS` (clone.py says how to use them).
Never: how a clone is made.
Reads as: clone.py -> these -> `CloneStore.checkout`, `take_in` and `known_heads`.
"""

from functools import partial
from pathlib import Path

import anyio
from attrs import evolve

from taskdock.core.errors import Permanent
from taskdock.ports.clone import Checkout, TakenIn
from taskdock.testing.conformance.clone_repos import GitRefused, git, head_of, refs_of
from taskdock.testing.conformance.clone_under_test import Bench, CloneCheck, CloneUnderTest
from taskdock.testing.conformance.promises import PromiseBroken, all_succeed, refused, require, told

_MOVED = "The task's branch moves by compare-and-set from the head that was taken in last, never by force"


async def check_bundle_holds_the_history(sut: CloneUnderTest) -> None:
    """A checkout's bundle is enough for a repository that has nothing: its ref, its head, and all that led to it."""
    bench = await sut.bench()
    for base in ("topic", await bench.remote.head("topic") or ""):
        task = evolve(bench, task_id=f"{bench.task_id}-{len(base)}")
        checkout = await sut.store.checkout(bench.repo_id, task.task_id, base)
        require(
            checkout.head == await bench.remote.head("topic"),
            "A task stands at its base, a branch or a commit, until work of it was collected",
            f"with the base {base!r} it stands at {checkout.head}",
            "look the base up among the branches, then among the commits",
        )
        folder = await _unpacked(sut, checkout)
        require(
            await head_of(folder, "here") == checkout.head,
            "The bundle holds `head` under `ref`",
            f"under {checkout.ref} it holds {await head_of(folder, 'here')}",
            "name a full ref of the bundle, and the commit that it holds there",
        )
        counted = await git(folder, "rev-list", "--count", "here")
        require(
            counted == "4",
            "A bundle is never shallow",
            f"of 4 commits it brings {counted}",
            "bundle the ref without leaving anything out",
        )


async def check_bundles_are_the_callers(sut: CloneUnderTest) -> None:
    """Each checkout gives a bundle of its own, which its caller deletes."""
    bench = await sut.bench()
    first, second = [await sut.store.checkout(bench.repo_id, bench.task_id, "main") for _ in range(2)]
    first.bundle.unlink()
    require(
        await anyio.Path(second.bundle).is_file(),
        "Each checkout gives a bundle of its own, since its caller deletes it",
        "the bundle of the one was that of the other",
        "write each under a fresh name",
    )


async def check_base_is_pinned_once(sut: CloneUnderTest) -> None:
    """The first checkout decides where a task starts, and neither another base nor a branch that moved changes it."""
    bench = await sut.bench()
    main = await bench.remote.head("main")
    pinned = await head_of(bench.folder, f"refs/taskdock/{bench.task_id}/base")
    require(
        pinned == main,
        "The first checkout pins the base as refs/taskdock/<task>/base",
        f"there is {pinned}",
        "set the ref before you bundle",
    )
    await bench.remote.push("main", "later.txt", "later")
    await git(bench.folder, "fetch", "--quiet", "origin")
    for base in ("main", "topic"):
        checkout = await sut.second().checkout(bench.repo_id, bench.task_id, base)
        require(
            checkout.head == main,
            "The base of a task is pinned once and never moved again",
            f"the next checkout, with {base!r}, stands at {checkout.head} instead of {main}",
            "set the ref only where there is none, and read it afterwards",
        )


async def check_pinning_at_once_has_one_winner(sut: CloneUnderTest) -> None:
    """First checkouts at once, with different bases, all stand at the same commit."""
    bench = await sut.bench()
    stores = (sut.store, sut.second())
    calls = [
        partial(store.checkout, bench.repo_id, "task-raced", base)
        for store in stores
        for base in ("main", "topic")
    ]
    made = await all_succeed("Checkouts of one task at once all succeed", calls)
    heads = {checkout.head for checkout in made}
    require(
        len(heads) == 1,
        "First checkouts at once have one winner, whose base holds for all",
        f"they stand at {len(heads)} different commits",
        "pin by compare-and-set from nothing, and read what the winner set",
    )


async def check_no_such_base_is_permanent(sut: CloneUnderTest) -> None:
    """A base that the clone does not have is Permanent, and pins nothing; what git could read as more than a name is none."""
    bench = await sut.bench()
    mend = "take branches and commits, no other syntax of git"
    for base in ("nope", "0123456789abcdef0123456789abcdef01234567", "--all", "main~1", ""):
        with refused(Permanent, f"A base that the clone does not have, as {base!r}, is Permanent", mend):
            await sut.store.checkout(bench.repo_id, "task-lost", base)
    known = await sut.store.known_heads(bench.repo_id, "task-lost")
    require(
        not known,
        "A refused checkout pins nothing",
        f"known is {known}",
        "look the base up before you pin it",
    )


async def check_first_work_makes_the_branch(sut: CloneUnderTest) -> None:
    """The first work of a task is kept under its own ref, and makes its branch; the work tree of the clone stays."""
    bench = await sut.bench()
    before = await git(bench.folder, "rev-parse", "HEAD")
    work, bundle = await bench.work("a")
    _require_taken(await bench.take_in(bundle), TakenIn(work, branch_moved=True), "the first work")
    kept = await head_of(bench.folder, f"refs/taskdock/{bench.task_id}/1")
    require(
        kept == work,
        "Work is kept under refs/taskdock/<task>/<generation>",
        f"there is {kept}",
        "name the head there before you move the branch",
    )
    branch = await bench.branch_head()
    require(
        branch == work,
        "The first work of a task makes its branch",
        f"it is at {branch}",
        "move it from nothing",
    )
    after = await git(bench.folder, "rev-parse", "HEAD")
    require(
        after == before,
        "Taking in moves no work tree",
        f"HEAD went to {after}",
        "fetch, and check nothing out",
    )


async def check_taking_in_again_changes_nothing(sut: CloneUnderTest) -> None:
    """The same bundle twice, also through another store, gives the same answer and changes no ref."""
    bench = await sut.bench()
    _, bundle = await bench.work("a")
    first = await bench.take_in(bundle)
    refs = await refs_of(bench.folder)
    for other in (bench, evolve(bench, sut=evolve(sut, store=sut.second()))):
        _require_taken(await other.take_in(bundle), first, "the same bundle again")
    require(
        await refs_of(bench.folder) == refs,
        "take_in is idempotent: the same bundle twice changes nothing",
        "a ref is another one afterwards",
        "write only what is not there yet",
    )


async def check_nothing_new_tells_the_head(sut: CloneUnderTest) -> None:
    """Without a bundle the head is told all the same, None while there was never work, and nothing moves."""
    bench = await sut.bench()
    _require_taken(await bench.take_in(None), TakenIn(None, branch_moved=True), "nothing, before any work")
    require(
        await bench.branch_head() is None,
        "A task without work has no branch in the clone",
        "there is one",
        "make the branch with the first commit",
    )
    work, bundle = await bench.work("a")
    await bench.take_in(bundle)
    _require_taken(await bench.take_in(None), TakenIn(work, branch_moved=True), "nothing, after work")


async def check_later_work_moves_on(sut: CloneUnderTest) -> None:
    """Each bundle moves the branch on, through generations and rewritten history, and the task stands at the last."""
    bench = await sut.bench()
    work = ""
    for generation in (1, 2, 10):
        work, bundle = await bench.work(f"{generation}")
        _require_taken(
            await bench.take_in(bundle, generation), TakenIn(work, branch_moved=True), "later work"
        )
        await git(bench.agent.folder, "commit", "--quiet", "--amend", "--allow-empty", "--message", "amended")
    branch = await bench.branch_head()
    require(branch == work, _MOVED, f"after three bundles it is at {branch}", "remember where you put it")
    checkout = await sut.store.checkout(bench.repo_id, bench.task_id, "main")
    require(
        checkout.head == work and await head_of(await _unpacked(sut, checkout), "here") == work,
        "A task stands at its last collected head",
        f"after work in the generations 1, 2 and 10 it stands at {checkout.head}",
        "take the highest generation, as a number",
    )


async def check_branch_moved_elsewhere_is_left(sut: CloneUnderTest) -> None:
    """A branch that somebody moved meanwhile stays there, and the work is kept under the task's own ref."""
    bench = await sut.bench()
    _, bundle = await bench.work("a")
    await bench.take_in(bundle)
    elsewhere = await git(bench.folder, "rev-parse", "refs/remotes/origin/main~1")
    await git(bench.folder, "update-ref", f"refs/heads/{bench.branch}", elsewhere)
    work, bundle = await bench.work("b")
    await _require_left(bench, elsewhere, work, bundle)


async def check_branch_of_others_is_left(sut: CloneUnderTest) -> None:
    """A branch of the task's name that somebody else made is not touched by its first work."""
    bench = await sut.bench()
    elsewhere = await git(bench.folder, "rev-parse", "refs/remotes/origin/main~1")
    await git(bench.folder, "update-ref", f"refs/heads/{bench.branch}", elsewhere)
    work, bundle = await bench.work("a")
    await _require_left(bench, elsewhere, work, bundle)


async def check_every_head_is_kept(sut: CloneUnderTest) -> None:
    """Every branch that a bundle brings is kept for the task, and known, so that the next bundle can leave it out."""
    bench = await sut.bench()
    await bench.agent.branch("aside")
    aside = await bench.agent.commit("aside.txt", "aside")
    await bench.agent.branch(bench.branch, "origin/main")
    work, bundle = await bench.work("a")
    await bench.take_in(bundle)
    base = await bench.remote.head("main")
    known = set(await sut.second().known_heads(bench.repo_id, bench.task_id))
    missing = {"base": base, "work": work, "another branch": aside}
    lost = [what for what, commit in missing.items() if commit not in known]
    require(
        not lost,
        "known_heads names the base and every head that was collected",
        f"{lost} is not among them",
        "keep each head of a bundle under a ref of the task, and list those refs",
    )
    branches = await refs_of(bench.folder, "refs/heads/aside")
    require(
        not branches,
        "Of a bundle only the task's own branch becomes a branch of the clone",
        f"there is {sorted(branches)}",
        "fetch without a refspec that writes refs/heads",
    )


async def check_damaged_bundle_is_permanent(sut: CloneUnderTest) -> None:
    """A bundle that is not whole is Permanent and changes nothing; a whole one works afterwards."""
    bench = await sut.bench()
    work, bundle = await bench.work("a" * 1000)
    refs = await refs_of(bench.folder)
    cut = sut.new_path("cut")
    content = await anyio.Path(bundle).read_bytes()
    for damaged in (content[:-30], b"no bundle at all"):
        await anyio.Path(cut).write_bytes(damaged)
        with refused(Permanent, "A bundle that is not whole is Permanent"):
            await bench.take_in(cut)
    require(
        await refs_of(bench.folder) == refs,
        "A bundle that is not whole changes nothing",
        "a ref is another one afterwards",
        "check the objects before you name any",
    )
    _require_taken(await bench.take_in(bundle), TakenIn(work, branch_moved=True), "the whole bundle")


async def check_tasks_do_not_mix(sut: CloneUnderTest) -> None:
    """Work of several tasks that comes at once goes to each one's own refs and branch."""
    bench = await sut.bench()
    tasks = [
        evolve(bench, task_id=f"{bench.task_id}-{number}", branch=f"work-{number}") for number in range(3)
    ]
    works: list[tuple[str, Path]] = []
    for task in tasks:
        (await sut.store.checkout(bench.repo_id, task.task_id, "main")).bundle.unlink()
        await bench.agent.branch(task.branch, "origin/main")
        commit = await bench.agent.commit("work.txt", task.branch)
        works.append((commit, await bench.bundle("HEAD", task.branch, "^origin/main")))
    calls = [partial(task.take_in, bundle) for task, (_, bundle) in zip(tasks, works, strict=True)]
    await all_succeed("Work of several tasks may come at once", calls)
    for task, (work, _) in zip(tasks, works, strict=True):
        branch = await task.branch_head()
        require(
            branch == work,
            "The work of each task goes to its own branch",
            f"{task.branch} is at {branch}, not at {work}",
            "keep what belongs to a task under its id",
        )


async def check_nothing_planted_runs(sut: CloneUnderTest) -> None:
    """Hooks and an fsmonitor that stand in the clone's own folder are never run."""
    bench = await sut.bench()
    ran = sut.new_path("ran")
    hooks = anyio.Path(bench.folder / ".git" / "hooks")
    await hooks.mkdir(exist_ok=True)
    for name in ("reference-transaction", "post-checkout", "pre-auto-gc"):
        await (hooks / name).write_text(f"#!/bin/sh\ntouch '{ran}'\n")
        await (hooks / name).chmod(0o755)
    await git(bench.folder, "config", "core.fsmonitor", f"touch '{ran}'")
    work, bundle = await bench.work("a")
    _require_taken(await bench.take_in(bundle), TakenIn(work, branch_moved=True), "work")
    await sut.store.checkout(bench.repo_id, "task-next", "topic")
    require(
        not await anyio.Path(ran).exists(),
        "No hook and no fsmonitor of a clone is ever run",
        "a planted one ran",
        "give every git `-c core.hooksPath=/dev/null -c core.fsmonitor=false`",
    )


async def _unpacked(sut: CloneUnderTest, checkout: Checkout) -> Path:
    """A repository that has nothing but what a checkout's bundle brought, as the branch `here`."""
    folder = sut.new_path("unpacked")
    await anyio.Path(folder).mkdir()
    await git(folder, "init", "--quiet", ".")
    try:
        await git(folder, "fetch", "--quiet", str(checkout.bundle), f"{checkout.ref}:refs/heads/here")
    except GitRefused as error:
        promise = "A repository that has nothing can fetch what a checkout's bundle brings"
        mend = "bundle all that leads to the head, and name the ref as the bundle has it"
        raise PromiseBroken(promise, f"it was refused with {str(error)!r}", mend) from error
    return folder


async def _require_left(bench: Bench, elsewhere: str, work: str, bundle: Path) -> None:
    taken = await bench.take_in(bundle)
    branch = await bench.branch_head()
    mend = "give git the old head with the new one, and leave the branch where that fails"
    require(branch == elsewhere, _MOVED, f"a branch that somebody put elsewhere went to {branch}", mend)
    _require_taken(taken, TakenIn(work, branch_moved=False), "work whose branch was put elsewhere")
    known = await bench.sut.store.known_heads(bench.repo_id, bench.task_id)
    require(
        work in known,
        "Work whose branch was moved elsewhere is kept under the task's own ref all the same",
        "it is not among the known heads",
        "name the head under refs/taskdock before you try the branch",
    )


def _require_taken(taken: TakenIn, wanted: TakenIn, which: str) -> None:
    require(
        taken == wanted,
        "take_in tells where the task stands, and whether its branch followed",
        f"for {which} it told {taken}, not {wanted}",
        "read where the task stands after the bundle, also when it brought nothing",
    )


WORK_CHECKS: tuple[CloneCheck, ...] = told(
    check_bundle_holds_the_history,
    check_bundles_are_the_callers,
    check_base_is_pinned_once,
    check_pinning_at_once_has_one_winner,
    check_no_such_base_is_permanent,
    check_first_work_makes_the_branch,
    check_taking_in_again_changes_nothing,
    check_nothing_new_tells_the_head,
    check_later_work_moves_on,
    check_branch_moved_elsewhere_is_left,
    check_branch_of_others_is_left,
    check_every_head_is_kept,
    check_damaged_bundle_is_permanent,
    check_tasks_do_not_mix,
    check_nothing_planted_runs,
)
