"""Command line of the simulation: `python -m taskdock.testing.simulation`.

Owns: the arguments, and what is printed.
Never: a rule.
Reads as: a person, `make soak`, CI, a program with invariants or acts of its own -> `main` -> seeds.py, shrinking.py.

    python -m taskdock.testing.simulation --seeds 1000             fresh seeds, printed
    python -m taskdock.testing.simulation --seeds 50 --first 7     the seeds 7 to 56
    python -m taskdock.testing.simulation --seconds 120 --jobs 0   fresh seeds for two minutes, on every processor
    python -m taskdock.testing.simulation --replay 7,send:1:0:0:2  one script, and everything that happened
    python -m taskdock.testing.simulation --shrink 7               the shortest script that breaks what seed 7 breaks
"""

import argparse
import itertools
import os
import secrets
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

from attrs import frozen

from taskdock.testing.simulation.invariant import Invariant
from taskdock.testing.simulation.invariants import INVARIANTS
from taskdock.testing.simulation.outcome import COMMAND, Outcome
from taskdock.testing.simulation.script import Script
from taskdock.testing.simulation.seeds import LENGTH, run_script, run_seeds, script_of
from taskdock.testing.simulation.world import NO_ACTS, OwnActs

_SEEDS_MAX = 1_000_000_000
_LINES_SHOWN = 60


def main(
    arguments: Sequence[str] | None = None,
    *,
    invariants: tuple[type[Invariant], ...] = INVARIANTS,
    own_acts: OwnActs = NO_ACTS,
    command: str = COMMAND,
) -> int:
    """Run what is asked for; 1 when an invariant was broken.

    A program of yours gives its invariants and acts, and the `command` that starts it, which is printed to be run again.
    """
    asked = parser(command).parse_args(arguments)
    one = _CommandLine(asked, invariants, own_acts, command)
    if asked.replay is not None:
        return one.replay()
    return one.run() if asked.shrink is None else one.shrink()


@frozen
class _CommandLine:
    """One call of it."""

    asked: argparse.Namespace
    invariants: tuple[type[Invariant], ...]
    own_acts: OwnActs
    command: str

    def replay(self) -> int:
        """Run one script."""
        script = Script.parse(self.asked.replay)
        outcome = run_script(script, invariants=self.invariants, own_acts=self.own_acts)
        _print(outcome.report(command=self.command))
        return 1 if outcome.violations else 0

    def shrink(self) -> int:
        """Look for the shortest script that breaks the same."""
        from taskdock.testing.simulation.shrinking import NothingBroken, shrink  # noqa: PLC0415 - needs hypothesis

        text = self.asked.shrink
        script = (
            script_of(int(text), self.asked.length, self.own_acts) if text.isdecimal() else Script.parse(text)
        )
        try:
            found = shrink(
                script, invariants=self.invariants, own_acts=self.own_acts, runs_max=self.asked.runs
            )
        except NothingBroken as error:
            _print(f"{error}\n")
            return 0
        _print(found.outcome.report(command=self.command))
        left = len(found.outcome.script.acts)
        _print(f"{left} of {len(script.acts)} acts break ({found.number}); {found.runs} worlds were run\n")
        return 1

    def run(self) -> int:
        """Run many seeds."""
        asked = self.asked
        first = secrets.randbelow(_SEEDS_MAX) if asked.first is None else asked.first
        began, steps, count, virtual = time.monotonic(), 0, 0, 0.0
        broken: list[int] = []
        _print(f"seeds from {first}\n")
        for outcome in self._outcomes(first):
            count, steps, virtual = count + 1, steps + outcome.steps, virtual + outcome.seconds
            if outcome.violations:
                broken.append(outcome.script.seed)
                _print(outcome.report(_LINES_SHOWN, self.command))
                if not asked.keep_going:
                    break
        seconds = time.monotonic() - began
        _print(
            f"seeds {first} to {first + count - 1}: {steps:,} steps in {seconds:.1f} s, "
            f"{steps / max(seconds, 0.001):,.0f} steps/s, {virtual / 86_400:.1f} simulated days, "
            f"{len(broken)} broken {broken or ''}\n"
        )
        return 1 if broken else 0

    def _outcomes(self, first: int) -> Iterator[Outcome]:
        asked, until = self.asked, time.monotonic() + (self.asked.seconds or 0.0)
        seeds: Iterable[int] = range(first, first + asked.seeds) if asked.seeds else itertools.count(first)
        if asked.seconds is not None:
            seeds = itertools.takewhile(lambda _: time.monotonic() < until, seeds)
        return run_seeds(
            seeds,
            length=asked.length,
            jobs=asked.jobs or os.cpu_count() or 1,
            invariants=self.invariants,
            own_acts=self.own_acts,
        )


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def parser(command: str = COMMAND) -> argparse.ArgumentParser:
    """What may be asked."""
    made = argparse.ArgumentParser(prog=command)
    made.add_argument("--seeds", type=int, default=0, help="how many worlds")
    made.add_argument("--first", type=int, help="the first seed; a fresh one when left out")
    made.add_argument("--seconds", type=float, help="how long, instead of how many")
    made.add_argument("--length", type=int, default=LENGTH, help="how many acts a seed stands for")
    made.add_argument("--jobs", type=int, default=1, help="how many processes; 0: one for each processor")
    made.add_argument("--keep-going", action="store_true", help="do not stop at the first broken world")
    made.add_argument("--replay", metavar="SCRIPT", help="a script as it was printed")
    made.add_argument(
        "--shrink", metavar="SEED|SCRIPT", help="look for the shortest one that breaks the same"
    )
    made.add_argument("--runs", type=int, default=400, help="how many worlds a shrinking may take")
    return made


if __name__ == "__main__":
    sys.exit(main())
