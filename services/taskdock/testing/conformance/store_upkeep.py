"""Store upkeep: what a store forgets when it is told to, what it keeps all the same, and how readers notice.

Owns: `UPKEEP_CHECKS`.
Never: a look into the database.
Reads as: store.py -> these -> `Upkeep`, `Reads.feed`.
"""

from datetime import datetime, timedelta

from attrs import evolve

from taskdock.core import inputs
from taskdock.core.errors import PositionLost
from taskdock.core.history import HistoryEvent, HistoryKind
from taskdock.core.intents import EnsureName
from taskdock.core.task import Task
from taskdock.ports.upkeep import Horizon, Prunable, Pruned
from taskdock.testing.conformance.promises import require
from taskdock.testing.conformance.store_under_test import (
    NOW,
    WORKSPACE,
    StoreCheck,
    StoreUnderTest,
    key,
    ordering,
    task_id,
)

_ALL = Horizon(datetime.max.replace(tzinfo=NOW.tzinfo), datetime.max.replace(tzinfo=NOW.tzinfo), 0, NOW + timedelta(days=9_999))  # fmt: skip
_NONE = Horizon(NOW - timedelta(days=9_999), NOW - timedelta(days=9_999), 10**9, NOW - timedelta(days=9_999))
_BATCH = 2


async def _prune(sut: StoreUnderTest, kind: Prunable, horizon: Horizon, limit: int = _BATCH) -> int:
    """Prune batch after batch until nothing is left; how many went."""
    total, after = 0, 0
    while True:
        pruned = await sut.store.prune(kind, horizon, after=after, limit=limit)
        require(pruned.count <= limit, f"A batch of {limit} must not take {pruned.count} away.")
        total += pruned.count
        if pruned.after is None:
            return total
        require(pruned.after > after, "A batch must go on behind the one before, or it never ends.")
        after = pruned.after


async def _kill(sut: StoreUnderTest, number: int, at: datetime) -> None:
    """Make a task and kill it before anything was made for it."""
    await sut.create(number)
    await sut.step(task_id(number), inputs.KillTask(), at)
    found = await sut.store.record("task", task_id(number))
    require(
        found is not None and isinstance(found.record, Task) and found.record.at == "killed",
        "A task that was never begun must be killed at once for this check.",
    )


async def check_old_history_of_ended_tasks_goes(sut: StoreUnderTest) -> None:
    """Events go when their task is over and its last one is old; those of a living task stay however old they are."""
    for number in (1, 2):
        await _kill(sut, number, NOW + timedelta(days=number))
    await sut.create(3)
    repo_event = HistoryEvent(HistoryKind.REPO_READY, NOW)
    await sut.commit(evolve(ordering("repo-9"), history=(repo_event,)))
    counts = {n: len(await sut.store.history(task_id(n), workspace=WORKSPACE)) for n in (1, 2, 3)}
    horizon = evolve(_NONE, history_before=NOW + timedelta(days=1, hours=1))
    planned = (await sut.store.prunable(horizon))[Prunable.HISTORY]
    require(planned == counts[1], f"Only the first task is old enough: {counts[1]} events, not {planned}.")
    gone = await _prune(sut, Prunable.HISTORY, horizon)
    require(gone == counts[1], f"What was counted must go: {counts[1]} events, not {gone}.")
    left = {n: len(await sut.store.history(task_id(n), workspace=WORKSPACE)) for n in (1, 2, 3)}
    require(left == {**counts, 1: 0}, f"The others must stay: { ({**counts, 1: 0}) }, not {left}.")
    await _prune(sut, Prunable.HISTORY, evolve(_NONE, history_before=_ALL.history_before))
    left = {n: len(await sut.store.history(task_id(n), workspace=WORKSPACE)) for n in (1, 2, 3)}
    require(left == {1: 0, 2: 0, 3: counts[3]}, f"A living task keeps its history, not {left}.")
    repos = len(await sut.store.history("repo-9", workspace=WORKSPACE))
    require(repos == 1, "A repo keeps its history: it never ends.")
    require(await sut.store.record("task", task_id(1)) is not None, "The task itself must stay.")


async def check_pruned_feed_is_noticed(sut: StoreUnderTest) -> None:
    """Who stood before what was pruned gets PositionLost and no gap; who stood behind it goes on."""
    for number in range(1, 7):
        await sut.create(number)
    end = await sut.store.position()
    whole = [entry.position for entry in await sut.feed()]
    horizon = evolve(_NONE, feed_rows_max=5)
    planned = (await sut.store.prunable(horizon))[Prunable.FEED]
    require(planned == end - 5, f"All but the newest 5 may go: {end - 5}, not {planned}.")
    gone = await _prune(sut, Prunable.FEED, horizon)
    require(gone == planned, f"What was counted must go: {planned}, not {gone}.")
    for after in (0, end - 6):
        await _require_lost(sut, after, "before what was pruned")
    kept = [entry.position for entry in await sut.feed(end - 5)]
    require(kept == whole[-5:], f"The newest entries must stay: {whole[-5:]}, not {kept}.")
    require(await sut.store.position() == end, "Pruning must not move the position.")
    await sut.reopen()
    await _require_lost(sut, 0, "before what was pruned, also after opening again")
    await sut.create(7)
    require(await sut.store.position() > end, "Positions go on rising after pruning.")
    await _prune(sut, Prunable.FEED, evolve(_NONE, feed_rows_max=0))
    last = await sut.store.position()
    require(list(await sut.feed(last)) == [], "Who has read everything has lost nothing.")
    await _require_lost(sut, last - 1, "before the last entry that was pruned")


async def check_feed_goes_by_age(sut: StoreUnderTest) -> None:
    """Entries go by the time at which the feed had got beyond them."""
    await sut.create(1)
    await sut.store.note_position(NOW)
    first = await sut.store.position()
    await sut.create(2)
    await sut.store.note_position(NOW + timedelta(days=2))
    early = evolve(_NONE, feed_before=NOW - timedelta(seconds=1))
    require(await _prune(sut, Prunable.FEED, early) == 0, "What is not known to be old must stay.")
    gone = await _prune(sut, Prunable.FEED, evolve(_NONE, feed_before=NOW + timedelta(days=1)))
    require(gone == first, f"What the feed held at the noted time may go: {first}, not {gone}.")
    kept = len(await sut.feed(first))
    require(kept == await sut.store.position() - first, "What came after the noted time must stay.")


async def check_position_that_never_was(sut: StoreUnderTest) -> None:
    """A position beyond the end, as after a backup was restored, is lost too, and not waited for."""
    await sut.create(1)
    await _require_lost(sut, await sut.store.position() + 1, "beyond the end")


async def _require_lost(sut: StoreUnderTest, after: int, where: str) -> None:
    try:
        found = await sut.store.feed(after)
    except PositionLost:
        return
    raise AssertionError(f"Reading from {where} must raise PositionLost, not give {found}.")


async def check_old_keys_go(sut: StoreUnderTest) -> None:
    """Keys go by their age; a request that comes again after that is a new one."""
    await sut.create(1)
    for name in "abc":
        await sut.commit(key=key(name))
    planned = dict(await sut.store.prunable(_NONE))
    require(planned == dict.fromkeys(Prunable, 0), f"Nothing is old enough, so nothing may go: {planned}.")
    require(await _prune(sut, Prunable.KEYS, _NONE) == 0, "A key that is young must stay.")
    require((await sut.store.prunable(_ALL))[Prunable.KEYS] == len("abc"), "Three keys may go.")
    one = await sut.store.prune(Prunable.KEYS, _ALL, after=0, limit=1)
    require(one.count == 1, f"A batch of one must take one, not {one.count}.")
    require(await _prune(sut, Prunable.KEYS, _ALL) == len("bc"), "The others must follow.")
    require(await sut.store.key(WORKSPACE, "a") is None, "A key that went must be unknown.")
    await sut.commit(key=key("a", digest="other"))


async def check_nothing_to_prune(sut: StoreUnderTest) -> None:
    """In an empty store pruning ends at once, and open work is never touched."""
    for kind in Prunable:
        found = await sut.store.prune(kind, _ALL, after=0, limit=_BATCH)
        require(found == Pruned(0, None), f"There is nothing to prune, not {found}.")
    await sut.create(1)
    await sut.commit(key=key("click"))
    before = await sut.store.load(task_id(1))
    for kind in Prunable:
        await _prune(sut, kind, _ALL)
    after = await sut.store.load(task_id(1))
    require(after == before, "Pruning must leave every boundary as it is.")
    await sut.claim_kind(EnsureName)


UPKEEP_CHECKS: tuple[StoreCheck, ...] = (
    check_old_history_of_ended_tasks_goes,
    check_pruned_feed_is_noticed,
    check_feed_goes_by_age,
    check_position_that_never_was,
    check_old_keys_go,
    check_nothing_to_prune,
)
