"""Invariant: what a rule that is held against a world can watch, and how it says that it does not hold.

Owns: `Invariant`.
Never: a rule of the machines written once more; what is outside is counted outside.
Reads as: invariants.py, delivery.py, feed.py stand on this -> World tells them what happens -> Nature.broken.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from taskdock.core.change import Record
from taskdock.core.task import Task
from taskdock.ports.store import Commit
from taskdock.testing.simulation.boxes import Box

if TYPE_CHECKING:
    from taskdock.testing.simulation.world import World

_RecordT = TypeVar("_RecordT", bound=Record)


class Invariant:
    """One invariant in one world."""

    number = 0

    def __init__(self, world: "World") -> None:
        self.world = world
        self.outside = world.outside
        self.data = world.outside.data

    def on_commit(self, commit: Commit) -> None:
        """Something was committed, and is there."""

    def after_step(self, boundaries: frozenset[str]) -> None:
        """These boundaries changed, or what is outside of them did."""

    def on_received(self, tab_id: str, message_id: str) -> None:
        """An agent gets a message just now."""

    def on_destroyed(self, box: Box) -> None:
        """A provider destroys a sandbox because it is asked to, which is there until then."""

    def in_calm(self) -> None:
        """Nothing has gone wrong for a while; much may still be under way."""

    async def look(self) -> None:
        """Nothing is left to happen: ask a process what only a process can say, and judge afterwards."""

    def at_the_end(self) -> None:
        """Everything was asked of every task, up to its end."""

    def at_rest(self) -> None:
        """Nothing is left to happen, and nothing goes wrong any more."""

    def broken(self, sentence: str) -> None:
        """Say that it does not hold."""
        self.outside.nature.broken(self.number, sentence)

    def task(self, task_id: str) -> Task | None:
        """A task as it stands."""
        row = self.data.rows["task"].get(task_id)
        return None if row is None else row.record

    def all(self, kind: type[_RecordT], boundary: str | None = None) -> Iterator[_RecordT]:
        """Every record of a kind (of a boundary)."""
        return (record for record, _ in self.data.of(kind, boundary))
