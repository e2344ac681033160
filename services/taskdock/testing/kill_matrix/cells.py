"""Cells: what the matrix is made of: a journey, and a gate on its way at which the process is killed.

Owns: `Cell`, `CELLS`, `chosen`.
Never: a gate that no journey comes to.
Reads as: matrix.py takes `chosen(patterns)` -> trial.py.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from attrs import frozen

from taskdock.testing.kill_matrix.journeys import JOURNEYS, Journey

SIDES = ("before", "after")


@frozen
class Cell:
    """One kill: in this journey, before or after the first call of this method."""

    journey: Journey
    method: str
    """Port and method, e.g. `provider.ensure`."""
    side: str

    @property
    def gate(self) -> str:
        """The gate's name, as `taskdock.testing.gates` has it."""
        return f"{self.method}.{self.side}"

    @property
    def name(self) -> str:
        """The cell's own name, e.g. `create/provider.ensure.before`."""
        return f"{self.journey.name}/{self.gate}"

    def fits(self, pattern: str) -> bool:
        """Whether it is meant: by its name, gate, method, port or journey, or by a pattern with `*` for its name."""
        names = (self.name, self.gate, self.method, self.method.partition(".")[0], self.journey.name)
        return pattern in (*names, f"{self.journey.name}/{self.method}") or fnmatchcase(self.name, pattern)


CELLS = tuple(
    Cell(journey, method, side) for journey in JOURNEYS for method in journey.calls for side in SIDES
)


def chosen(patterns: Sequence[str]) -> tuple[Cell, ...]:
    """The cells that at least one of the patterns means, in their order; all of them without a pattern."""
    return tuple(cell for cell in CELLS if not patterns or any(cell.fits(one) for one in patterns))
