"""Restart: a process that finds many tasks in flight, from its first instruction until all of them are carried out again.

Owns: the rows `restart_*` and `memory_*`; run as a program it is the process that is started.
Never: a warm process; Python, imports, opening and recovering are part of the time.
Reads as: run.py -> `rows` -> a new process -> the real Scheduler on the real store.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import anyio

import world
from measure import Row, Size, resident_mib
from taskdock.core import inputs, intents
from taskdock.services.execution import Execution
from taskdock.services.scheduler import Lanes, Scheduler

_SECONDS_MAX = 300
_TASKS_OF_TARGETS = 10_000


async def rows(folder: Path, size: Size) -> list[Row]:
    """The best restart of several with every task's naming running, and what that many take in memory."""
    path = folder / "restart.db"
    async with world.opened(path) as here:
        await here.fill(size.in_flight)
        claimed = await here.store.claim({"*": size.in_flight}, here.stepper.clock.now(), {})
        assert len(claimed) == size.in_flight
    seen = [await anyio.to_thread.run_sync(_restart, path, size.in_flight) for _ in range(size.runs)]
    share = size.in_flight / _TASKS_OF_TARGETS
    return [
        Row(f"restart_{size.in_flight}_in_flight", min(one["seconds"] for one in seen), "s", 1.5),
        Row("memory_per_10k_in_flight", min(one["mib"] for one in seen) / share, "MiB", 60.0),
    ]


def _restart(path: Path, count: int) -> dict[str, float]:
    argv = [sys.executable, __file__, str(path), str(count), repr(time.monotonic())]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=_SECONDS_MAX)
    seen: dict[str, float] = json.loads(done.stdout)
    return seen


async def _take_over(path: Path, count: int, started_at: float) -> None:
    """Open, recover, and wait until every intent is carried out again."""
    left = count
    all_begun = anyio.Event()

    async def execute(_body: object, _execution: Execution, _tools: object) -> inputs.Value:
        nonlocal left
        left -= 1
        if left == 0:
            all_begun.set()
        await anyio.sleep_forever()
        raise AssertionError("it never ends")

    async with world.opened(path) as here:
        before = resident_mib()
        scheduler = Scheduler(
            here.store, here.tools(), Lanes({"*": count}), executors={intents.EnsureName: execute}
        )
        async with anyio.create_task_group() as group:
            await group.start(scheduler.run)
            await all_begun.wait()
            seconds = time.monotonic() - started_at
            print(json.dumps({"seconds": seconds, "mib": resident_mib() - before}), flush=True)
            await scheduler.drain(0)


if __name__ == "__main__":
    anyio.run(_take_over, Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
