"""Creates: how many tasks a process takes, and how long each caller waits.

Owns: the rows `creates_*` and `cpu_per_create`.
Never: a create that is not durable when it is counted.
Reads as: run.py -> `rows` -> world.py.
"""

import time
from pathlib import Path

import anyio

import world
from measure import Row, Size, fsync_ms, percentile

CALLERS = (1, 32, 128)
_WARM_UP = 50


async def rows(folder: Path, size: Size) -> list[Row]:
    """Creates at 1, 32 and 128 callers: the best of the runs, each on a store of its own."""
    found: list[Row] = []
    cpu: list[float] = []
    for callers in CALLERS:
        count = size.creates // 4 if callers == 1 else size.creates
        runs = [await _run(folder / f"{callers}-{run}.db", callers, count) for run in range(size.runs)]
        per_second, p50, p99 = max(run[0] for run in runs), min(r[1] for r in runs), min(r[2] for r in runs)
        found += _rows(callers, per_second, p50, p99, fsync_ms(folder)[0])
        cpu += [run[3] for run in runs]
    return [*found, Row("cpu_per_create", min(cpu), "ms")]


def _rows(callers: int, per_second: float, p50: float, p99: float, fsync: float) -> list[Row]:
    name = f"creates_{callers}_callers"
    targets: dict[int, tuple[float | None, float | None, float | None]] = {
        1: (None, fsync + 0.6, 3.0),
        32: (8_000, 4.0, 10.0),
    }
    rate, middle, tail = targets.get(callers, (None, None, None))
    return [
        Row(name, per_second, "per s", rate, at_least=True),
        Row(f"{name}_p50", p50, "ms", middle),
        Row(f"{name}_p99", p99, "ms", tail),
    ]


async def _run(path: Path, callers: int, count: int) -> tuple[float, float, float, float]:
    taken: list[float] = []
    left = count

    async def call(here: world.World) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            began = time.perf_counter()
            await here.create()
            taken.append((time.perf_counter() - began) * 1_000)

    async with world.opened(path) as here:
        for _ in range(_WARM_UP):
            await here.create()
        began, cpu = time.perf_counter(), time.process_time()
        async with anyio.create_task_group() as group:
            for _ in range(callers):
                group.start_soon(call, here)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return len(taken) / seconds, percentile(taken, 0.5), percentile(taken, 0.99), cpu / len(taken) * 1_000
