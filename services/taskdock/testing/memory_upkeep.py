"""Memory upkeep: what a store in memory forgets.

Owns: `MemoryUpkeep`.
Never: anything that the port does not name.
Reads as: memory_store.py -> this -> memory_data.py.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import anyio.lowlevel

from taskdock.core.task import Task
from taskdock.ports.upkeep import Horizon, Prunable, Pruned
from taskdock.testing.memory_data import MemoryData

_OVER = ("archived", "killed")


class MemoryUpkeep:
    """Implements `taskdock.ports.upkeep.Upkeep`; the promises stand there."""

    data: MemoryData

    async def note_position(self, now: datetime) -> None:
        """Remember how far the feed has got by now."""
        await anyio.lowlevel.checkpoint()
        self.data.noted[now] = self.data.position

    async def prunable(self, horizon: Horizon) -> Mapping[Prunable, int]:
        """How many of each kind would go."""
        await anyio.lowlevel.checkpoint()
        return {kind: len(self._old(kind, horizon)) for kind in Prunable}

    async def prune(self, kind: Prunable, horizon: Horizon, *, after: int, limit: int) -> Pruned:
        """Take away a batch."""
        await anyio.lowlevel.checkpoint()
        old = self._old(kind, horizon)[:limit]
        for key in old:
            if kind is Prunable.KEYS:
                del self.data.keys[key]
            elif kind is Prunable.HISTORY:
                del self.data.history[key]
            else:
                del self.data.feed[key]
                self.data.pruned_to = key
        return Pruned(len(old), after + len(old) if len(old) == limit else None)

    def _old(self, kind: Prunable, horizon: Horizon) -> list[Any]:
        if kind is Prunable.KEYS:
            return [key for key, (_, at) in self.data.keys.items() if at < horizon.keys_before]
        if kind is Prunable.HISTORY:
            return self._old_events(horizon.history_before)
        noted = [position for at, position in self.data.noted.items() if at <= horizon.feed_before]
        end = max([*noted, self.data.position - horizon.feed_rows_max])
        return [position for position in self.data.feed if position <= end]

    def _old_events(self, before: datetime) -> list[int]:
        over = {task.id for task, _ in self.data.of(Task) if task.at in _OVER}
        last = {event.boundary: event.at for event in self.data.history.values()}
        return [
            number
            for number, event in self.data.history.items()
            if event.boundary in over and last[event.boundary] < before
        ]
