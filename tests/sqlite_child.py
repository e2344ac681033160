"""A process beside the test that uses the same SQLite store, and can be killed in the middle of it.

Owns: the words in which it is asked what to do, and what it says once that is durable.
Never: imported by a test; tests/integration/test_sqlite_processes.py runs it.
Reads as: the test -> argv (what, path, event loop, more) and a line on stdin ("go") -> this -> lines on stdout.
"""

import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio

from taskdock.adapters.store.sqlite.store import SqliteStore
from taskdock.core import inputs
from taskdock.ports.store import Commit, Committed
from taskdock.testing.conformance.store_under_test import create_task, decide, task_id

_WRITERS = 8
_LOSSES_MAX = 10_000


def say(*words: object) -> None:
    """Write one line at once, past every buffer that a kill would lose."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def change(store: SqliteStore, boundary: str, input_: inputs.Input) -> int:
    """Load, decide and commit until it is taken; the version that was made."""
    for _ in range(_LOSSES_MAX):
        decided = decide(await store.load(boundary), input_)
        if isinstance(await store.commit(Commit((decided,))), Committed):
            return decided.version
    raise AssertionError(f"{boundary} was changed by others {_LOSSES_MAX} times")


async def write_on(path: Path, first: str) -> None:
    """Make tasks and open tabs on them until killed; say each version once it is acknowledged."""

    async def write(store: SqliteStore, number: int) -> None:
        boundary, tabs = task_id(number), 0
        say(boundary, await change(store, boundary, create_task(number)))
        while True:
            tabs += 1
            say(boundary, await change(store, boundary, inputs.OpenTab(f"tab-{number}-{tabs}")))

    async with SqliteStore.open(path) as store, anyio.create_task_group() as group:
        for number in range(_WRITERS):
            group.start_soon(write, store, int(first) + number)


async def race(path: Path, name: str, tabs: str) -> None:
    """Open tabs on two tasks that others change at the same time."""
    async with SqliteStore.open(path) as store:
        say("ready")
        await anyio.to_thread.run_sync(sys.stdin.readline)
        async with anyio.create_task_group() as group:
            for number in range(int(tabs)):
                boundary = task_id(1 + number % 2)
                group.start_soon(change, store, boundary, inputs.OpenTab(f"tab-{name}-{number}"))
    say("done")


async def open_it(path: Path) -> None:
    """Open the store when told to, and say whose it is."""
    say("ready")
    await anyio.to_thread.run_sync(sys.stdin.readline)
    async with SqliteStore.open(path) as store:
        say(await store.owner())


_DOES: dict[str, Callable[..., Awaitable[None]]] = {"write": write_on, "race": race, "open": open_it}

if __name__ == "__main__":
    what, path, backend, *more = sys.argv[1:]
    anyio.run(partial(_DOES[what], Path(path), *more), backend=backend)
