"""Outcome: what became of a script: what it broke, everything that happened, and the command that shows it again.

Owns: `Outcome`, `outcome_of`, `COMMAND`.
Never: a judgement; what is broken was said by the invariants.
Reads as: seeds.py, rules.py, shrinking.py -> this -> a person reads the report.
"""

import re
from hashlib import blake2s
from typing import TYPE_CHECKING

from attrs import frozen

from taskdock.testing.simulation.script import Script

if TYPE_CHECKING:
    from taskdock.testing.simulation.world import World

COMMAND = "python -m taskdock.testing.simulation"
"""What replays and shrinks a script, unless a program of yours does, with invariants and acts of your own."""
_NUMBER = re.compile(r"\((\d+)\)")


@frozen
class Outcome:
    """What became of a script."""

    script: Script
    steps: int
    """How many commits were made."""
    seconds: float
    """How much virtual time passed."""
    violations: tuple[str, ...]
    """What is broken, each with the number of its invariant in brackets."""
    timeline: tuple[tuple[float, str], ...]
    """What happened: virtual seconds, and a sentence."""
    acts: int
    """How many acts were done until something was broken, or all of them."""
    digest: str
    """Of everything that is stored in the end, and of everything that happened."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Which invariants are broken."""
        found = (_NUMBER.match(sentence) for sentence in self.violations)
        return tuple(int(one[1]) for one in found if one is not None)

    def report(self, lines: int | None = None, command: str = COMMAND) -> str:
        """The (last lines of the) timeline, what is broken, and how to see it again."""
        shown = self.timeline if lines is None else self.timeline[-lines:]
        told = [f"{at:12.3f}  {sentence}" for at, sentence in shown]
        told += [f"BROKEN {sentence}" for sentence in self.violations]
        told.append(f"again:  {command} --replay {self.script}")
        if self.violations:
            told.append(f"shrink: {command} --shrink {self.script}")
        return "".join(f"{line}\n" for line in told)


def outcome_of(world: "World", script: Script) -> Outcome:
    """What became of a script in this world so far."""
    return Outcome(
        script,
        world.steps,
        world.outside.nature.seconds,
        tuple(world.violations),
        tuple(world.timeline),
        world.acts,
        _digest(world),
    )


def _digest(world: "World") -> str:
    data, hashed = world.outside.data, blake2s()
    for kind, rows in data.rows.items():
        for record_id, row in rows.items():
            hashed.update(f"{kind} {record_id} {row.version} {row.text}\n".encode())
    for number, event in data.history.items():
        hashed.update(f"{number} {event.text}\n".encode())
    for at, sentence in world.timeline:
        hashed.update(f"{at} {sentence}\n".encode())
    return hashed.hexdigest()
