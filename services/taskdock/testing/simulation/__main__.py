"""Command line of the simulation: `python -m taskdock.testing.simulation`.

Owns: the arguments, and how a violation is shown: a timeline, and the command that replays it.
Never: a rule.
Reads as: a person, `make soak`, CI -> this -> seeds.py.

    python -m taskdock.testing.simulation --seeds 1000             fresh seeds, printed
    python -m taskdock.testing.simulation --seeds 50 --first 7     the seeds 7 to 56
    python -m taskdock.testing.simulation --seconds 120            fresh seeds for two minutes
    python -m taskdock.testing.simulation --replay 7,send:1:0:0:2  one script, and everything that happened
"""

import argparse
import itertools
import secrets
import sys
import time
from collections.abc import Iterable

from taskdock.testing.simulation.script import Script
from taskdock.testing.simulation.seeds import LENGTH, Outcome, run_script, run_seeds

_SEEDS_MAX = 1_000_000_000
_LINES_SHOWN = 60


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; 1 when an invariant was broken."""
    asked = _parser().parse_args(arguments)
    if asked.replay is not None:
        outcome = run_script(Script.parse(asked.replay))
        _show(outcome, lines=None)
        return 1 if outcome.violations else 0
    first = secrets.randbelow(_SEEDS_MAX) if asked.first is None else asked.first
    seeds: Iterable[int] = range(first, first + asked.seeds) if asked.seeds else itertools.count(first)
    return _run(seeds, first, asked)


def _run(seeds: Iterable[int], first: int, asked: argparse.Namespace) -> int:
    began, steps, count, virtual = time.monotonic(), 0, 0, 0.0
    if asked.seconds is not None:
        seeds = itertools.takewhile(lambda _: time.monotonic() - began < asked.seconds, seeds)
    broken: list[int] = []
    for outcome in run_seeds(seeds, length=asked.length, jobs=asked.jobs):
        count, steps, virtual = count + 1, steps + outcome.steps, virtual + outcome.seconds
        if outcome.violations:
            broken.append(outcome.script.seed)
            _show(outcome, lines=_LINES_SHOWN)
            if not asked.keep_going:
                break
    seconds = time.monotonic() - began
    sys.stdout.write(
        f"seeds {first} to {first + count - 1}: {steps:,} steps in {seconds:.1f} s, {steps / max(seconds, 0.001):,.0f} steps/s, "
        f"{virtual / 86_400:.1f} simulated days, {len(broken)} broken {broken or ''}\n"
    )
    return 1 if broken else 0


def _show(outcome: Outcome, lines: int | None) -> None:
    shown = outcome.timeline if lines is None else outcome.timeline[-lines:]
    for at, sentence in shown:
        sys.stdout.write(f"{at:12.3f}  {sentence}\n")
    for sentence in outcome.violations:
        sys.stdout.write(f"BROKEN {sentence}\n")
    sys.stdout.write(f"again: python -m taskdock.testing.simulation --replay {outcome.script}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m taskdock.testing.simulation")
    parser.add_argument("--seeds", type=int, default=0, help="how many worlds")
    parser.add_argument("--first", type=int, help="the first seed; a fresh one when left out")
    parser.add_argument("--seconds", type=float, help="how long, instead of how many")
    parser.add_argument("--length", type=int, default=LENGTH, help="how many acts a seed stands for")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first broken world")
    parser.add_argument("--replay", help="a script as it was printed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
