"""Starts: how long after a create was durable its first step begins.

Owns: the rows `commit_to_step_start_*`.
Never: a queue in front; one task is created after the other, so nothing but the way itself is measured.
Reads as: run.py -> `rows` -> the real Scheduler on the real store.
"""

import time
from pathlib import Path

import anyio

import world
from measure import Row, Size, percentile
from taskdock.core import inputs, intents
from taskdock.services.execution import Execution
from taskdock.services.scheduler import Lanes, Scheduler


class _Stopwatch:
    """An executor that notes when it was started and then stays, as a step that takes long."""

    def __init__(self) -> None:
        self.started_at = 0.0
        self.started = anyio.Event()

    async def execute(self, _body: object, _execution: Execution, _tools: object) -> inputs.Value:
        """Note the time."""
        self.started_at = time.perf_counter()
        self.started.set()
        await anyio.sleep_forever()
        raise AssertionError("it never ends")


async def rows(folder: Path, size: Size) -> list[Row]:
    """The time from a receipt to the entry into the executor, over single creates."""
    watch = _Stopwatch()
    schedulers: list[Scheduler] = []
    taken: list[float] = []

    def wake(_position: int) -> None:
        for one in schedulers:
            one.wake()

    async with world.opened(folder / "starts.db", wake) as here:
        scheduler = Scheduler(
            here.store,
            here.tools(),
            Lanes({"*": size.starts}),
            executors={intents.EnsureName: watch.execute},
        )
        schedulers.append(scheduler)
        async with anyio.create_task_group() as group:
            await group.start(scheduler.run)
            for _ in range(size.starts):
                watch.started = anyio.Event()
                await here.create()
                durable_at = time.perf_counter()
                await watch.started.wait()
                taken.append((watch.started_at - durable_at) * 1_000)
            await scheduler.drain(0)
    return [
        Row("commit_to_step_start_p50", percentile(taken, 0.5), "ms"),
        Row("commit_to_step_start_p99", percentile(taken, 0.99), "ms", 2.0),
    ]
