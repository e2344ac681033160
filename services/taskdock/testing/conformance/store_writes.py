"""Store writes: what is written whole, what is refused, and what leaves no trace.

Owns: `WRITE_CHECKS`.
Never: a look into the database; what was written is what can be read.
Reads as: store.py -> these -> `Store.load`, `Store.commit`.
"""

import anyio
from attrs import evolve

from taskdock.core import inputs
from taskdock.core.change import BranchHold, Change
from taskdock.ports.store import BranchHeld, Commit, CommitResult, Committed, KeyUsed, Stale
from taskdock.testing.conformance.promises import require
from taskdock.testing.conformance.store_under_test import (
    WORKSPACE,
    StoreCheck,
    StoreUnderTest,
    creation,
    expect,
    key,
    task_id,
)

_CALLERS = 8


async def check_stale_change_writes_nothing(sut: StoreUnderTest) -> None:
    """A change against another version is Stale, and leaves no trace."""
    await sut.create(1)
    old = await sut.decide(task_id(1), inputs.KillTask())
    await sut.step(task_id(1), inputs.OpenTab("tab-2"))
    again = creation(1)
    early = evolve(old, expect_version=7)
    await sut.require_refused(Stale(task_id(1)), old, "A change against an older version")
    await sut.require_refused(Stale(task_id(1)), early, "A change against a version that is not there yet")
    await sut.require_refused(Stale(task_id(1)), again, "A change that makes a boundary which is there")


async def check_change_of_nothing_is_stale(sut: StoreUnderTest) -> None:
    """A change of a boundary that was never made is Stale."""
    change = evolve(creation(1), expect_version=3)
    await sut.require_refused(Stale(task_id(1)), change, "A change of a boundary that does not exist")
    require(await sut.store.record("task", task_id(1)) is None, "What is refused must leave no record.")


async def check_both_changes_or_none(sut: StoreUnderTest) -> None:
    """Two boundaries of one commit are written together or not at all."""
    first, second = (creation(n) for n in (1, 2))
    stale = evolve(second, expect_version=5)
    result = await sut.store.commit(Commit((first, stale)))
    require(result == Stale(task_id(2)), f"The boundary that is stale must be named, not {result}.")
    require(
        (await sut.store.load(task_id(1))).version == 0,
        "One stale change must undo the other one of its commit.",
    )
    require(await sut.store.position() == 0, "What is refused must leave no feed entry.")
    await sut.commit(first, second)
    versions = [(await sut.store.load(task_id(n))).version for n in (1, 2)]
    require(versions == [1, 1], f"Both changes of a commit must be written, not {versions}.")


async def check_one_of_many_wins(sut: StoreUnderTest) -> None:
    """Of many changes against one version exactly one is written, whoever commits at once."""
    await sut.create(1)
    results: list[CommitResult] = []

    async def commit(change: Change) -> None:
        results.append(await sut.store.commit(Commit((change,))))

    changes = [await sut.decide(task_id(1), inputs.OpenTab(f"tab-{number}")) for number in range(_CALLERS)]
    async with anyio.create_task_group() as group:
        for change in changes:
            group.start_soon(commit, change)
    won = [result for result in results if isinstance(result, Committed)]
    require(len(won) == 1, f"Exactly one change against a version must be written, not {len(won)}.")
    loaded = await sut.store.load(task_id(1))
    tabs = len([record for record in loaded.records if record.id.startswith("tab-")])
    require(
        (loaded.version, tabs) == (2, 2),
        f"After one of many won there must be version 2 and 2 tabs, not {loaded.version} and {tabs}.",
    )


async def check_many_boundaries_at_once(sut: StoreUnderTest) -> None:
    """Commits of different boundaries do not hinder each other, and each has a position of its own."""
    positions: list[int] = []

    async def create(number: int) -> None:
        positions.append(await sut.commit(creation(number)))

    async with anyio.create_task_group() as group:
        for number in range(_CALLERS):
            group.start_soon(create, number)
    require(
        len(set(positions)) == _CALLERS,
        f"Every commit must have a position of its own, not {sorted(positions)}.",
    )
    require(
        max(positions) == await sut.store.position(),
        "The last commit's position must be the last of the feed.",
    )


async def check_failing_commit_harms_no_other(sut: StoreUnderTest) -> None:
    """A commit that is refused takes none with it that was handed in at the same time."""
    await sut.create(1)
    stale = evolve(await sut.decide(task_id(1), inputs.OpenTab("tab-2")), expect_version=9)
    results: dict[int, CommitResult] = {}

    async def commit(number: int, change: Change) -> None:
        results[number] = await sut.store.commit(Commit((change,)))

    async with anyio.create_task_group() as group:
        for number in range(2, 2 + _CALLERS):
            group.start_soon(commit, number, creation(number))
            group.start_soon(commit, -number, stale)
    lost = [number for number, result in results.items() if number > 0 and not isinstance(result, Committed)]
    require(not lost, f"A refused commit must be undone alone; {lost} were lost with it.")


async def check_cancelled_caller_leaves_whole_commit_or_none(sut: StoreUnderTest) -> None:
    """A caller that is cancelled leaves its commit written whole, or not at all."""
    change = creation(1)
    async with anyio.create_task_group() as group:
        group.start_soon(sut.store.commit, Commit((change,)))
        await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    await sut.create(2)
    loaded = await sut.store.load(task_id(1))
    events = len(await sut.store.history(task_id(1), workspace=WORKSPACE))
    whole = (1, len(change.records) - 1, len(change.ordered), len(change.history))
    have = (loaded.version, len(loaded.records), len(loaded.intents), events)
    require(
        have in (whole, (0, 0, 0, 0)), f"A cancelled commit must be whole {whole} or nothing, not {have}."
    )


async def check_key_has_one_answer(sut: StoreUnderTest) -> None:
    """A key keeps its first answer; a second request with it writes nothing and gets that answer."""
    first = creation(1)
    position = await sut.commit(first, key=key("click"))
    second = creation(2)
    used = KeyUsed("digest", '{"task": 1}', position)
    for changes, what in (
        ((second,), "another boundary"),
        ((first,), "a change that is stale by now"),
        ((), "no change"),
    ):
        result = await sut.store.commit(Commit(changes, key("click", digest="other", answer="{}")))
        require(result == used, f"A used key with {what} must be answered by {used}, not by {result}.")
    require(
        (await sut.store.load(task_id(2))).version == 0, "What comes with a used key must not be written."
    )
    require(
        await sut.store.key(WORKSPACE, "click") == used,
        "A key must be read back with its digest and its answer.",
    )
    require(
        await sut.store.key("elsewhere", "click") is None, "A key belongs to one workspace: keep them apart."
    )
    await sut.commit(second, key=evolve(key("click"), workspace="elsewhere"))


async def check_key_alone_is_kept(sut: StoreUnderTest) -> None:
    """A request that changed nothing still has its answer kept."""
    await sut.create(1)
    position = await sut.commit(key=key("again"))
    require(
        position == await sut.store.position(),
        "Without a feed entry of its own, a commit has the last position.",
    )
    require(await sut.store.key(WORKSPACE, "again") is not None, "A commit of a key alone must keep the key.")


async def check_refused_commit_keeps_no_key(sut: StoreUnderTest) -> None:
    """A key is kept with its commit or not at all."""
    stale = evolve(creation(1), expect_version=2)
    result = await sut.store.commit(Commit((stale,), key("lost")))
    expect(Stale, result, "A stale change with a new key must be Stale.")
    require(
        await sut.store.key(WORKSPACE, "lost") is None, "A key whose commit was refused must not be kept."
    )


async def check_branch_is_held_once(sut: StoreUnderTest) -> None:
    """A branch is held by one task per repo, until that task releases it."""
    await sut.create(1, branch="fix")
    taken = creation(2, branch="fix")
    await sut.require_refused(BranchHeld("fix", task_id(1)), taken, "A branch that another task holds")
    await sut.create(3, branch="fix", repo="repo-2")
    holders = await sut.store.holders("repo-1", ["fix", "nobody's"])
    require(
        holders == {"fix": task_id(1)},
        f"Of the branches asked for, tell who holds which in this repo: {task_id(1)} 'fix', not {holders}.",
    )
    again = await sut.decide(task_id(1), inputs.OpenTab("tab-2"))
    await sut.commit(evolve(again, hold=BranchHold("repo-1", "fix", task_id(1))))
    foreign = await sut.decide(task_id(3), inputs.OpenTab("tab-3"))
    await sut.commit(evolve(foreign, release=BranchHold("repo-1", "fix", task_id(3))))
    await sut.require_refused(
        BranchHeld("fix", task_id(1)), taken, "A branch that somebody else tried to release"
    )
    free = await sut.decide(task_id(1), inputs.OpenTab("tab-4"))
    await sut.commit(evolve(free, release=BranchHold("repo-1", "fix", task_id(1))))
    await sut.commit(taken)


WRITE_CHECKS: tuple[StoreCheck, ...] = (
    check_stale_change_writes_nothing,
    check_change_of_nothing_is_stale,
    check_both_changes_or_none,
    check_one_of_many_wins,
    check_many_boundaries_at_once,
    check_failing_commit_harms_no_other,
    check_cancelled_caller_leaves_whole_commit_or_none,
    check_key_has_one_answer,
    check_key_alone_is_kept,
    check_refused_commit_keeps_no_key,
    check_branch_is_held_once,
)
