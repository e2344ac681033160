"""Growth: what an operation costs in a small store and in a large one, side by side.

Owns: the rows `growth_*`, and how a store is filled.
Never: one store after the other; both are open and take turns, so the machine's mood is the same for both.
Reads as: run.py -> `rows` -> two stores -> the ratio of their costs.

A stored task is a copy, row by row, of one that was created and killed; every tenth is one that waits in the outbox.
"""

import sqlite3
import statistics
import time
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

import world
from measure import Row, Size
from taskdock.services.workbench import DEFAULT_WORKSPACE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_TURNS = 9
_PAGE = 100
_SAMPLE = 100
_WAITING_OF_TEN = 1
_SETTLED_BY = {"*": 1}


async def rows(folder: Path, size: Size) -> list[Row]:
    """The median ratio of the costs in CPU, over several turns of each operation."""
    async with AsyncExitStack() as stack:
        stores = []
        for count in size.stored:
            path = folder / f"stored-{count}.db"
            await _fill(path, count)
            here = await stack.enter_async_context(world.opened(path))
            stores.append(_Operations(here, await _some(here, count)))
        return [await _ratio(name, stores, size.operations) for name in ("create", "claim", "load", "list")]


async def _ratio(name: str, stores: "list[_Operations]", count: int) -> Row:
    small, large = stores
    await small.cost(name, count)
    await large.cost(name, count)
    ratios = []
    for _ in range(_TURNS):
        cost = await small.cost(name, count)
        ratios.append(await large.cost(name, count) / cost)
    return Row(f"growth_{name}", statistics.median(ratios), "times", 1.2)


class _Operations:
    """What is measured, on one store."""

    def __init__(self, here: world.World, sample: list[str]) -> None:
        self._here = here
        self._sample = sample
        self._by_name: dict[str, Callable[[int], Awaitable[None]]] = {
            "create": here.fill, "claim": self._claim, "load": self._load, "list": self._list,
        }  # fmt: skip

    async def cost(self, name: str, count: int) -> float:
        """The CPU time of so many."""
        began = time.process_time()
        await self._by_name[name](count)
        return time.process_time() - began

    async def _claim(self, count: int) -> None:
        for _ in range(count):
            (claimed,) = await self._here.store.claim(_SETTLED_BY, self._here.stepper.clock.now(), {})
            await self._here.store.release(claimed.intent.id, claimed.intent.issue)

    async def _load(self, count: int) -> None:
        for number in range(count):
            assert (await self._here.store.load(self._sample[number % len(self._sample)])).version

    async def _list(self, count: int) -> None:
        for number in range(count // 10 + 1):
            before = self._sample[number % len(self._sample)] if number % 2 else None
            await self._here.store.tasks(DEFAULT_WORKSPACE, limit=_PAGE, before=before)


async def _some(here: world.World, count: int) -> list[str]:
    """Ids spread over the older half of the store, the same number whatever its size."""
    found = await here.store.tasks(DEFAULT_WORKSPACE, limit=count)
    older = [one.record.id for one in found[len(found) // 2 :]]
    return older[:: max(1, len(older) // _SAMPLE)][:_SAMPLE]


async def _fill(path: Path, count: int) -> None:
    async with world.opened(path) as here:
        killed = await here.create()
        await here.workbench.kill_task(killed.task_id)
        waiting = await here.create()
        ids = [(one.task_id, str(one.tab_id), str(one.message_id)) for one in (killed, waiting)]
    waiting_count = count * _WAITING_OF_TEN // 10
    await anyio.to_thread.run_sync(_copy, path, ids[0], count - waiting_count - 1)
    await anyio.to_thread.run_sync(_copy, path, ids[1], waiting_count - 1)


def _copy(path: Path, ids: tuple[str, str, str], count: int) -> None:
    """Copy every row that names the task, with other ids that sort before it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for table, where in _TABLES.items():
            columns = [
                (name, kind)
                for _, name, kind, *_, key in connection.execute(f"PRAGMA table_info({table})")
                if not (kind == "INTEGER" and key)
            ]
            values = [_renamed(name, ids) if kind == "TEXT" else _earlier(name) for name, kind in columns]
            connection.execute(
                f"INSERT INTO {table} ({', '.join(name for name, _ in columns)}) "
                "WITH RECURSIVE copy (nth) AS (SELECT 1 UNION ALL SELECT nth + 1 FROM copy WHERE nth < :count) "
                f"SELECT {', '.join(values)} FROM copy JOIN {table} WHERE {where} AND :count > 0",
                {"count": count, "task": ids[0]},
            )
        connection.execute("COMMIT")


_TABLES = {
    "boundary": "id = :task",
    "task": "id = :task",
    "tab": "task_id = :task",
    "message": "task_id = :task",
    "history": "boundary = :task",
    "feed": "boundary = :task",
    "intent": "boundary = :task",
}


def _earlier(column: str) -> str:
    """The column's number; a time of creation a millisecond before that of the next copy."""
    return "created_at - 1000 * (:count + 1 - nth)" if column == "created_at" else column


def _renamed(column: str, ids: tuple[str, str, str]) -> str:
    """The column's text with each id of the task numbered; `00` sorts before every real id of this century."""
    text = column
    for id_ in ids:
        kind, rest = id_.split("-")
        text = f"replace({text}, '{id_}', '{kind}-00' || printf('%06d', nth) || '{rest[8:]}')"
    return text
