"""Feed: what clients watch, a snapshot first and then every change, in order and without a gap.

Owns: `Hub` (who waits for which position), `watch`, and what it yields.
Never: a queue per watcher; a watcher remembers a position and reads from the store, so a slow one costs nothing.
Reads as: a commit -> Hub.announce -> watch reads the feed -> entity as it is now.
"""

from collections.abc import AsyncIterator

import anyio
from attrs import field, frozen, mutable

from taskdock.ports.store import FeedEntry, Item, Reads, Snapshot, StoredEvent, Versioned

_RECORD_KINDS = ("task", "tab", "message", "repo")


@mutable(eq=False)
class Hub:
    """Knows the newest position and wakes whoever waits for it."""

    position: int = 0
    _moved: anyio.Event = field(factory=anyio.Event, init=False)

    def announce(self, position: int) -> None:
        """The feed has reached a position; older news changes nothing. Never blocks."""
        if position > self.position:
            self.position = position
            moved, self._moved = self._moved, anyio.Event()
            moved.set()

    async def beyond(self, position: int) -> None:
        """Wait until the feed has passed a position."""
        while self.position <= position:
            await self._moved.wait()


@frozen
class RecordChanged:
    """A task, tab, message or repo as it is now; a client drops versions that it already has."""

    position: int
    kind: str
    changed: Versioned


@frozen
class Happened:
    """A history event."""

    position: int
    happened: StoredEvent


@frozen
class Spoken:
    """Transcript items that were appended to a tab."""

    position: int
    tab_id: str
    items: tuple[Item, ...]


Seen = Snapshot | RecordChanged | Happened | Spoken


async def watch(reads: Reads, hub: Hub, workspace: str, boundary: str | None = None) -> AsyncIterator[Seen]:
    """Yield a snapshot, then everything that follows it, for ever; close it by leaving the loop.

    With `boundary` only that task or repo. Entities are read when they are sent, so several changes of one record that
    were not seen yet come as its newest version, more than once at most.
    """
    snapshot = await reads.snapshot(workspace, boundary)
    yield snapshot
    position = snapshot.position
    spoken: dict[str, int] = {}
    hub.announce(await reads.position())
    while True:
        entries = await reads.feed(position)
        for entry in entries:
            position = entry.position
            if entry.workspace != workspace or boundary not in (None, entry.boundary):
                continue
            async for seen in _read(reads, entry, spoken):
                yield seen
        if not entries:
            await hub.beyond(position)


async def _read(reads: Reads, entry: FeedEntry, spoken: dict[str, int]) -> AsyncIterator[Seen]:
    """What an entry stands for, as it is now; the first entry of a tab's transcript brings all of it."""
    if entry.kind in _RECORD_KINDS:
        found = await reads.record(entry.kind, entry.id)
        if found is not None:
            yield RecordChanged(entry.position, entry.kind, found)
    elif entry.kind == "history":
        happened = await reads.event(int(entry.id))
        if happened is not None:
            yield Happened(entry.position, happened)
    else:
        while items := tuple(await reads.transcript(entry.id, after=spoken.get(entry.id, 0))):
            spoken[entry.id] = items[-1].position
            yield Spoken(entry.position, entry.id, items)
