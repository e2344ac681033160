"""Run: every workload, its rows against their targets, as a table and as JSON.

Owns: the command line, the order of the workloads, and a folder that is gone afterwards.
Never: a failure because of a slow machine; a row that misses its target says so.
Reads as: make bench -> this -> one module per workload -> measure.py prints.
"""

import argparse
import functools
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio

import creates
import growth
import reading
import restart
import stack
import starts
import steps
from measure import SIZES, Row, Size, as_json, settings, table

Workload = Callable[[Path, Size], Awaitable[list[Row]]]

WORKLOADS: dict[str, Workload] = {
    "creates": creates.rows,
    "steps": steps.rows,
    "starts": starts.rows,
    "restart": restart.rows,
    "growth": growth.rows,
    "reading": reading.rows,
    "stack": stack.rows,
}


def measured(size: Size, names: Sequence[str], told: Callable[[str], None]) -> list[Row]:
    """Run the workloads named, each in an event loop and a folder of its own."""
    found: list[Row] = []
    for name in names:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="taskdock-bench-") as folder:
            found += anyio.run(functools.partial(WORKLOADS[name], Path(folder), size))
        told(f"{name}: {time.monotonic() - began:.0f} s")
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON where that was asked for."""
    parser = argparse.ArgumentParser(description="Measure Taskdock against its targets.")
    parser.add_argument("--size", choices=SIZES, default="full", help="how much each workload does")
    parser.add_argument("--json", type=Path, help="where to write {row: {value, unit, target, met}}")
    parser.add_argument("workload", nargs="*", help=f"some of {', '.join(WORKLOADS)} (all)")
    options = parser.parse_args(argv)
    unknown = set(options.workload) - WORKLOADS.keys()
    if unknown:
        parser.error(f"unknown workload {', '.join(sorted(unknown))}; there is {', '.join(WORKLOADS)}")
    with tempfile.TemporaryDirectory() as folder:
        print("\n".join(f"- {line}" for line in settings(Path(folder))), flush=True)
    rows = measured(
        SIZES[options.size], options.workload or list(WORKLOADS), lambda line: print(f"- {line}", flush=True)
    )
    print(f"\n{table(rows)}")
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(rows), indent=2) + "\n")


if __name__ == "__main__":
    main()
