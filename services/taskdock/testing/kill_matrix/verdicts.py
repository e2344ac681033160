"""Verdicts: what became of each kill, as values and as text.

Owns: `Outcome`, `Verdict`, and the lines that people read.
Never: a finding without the promise that it breaks.
Reads as: trial.py makes a `Verdict` -> matrix.py collects them -> __main__.py prints `line`, `story` and `summary`.
"""

from collections import Counter
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from attrs import frozen

from taskdock.testing.kill_matrix.cells import CELLS, Cell
from taskdock.testing.kill_matrix.promises import Finding, Promise

_NAME_WIDTH = max(len(cell.name) for cell in CELLS)


class Outcome(Enum):
    """What became of one kill."""

    HELD = "held"
    """Every promise."""
    BROKEN = "broken"
    NOT_REACHED = "not reached"
    """The call was not made, so nothing is known."""
    NOT_ASKED = "not asked"
    """Its provider does not promise what the cell is about."""


@frozen
class Verdict:
    """One cell, tried."""

    cell: Cell
    seconds: float
    findings: tuple[Finding, ...] = ()
    reason: str | None = None
    """Why it was not asked."""
    kept: Path | None = None
    """Where its home and its log are; None when nothing is left of it."""

    @property
    def outcome(self) -> Outcome:
        """What became of it."""
        if self.reason is not None:
            return Outcome.NOT_ASKED
        if not self.findings:
            return Outcome.HELD
        return Outcome.NOT_REACHED if self.findings[0].promise is Promise.REACHED else Outcome.BROKEN

    @property
    def is_fine(self) -> bool:
        """Whether nothing speaks against the provider."""
        return self.outcome in (Outcome.HELD, Outcome.NOT_ASKED)

    def line(self) -> str:
        """Its line in the table."""
        why = f"  {self.reason}" if self.reason else ""
        return f"{self.cell.name:<{_NAME_WIDTH}}  {self.outcome.value:<11}  {self.seconds:6.1f} s{why}"

    def story(self) -> str:
        """What was broken, sentence by sentence; empty when nothing was."""
        lines = [self.cell.name] if self.findings else []
        for finding in self.findings:
            lines += [f"  promised: {finding.promise.value}", f"  seen:     {finding.seen}"]
        if self.findings and self.kept is not None:
            lines.append(f"  look at:  {self.kept}")
        return "\n".join(lines)


def summary(verdicts: Sequence[Verdict], seconds: float) -> str:
    """All of them in one line."""
    counts = Counter(verdict.outcome for verdict in verdicts)
    parts = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome if counts[outcome])
    return f"{len(verdicts)} kills in {seconds:.0f} s: {parts}"
