"""Feed: what a watcher is told, on a store in memory."""

import anyio
import pytest
from attrs import evolve

from taskdock.core.change import Record
from taskdock.core.reader import DraftText, ReadMarker, reader_id
from taskdock.ports.store import Commit, Committed, Snapshot
from taskdock.ports.upkeep import Horizon, Prunable
from taskdock.services.feed import Happened, Hub, RecordChanged, Reset, Watch
from taskdock.testing.conformance.store_under_test import (
    NOW,
    WORKSPACE,
    creation,
    ordering,
    tab_id,
    task_id,
)
from taskdock.testing.memory_store import MemoryStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def hub() -> Hub:
    """Make what wakes the watchers."""
    return Hub()


@pytest.fixture
def store(hub: Hub) -> MemoryStore:
    """Make a store that tells the hub of its commits."""
    return MemoryStore(on_commit=hub.announce)


async def create(store: MemoryStore, number: int) -> int:
    """Create a task; the position."""
    result = await store.commit(Commit((creation(number),)))
    assert isinstance(result, Committed)
    return result.position


async def keep_last(store: MemoryStore, rows: int) -> None:
    """Prune all but the newest entries of the feed."""
    horizon = Horizon(NOW, NOW, rows, NOW)
    await store.prune(Prunable.FEED, horizon, after=0, limit=1_000)


async def write(store: MemoryStore, *records: Record) -> None:
    """Write records of the first task."""
    version = (await store.load(task_id(1))).version
    change = evolve(ordering(task_id(1), version=version), records=records)
    assert isinstance(await store.commit(Commit((change,))), Committed)


async def test_a_pruned_position_begins_again(store: MemoryStore, hub: Hub) -> None:
    """Who goes on from a position that was pruned is told so, gets a snapshot, and then misses nothing."""
    old = await create(store, 1)
    await create(store, 2)
    await keep_last(store, 1)
    watch = Watch(store, hub, WORKSPACE, after=old)
    assert await anext(watch) == Reset(old)
    snapshot = await anext(watch)
    assert isinstance(snapshot, Snapshot)
    assert {one.record.id for one in snapshot.records} == {task_id(1), task_id(2)}
    await create(store, 3)
    following = await anext(watch)
    assert isinstance(following, RecordChanged)
    assert following.changed.record.id == task_id(3)


async def test_one_who_falls_behind_begins_again(store: MemoryStore, hub: Hub) -> None:
    """A watcher that slept while its next entries were pruned is told so, instead of being given what is left."""
    await create(store, 1)
    watch = Watch(store, hub, WORKSPACE)
    assert isinstance(await anext(watch), Snapshot)
    for number in (2, 3):
        await create(store, number)
    await keep_last(store, 2)
    assert isinstance(await anext(watch), Reset)
    assert isinstance(await anext(watch), Snapshot)


async def test_a_position_that_never_was_begins_again(store: MemoryStore, hub: Hub) -> None:
    """Who comes with a position of another store does not wait for it, but begins with a snapshot."""
    end = await create(store, 1)
    watch = Watch(store, hub, WORKSPACE, after=end + 100)
    with anyio.fail_after(5):
        assert isinstance(await anext(watch), Reset)
        assert isinstance(await anext(watch), Snapshot)


async def test_what_was_read_from_the_feed_is_sent_although_it_is_pruned(
    store: MemoryStore, hub: Hub
) -> None:
    """Events that are gone by the time they are sent are left out; the rest comes in order."""
    start = await create(store, 1)
    watch = Watch(store, hub, WORKSPACE, after=0, principal="ann")
    seen = await anext(watch)
    store.data.history.clear()
    await write(store, ReadMarker(reader_id(tab_id(1), "ann"), tab_id(1), task_id(1), "ann", 1))
    told = [await anext(watch) for _ in range(3)]
    assert not any(isinstance(one, Happened) for one in told)
    assert isinstance(last := told[-1], RecordChanged)
    assert (last.kind, last.position) == ("marker", start + 1)
    assert isinstance(seen, RecordChanged)


async def test_drafts_are_told_also_when_they_are_emptied(store: MemoryStore, hub: Hub) -> None:
    """A draft comes with its text, and an emptied one with none, to its author alone, whose other window follows."""
    draft = DraftText(reader_id(tab_id(1), "ann"), tab_id(1), task_id(1), "ann", "Half a tho")
    await create(store, 1)
    watch = Watch(store, hub, WORKSPACE, principal="ann")
    await anext(watch)
    await write(store, evolve(draft, id=reader_id(tab_id(1), "bo"), principal="bo"))
    for wanted in (draft, evolve(draft, text="")):
        await write(store, wanted)
        seen = await anext(watch)
        assert isinstance(seen, RecordChanged)
        assert (seen.kind, seen.changed.record) == ("draft", wanted)
