"""Command line of the planted bugs: `make planted`.

Owns: the table that is printed, and the proof that each bug gets through once nobody looks for it.
Never: a bug that is not found passed over; then the exit code is 1.
Reads as: `make planted` -> this -> hunting.py, table.py.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

from simulation.planted.hunting import Bug, Find, hunt
from simulation.planted.table import BUGS
from taskdock.testing.simulation.nature import NUMBERS

_WIDTH = 34


def main(arguments: list[str] | None = None) -> int:
    """Hunt every bug, or those that are named; 1 when one is not found."""
    parser = argparse.ArgumentParser(prog="make planted")
    parser.add_argument("names", nargs="*", help="only these bugs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many processes")
    asked = parser.parse_args(arguments)
    unknown = set(asked.names) - {bug.name for bug in BUGS}
    if unknown:
        parser.error(f"there is no bug {', '.join(sorted(unknown))}")
    chosen = [number for number, bug in enumerate(BUGS) if bug.name in asked.names or not asked.names]
    sys.stdout.write(
        f"{'bug':{_WIDTH}}{'found by':>9}{'world':>6}{'of':>4}{'steps':>7}{'seconds':>8}  what it is; how it showed\n"
    )
    missed = 0
    for number, finds in _hunted(chosen, asked.jobs):
        _show(BUGS[number], finds)
        if asked.names:
            sys.stdout.writelines(f"script: {find.script}\n" for find in finds)
        missed += not finds
    sys.stdout.write(f"{len(chosen)} planted, {len(chosen) - missed} found\n")
    return 1 if missed else 0


def _hunted(chosen: list[int], jobs: int) -> Iterator[tuple[int, list[Find]]]:
    if jobs == 1:
        yield from zip(chosen, map(finds_of, chosen), strict=True)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from zip(chosen, pool.map(finds_of, chosen), strict=True)


def finds_of(number: int) -> list[Find]:
    """Every way in which a bug is found: each time without the invariants that found it before, until it gets through."""
    finds: list[Find] = []
    numbers = NUMBERS
    while (find := hunt(BUGS[number], numbers)) is not None:
        finds.append(find)
        numbers -= find.numbers
    return finds


def _show(bug: Bug, finds: list[Find]) -> None:
    for position, find in enumerate(finds):
        found_by = _listed(find.numbers)
        sys.stdout.write(
            f"{'' if position else bug.name:{_WIDTH}}{found_by:>9}{find.worlds:>6}{bug.worlds:>4}{find.steps:>7}"
            f"{find.seconds:>8.1f}  {'' if position else bug.sentence}\n"
        )
        sys.stdout.write(f"{'':{_WIDTH}}{'':>34}  {find.violation.splitlines()[0][:150]}\n")
    if finds:
        left_out = _listed(number for find in finds for number in find.numbers)
        sys.stdout.write(f"{'':{_WIDTH}}{'':>34}  gets through without {left_out}\n")
    else:
        sys.stdout.write(
            f"{bug.name:{_WIDTH}}{'NOT FOUND':>9}{'':>6}{bug.worlds:>4}{'':>15}  {bug.sentence}\n"
        )
    sys.stdout.flush()


def _listed(numbers: Iterable[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


if __name__ == "__main__":
    sys.exit(main())
