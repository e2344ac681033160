"""Faults: what is planned to go wrong with the next calls.

Owns: `Kind`, `Faults`.
Never: a fault that no adapter may have; each is one that a port's docstring allows.
Reads as: a script plans -> Calls take them, one per call.
"""

from collections import deque
from enum import Enum

from attrs import field, mutable

from taskdock.core.errors import (
    OutcomeUnknown,
    Permanent,
    PortError,
    QuotaExceeded,
    Transient,
    Unreachable,
)


class Kind(Enum):
    """How a call goes wrong."""

    REFUSED = "refused"
    """Nothing was applied, and it may work later."""
    UNREACHABLE = "unreachable"
    """Nothing was sent."""
    LOST = "lost"
    """Applied, and its answer is lost."""
    UNKNOWN = "unknown"
    """Not applied, and nobody can tell."""
    RATE = "rate"
    """Too many calls: later, says the other side, and when."""
    QUOTA = "quota"
    """Nothing more is to be had."""
    PERMANENT = "permanent"
    """It will fail again the same way."""
    SLOW = "slow"
    """Applied, and its answer comes late."""
    HANG = "hang"
    """No answer for a day."""

    def error(self, name: str) -> PortError:
        """What the port raises."""
        errors: dict[Kind, PortError] = {
            Kind.REFUSED: Transient(f"{name} was refused for now"),
            Kind.UNREACHABLE: Unreachable(f"{name} reached nobody"),
            Kind.LOST: OutcomeUnknown(f"the answer of {name} was lost"),
            Kind.UNKNOWN: OutcomeUnknown(f"the connection of {name} was lost"),
            Kind.RATE: Transient(f"{name}: too many calls", retry_after_seconds=30.0),
            Kind.QUOTA: QuotaExceeded(f"{name}: the quota is used up"),
            Kind.PERMANENT: Permanent(f"{name} cannot work"),
        }
        return errors[self]


@mutable(eq=False)
class Faults:
    """What is planned, by the name of the call."""

    planned: dict[str, deque[Kind]] = field(factory=dict)

    def plan(self, name: str, kind: Kind, count: int = 1) -> None:
        """The next `count` calls of this name go wrong like this."""
        self.planned.setdefault(name, deque()).extend([kind] * count)

    def take(self, name: str) -> Kind | None:
        """What goes wrong with this call."""
        waiting = self.planned.get(name)
        return waiting.popleft() if waiting else None

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self.planned.clear()
