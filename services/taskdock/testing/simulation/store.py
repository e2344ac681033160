"""Store: the durable state, as one simulated process reaches it.

Owns: `SimulatedStore`.
Never: a rule of a store of its own; it is the store in memory, which the conformance suites hold to the ports' promises.
Reads as: the services -> this -> Calls -> MemoryStore.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from taskdock.core.change import Slice
from taskdock.ports.intent_queue import Claimed
from taskdock.ports.store import Commit, CommitResult, Committed, NewItem
from taskdock.testing.memory_data import MemoryData
from taskdock.testing.memory_store import MemoryStore
from taskdock.testing.simulation.calls import Calls

Watcher = Callable[[Commit], None]
"""Called at the instant in which a commit is durable."""


class SimulatedStore(MemoryStore):
    """One process's connection. What writes can be refused, or be done and not be answered, or be the last thing it does."""

    def __init__(
        self,
        data: MemoryData,
        calls: Calls,
        watcher: Watcher,
        *,
        clock_now: Callable[[], datetime],
        on_commit: Callable[[int], None],
    ) -> None:
        super().__init__(data, clock_now=clock_now, on_commit=on_commit)
        self._calls = calls
        self._watcher = watcher

    async def load(self, boundary: str) -> Slice:
        """Load."""
        await self._calls.store("store.load")
        return await super().load(boundary)

    async def commit(self, commit: Commit) -> CommitResult:
        """Commit."""
        fault = await self._calls.store("store.commit")
        result = await super().commit(commit)
        if isinstance(result, Committed):
            self._watcher(commit)
        self._calls.stored("store.commit", fault)
        return result

    async def append(self, items: Sequence[NewItem]) -> int:
        """Append."""
        fault = await self._calls.store("store.append")
        position = await super().append(items)
        self._calls.stored("store.append", fault)
        return position

    async def recover(self) -> int:
        """Take back every execution."""
        await self._calls.store("queue.recover")
        return await super().recover()

    async def claim(
        self, room: Mapping[str, int], now: datetime, deadlines: Mapping[str, float]
    ) -> Sequence[Claimed]:
        """Claim."""
        fault = await self._calls.store("queue.claim")
        claimed = await super().claim(room, now, deadlines)
        self._calls.stored("queue.claim", fault)
        return claimed

    async def release(self, intent_id: str, issue: int) -> None:
        """Hand back."""
        fault = await self._calls.store("queue.release")
        await super().release(intent_id, issue)
        self._calls.stored("queue.release", fault)

    async def ended(self, intent_id: str, issue: int) -> None:
        """Remove what was cancelled."""
        fault = await self._calls.store("queue.ended")
        await super().ended(intent_id, issue)
        self._calls.stored("queue.ended", fault)
