"""Steps: how fast a scheduler carries out what tasks ordered, when carrying out takes no time.

Owns: the rows `steps_*` and `cpu_per_step`.
Never: a create in the time that is measured; the tasks are there before the scheduler starts.
Reads as: run.py -> `rows` -> instant.py, the real Scheduler on the real store.

A step is one intent from its claim to its accepted outcome. A task has six of them up to the end of its first turn, with ten
commits and the claims.
"""

import time
from pathlib import Path

import anyio

import world
from instant import STEPS, Instant
from measure import Row, Size
from taskdock.services.scheduler import Lanes, Scheduler

_TARGETS = {64: 2_500.0, 1_024: 5_000.0}
_GRACE_SECONDS = 5.0


async def rows(folder: Path, size: Size) -> list[Row]:
    """Steps per second by how many tasks are let through at a time: the best of the runs."""
    found: list[Row] = []
    cpu: list[float] = []
    for parallel in size.parallel:
        tasks = (
            max(parallel, 512 if parallel > 8 else 0) * size.tasks_per_slot // (2 if parallel > 512 else 1)
        )
        runs = [await _run(folder / f"{parallel}-{run}.db", parallel, tasks) for run in range(size.runs)]
        found.append(
            Row(
                f"steps_{parallel}_parallel",
                max(run[0] for run in runs),
                "per s",
                _TARGETS.get(parallel),
                at_least=True,
            )
        )
        cpu += [run[1] for run in runs]
    return [*found, Row("cpu_per_step", min(cpu), "ms", 0.25)]


async def _run(path: Path, parallel: int, tasks: int) -> tuple[float, float]:
    """Steps per second, and milliseconds of this process's CPU for each."""
    over = anyio.Event()
    left = tasks

    def on_end() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            over.set()

    instant = Instant(parallel, on_end)
    schedulers: list[Scheduler] = []

    def wake(_position: int) -> None:
        for one in schedulers:
            one.wake()

    async with world.opened(path, wake) as here:
        await here.fill(tasks)
        scheduler = Scheduler(here.store, here.tools(), Lanes({"*": parallel}), executors=instant.executors)
        schedulers.append(scheduler)
        cpu, began, seconds = time.process_time(), time.perf_counter(), 0.0
        async with anyio.create_task_group() as group:
            await group.start(scheduler.run)
            await over.wait()
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            await scheduler.drain(_GRACE_SECONDS)
    assert instant.steps == tasks * len(STEPS)
    return instant.steps / seconds, cpu / instant.steps * 1_000
