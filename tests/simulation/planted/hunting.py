"""Hunting: runs worlds with a bug planted in them until an invariant is broken, or the bug's budget is used up.

Owns: `Bug`, `Find`, `hunt`.
Never: a world more than the budget.
Reads as: the table, the test -> `hunt(bug)` -> `run_script` of the kit.
"""

import re
import time
from collections.abc import Callable, Iterator, Set
from contextlib import AbstractContextManager

from attrs import frozen

from taskdock.testing.simulation.nature import NUMBERS
from taskdock.testing.simulation.outcome import Outcome
from taskdock.testing.simulation.script import Act, Script
from taskdock.testing.simulation.seeds import LENGTH, run_script
from taskdock.testing.simulation.world import ACTS


@frozen
class Bug:
    """One planted bug, and what it may take to find it."""

    plant: Callable[[], AbstractContextManager[None]]
    found_by: Set[int]
    """The numbers of the invariants that may find it."""
    worlds: int
    """The budget: how many worlds may be looked at, with the seeds 1, 2 and so on."""
    script: tuple[Act, ...] = ()
    """What is done in each of them before its random acts."""
    random: int = LENGTH
    """How many random acts follow."""

    @property
    def name(self) -> str:
        """What it is called."""
        return self.plant.__name__.replace("_", "-")

    @property
    def sentence(self) -> str:
        """What it is."""
        return (self.plant.__doc__ or "").strip()

    def scripts(self) -> Iterator[Script]:
        """Everything that its budget allows."""
        for seed in range(1, self.worlds + 1):
            yield Script(seed, (*self.script, *Script.from_seed(seed, self.random, ACTS).acts))


@frozen
class Find:
    """How a bug was found."""

    script: Script
    numbers: frozenset[int]
    """The invariants that it broke."""
    worlds: int
    """How many worlds it took."""
    steps: int
    """How many commits were made in them."""
    seconds: float
    violation: str


def hunt(bug: Bug, numbers: frozenset[int] = NUMBERS) -> Find | None:
    """Look for it with these invariants; None when it gets through."""
    began, steps = time.monotonic(), 0
    with bug.plant():
        for tried, script in enumerate(bug.scripts(), 1):
            outcome = run_script(script, numbers=numbers)
            steps += outcome.steps
            if outcome.violations:
                return Find(
                    script,
                    numbers_of(outcome),
                    tried,
                    steps,
                    time.monotonic() - began,
                    outcome.violations[0],
                )
    return None


def numbers_of(outcome: Outcome) -> frozenset[int]:
    """The invariants that were broken."""
    found = (re.match(r"\((\d+)\)", sentence) for sentence in outcome.violations)
    return frozenset(int(match[1]) for match in found if match)
