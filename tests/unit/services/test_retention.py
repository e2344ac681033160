"""Retention: what is too old goes batch by batch, what a plan counts is what goes, and a failing store ends nothing."""

import anyio
import pytest

from taskdock.core.errors import StoreError
from taskdock.ports.upkeep import Horizon, Prunable, Pruned
from taskdock.services import retention
from taskdock.services.retention import Keep, Retention
from taskdock.testing.memory_store import MemoryStore
from unit.services.bench import DAY, HOUR, Bench

pytestmark = pytest.mark.anyio

KEEP = Keep(history_days=30, feed_days=7, feed_rows_max=1_000, keys_hours=24)


class Watched(MemoryStore):
    """A store that remembers what it was asked to prune, and fails when it is told to."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store.data, clock_now=store._clock_now)
        self.asked: list[tuple[Prunable, int, int]] = []
        self.failures = 0

    async def prune(self, kind: Prunable, horizon: Horizon, *, after: int, limit: int) -> Pruned:
        """Remember, or fail; then prune."""
        if self.failures:
            self.failures -= 1
            raise StoreError("not now")
        pruned = await super().prune(kind, horizon, after=after, limit=limit)
        self.asked.append((kind, limit, pruned.count))
        return pruned


async def killed(bench: Bench, count: int) -> None:
    """Make tasks and kill them."""
    for number in range(count):
        task = await bench.task(number, key=f"key-{number}")
        await bench.workbench.kill_task(task, force=True)


async def test_a_plan_counts_what_goes(bench: Bench) -> None:
    """A dry run writes nothing, and names the same counts that pruning then takes away."""
    await killed(bench, 4)
    service = Retention(bench.store, bench.clock, KEEP)
    assert await service.prune() == {"history": 0, "feed": 0, "keys": 0}
    await anyio.sleep(31 * DAY)
    position = bench.store.data.position
    plan = await service.plan()
    assert plan == await service.plan()
    assert (plan["feed"], plan["keys"]) == (position, 4)
    assert plan["history"] > 4
    assert await service.prune() == plan
    assert await service.plan() == {"history": 0, "feed": 0, "keys": 0}


async def test_batches_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is old, no batch takes more than its share, and all of it goes."""
    monkeypatch.setattr(retention, "_BATCH", 10)
    await killed(bench, 25)
    await bench.store.note_position(bench.clock.now())
    await anyio.sleep(31 * DAY)
    watched = Watched(bench.store)
    counts = await Retention(watched, bench.clock, KEEP).prune()
    assert max(count for _, _, count in watched.asked) <= 10
    for kind in Prunable:
        asked = [count for one, limit, count in watched.asked if one is kind and limit == 10]
        assert sum(asked) == counts[kind.value] > 10
        assert len(asked) > 2


async def test_a_store_that_fails_is_pruned_later(bench: Bench) -> None:
    """An error of the store ends one round, not the service: the next one is an hour later."""
    watched = Watched(bench.store)
    watched.failures = 2
    async with anyio.create_task_group() as group:
        group.start_soon(Retention(watched, bench.clock, KEEP).run)
        await anyio.sleep(2 * HOUR - 1)
        assert watched.asked == []
        await anyio.sleep(2)
        assert len(watched.asked) == len(Prunable)
        group.cancel_scope.cancel()


async def test_each_hour_takes_what_has_grown_too_old(bench: Bench) -> None:
    """A key lives for its day and goes in the round after it; a young one stays, and no round is left out."""
    watched = Watched(bench.store)
    await bench.task(1, key="old")
    await anyio.sleep(1)
    async with anyio.create_task_group() as group:
        group.start_soon(Retention(watched, bench.clock, KEEP).run)
        await anyio.sleep(DAY - HOUR / 2)
        await bench.task(2, key="young")
        assert [key for _, key in bench.data.keys] == ["old", "young"]
        # A round begins each hour, and its pauses between batches put the next one off by a moment.
        await anyio.sleep(HOUR)
        assert [key for _, key in bench.data.keys] == ["young"]
        rounds = [one for one, _, _ in watched.asked if one is Prunable.KEYS]
        assert len(rounds) == 25
        group.cancel_scope.cancel()
