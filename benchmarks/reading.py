"""Reading: what watchers and lists cost while there is much to see.

Owns: the rows `feed_*` and `list_*`.
Never: a watcher that is told less than everything.
Reads as: run.py -> `rows` -> services/feed.py, store reads.
"""

import time
from pathlib import Path

import anyio

import world
from measure import Row, Size, percentile
from taskdock.ports.store import Snapshot
from taskdock.services.feed import Hub, Reset, Watch
from taskdock.services.workbench import DEFAULT_WORKSPACE

_PAGE = 100
_CREATES = 20


async def rows(folder: Path, size: Size) -> list[Row]:
    """One commit told to every watcher, and a page of a long list."""
    hub = Hub()
    async with world.opened(folder / "reading.db", hub.announce) as here:
        told = await _fan_out(here, hub, size)
        await here.fill(size.in_flight)
        pages = []
        for _ in range(size.operations):
            began = time.perf_counter()
            await here.store.tasks(DEFAULT_WORKSPACE, limit=_PAGE)
            pages.append((time.perf_counter() - began) * 1_000)
    return [
        Row(f"feed_to_{size.watchers}_watchers", told, "told per s"),
        Row(f"list_of_{size.in_flight}_page_p50", percentile(pages, 0.5), "ms"),
    ]


async def _fan_out(here: world.World, hub: Hub, size: Size) -> float:
    """How many entries all watchers together are told in a second, while tasks are created."""
    ready = size.watchers
    all_ready = anyio.Event()
    told = 0

    async def watch(until: int) -> None:
        nonlocal ready, told
        async for seen in Watch(here.store, hub, DEFAULT_WORKSPACE):
            if isinstance(seen, Snapshot):
                ready -= 1
                if ready == 0:
                    all_ready.set()
                continue
            told += 1
            assert not isinstance(seen, Reset)
            if seen.position >= until:
                return

    began = 0.0
    first = (await here.create()).position
    entries = (await here.create()).position - first
    async with anyio.create_task_group() as group:
        for _ in range(size.watchers):
            group.start_soon(watch, first + entries * (_CREATES + 1))
        await all_ready.wait()
        began = time.perf_counter()
        for _ in range(_CREATES):
            await here.create()
    return told / (time.perf_counter() - began)
