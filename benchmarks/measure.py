"""Measure: rows and their targets, what this machine is like, and how it is all printed.

Owns: `Row`, `Size`, percentiles, the pace of the machine and of its disk, the table and the JSON.
Never: a judgement by a test; a row that misses its target says so, and nothing fails by it.
Reads as: a workload measures -> `Row` -> run.py -> `table`, `as_json`.
"""

import os
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from attrs import frozen

_PACE_LOOPS = 20_000
_PACE_MS = 2.0
"""What `pace` takes on the machine that docs/benchmarks.md was first written on, when nobody else is on it."""
_FSYNCS = 200
_PAGE_BYTES = 16 * 1024


@frozen
class Size:
    """How much each workload does."""

    creates: int
    runs: int
    parallel: tuple[int, ...]
    tasks_per_slot: int
    starts: int
    in_flight: int
    stored: tuple[int, int]
    operations: int
    watchers: int
    branches: int


FULL = Size(3_000, 3, (64, 1_024), 3, 300, 10_000, (1_000, 100_000), 200, 200, 200)
QUICK = Size(600, 2, (64, 1_024), 1, 100, 2_000, (1_000, 10_000), 100, 50, 40)
TINY = Size(40, 1, (4, 8), 1, 5, 20, (10, 40), 8, 3, 4)
SIZES = {"full": FULL, "quick": QUICK, "tiny": TINY}


@frozen
class Row:
    """One figure. `target` is met when the value does not exceed it, or with `at_least` when it reaches it."""

    name: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target

    @property
    def ratio(self) -> float | None:
        """How the value stands to its target: 1 or more is met."""
        if self.target is None or not self.value:
            return None
        return self.value / self.target if self.at_least else self.target / self.value


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def pace() -> float:
    """How many times longer than on the quiet machine a fixed piece of Python takes now; the best of five."""
    return min(_pace_once() for _ in range(5)) / _PACE_MS


def _pace_once() -> float:
    began = time.process_time()
    seen: dict[int, str] = {}
    for number in range(_PACE_LOOPS):
        seen[number & 255] = str(number)
    return (time.process_time() - began) * 1_000


def fsync_ms(folder: Path) -> tuple[float, float]:
    """Median and 99th percentile of writing 16 KiB and syncing them, as a commit of synchronous=FULL does once."""
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_FSYNCS):
            os.pwrite(file.fileno(), b"x" * _PAGE_BYTES, 0)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1_000)
    return percentile(taken, 0.5), percentile(taken, 0.99)


def settings(folder: Path) -> list[str]:
    """What the figures depend on, as it is right now."""
    p50, p99 = fsync_ms(folder)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("anyio", "attrs", "cattrs", "transitions"))
    return [
        f"{os.cpu_count()} cores ({platform.machine()}), {_memory_gib():.0f} GiB, {platform.system()} {platform.release()}",
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {libraries}",
        f"load {os.getloadavg()[0]:.1f}; a fixed piece of Python takes {pace():.2f} times what it takes on a quiet machine",
        f"fdatasync of 16 KiB: p50 {p50:.2f} ms, p99 {p99:.2f} ms; synchronous=FULL, WAL",
        f"bytecode is {'not ' if sys.dont_write_bytecode else ''}written",
    ]


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def resident_mib() -> float:
    """The memory of this process that is in RAM now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| row | value | target | ratio | met |", "|---|---|---|---|---|"]
    for row in rows:
        target = (
            "" if row.target is None else f"{'>=' if row.at_least else '<='} {_short(row.target)} {row.unit}"
        )
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        met = {None: "", True: "yes", False: "**no**"}[row.met]
        lines.append(f"| {row.name} | {_short(row.value)} {row.unit} | {target} | {ratio} | {met} |")
    return "\n".join(lines)


def as_json(rows: Sequence[Row]) -> Mapping[str, Mapping[str, object]]:
    """The rows by name: value, unit, target and whether it is met (both null where there is no target)."""
    return {
        row.name: {"value": row.value, "unit": row.unit, "target": row.target, "met": row.met} for row in rows
    }


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
