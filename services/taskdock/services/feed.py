"""Feed: what clients watch, a snapshot first and then every change, in order and without a gap.

Owns: `Hub` (who waits for which position), `Watch`, and what it yields.
Never: a queue per watcher; a watcher remembers a position and reads from the store, so a slow one costs nothing.
Reads as: a commit -> Hub.announce -> Watch reads the feed -> entity as it is now.
"""

from collections import deque
from typing import TypeVar

import anyio
from attrs import field, frozen, mutable

from taskdock.core.errors import PositionLost
from taskdock.core.reader import DraftText, reader_id
from taskdock.ports.store import FeedEntry, Item, Reads, Snapshot, StoredEvent, Versioned

_RECORD_KINDS = ("task", "tab", "message", "repo", "job", "branches")
_READER_KINDS = ("marker", "draft")


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
    """A task, tab, message, repo, read marker or draft as it is now; a client drops versions that it already has.

    A draft that was emptied comes with an empty text.
    """

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


@frozen
class Reset:
    """The feed does not go back to where this watcher stood: forget everything, a snapshot follows."""

    lost: int
    """The position that the watcher had reached."""


Seen = Snapshot | RecordChanged | Happened | Spoken | Reset
_SeenT = TypeVar("_SeenT", bound=Seen | None)


class Watch:
    """An endless iterator: a snapshot, then everything that follows it, in order and without a gap.

    With `after`, a position from a receipt or from an earlier watch, there is no snapshot: it goes on from there. Where the
    feed does not reach back to it any more, it says `Reset`, and goes on with a snapshot; so does one that fell far behind.

    A plain object and no generator, so that a loop over it can be left at any point on asyncio and on trio alike.
    `principal` is who watches: it is told its own read markers and drafts, and never anybody else's.
    Entities are read when they are sent: several changes of one record that were not seen yet come as its newest version.
    """

    def __init__(
        self,
        reads: Reads,
        hub: Hub,
        workspace: str,
        boundary: str | None = None,
        after: int | None = None,
        *,
        principal: str | None = None,
    ) -> None:
        self._reads = reads
        self._hub = hub
        self._workspace = workspace
        self._boundary = boundary
        self._principal = principal
        self._position = after
        self._entries: deque[FeedEntry] = deque()
        self._spoken: dict[str, int] = {}

    def __aiter__(self) -> "Watch":
        return self

    async def __anext__(self) -> Seen:
        if self._position is None:
            snapshot = await self._reads.snapshot(self._workspace, self._boundary)
            self._position = snapshot.position
            return snapshot
        while True:
            try:
                entry = await self._next_entry(self._position)
            except PositionLost:
                return self._reset(self._position)
            seen = await self._read(entry)
            if seen is not None:
                return seen

    def _reset(self, lost: int) -> Reset:
        """Stand where a new watcher would."""
        self._position = None
        self._spoken.clear()
        return Reset(lost)

    async def _next_entry(self, position: int) -> FeedEntry:
        """The next entry of the feed; it stays in front until nothing more is read from it."""
        while not self._entries:
            self._entries.extend(await self._reads.feed(position))
            if not self._entries:
                # Other processes may have committed before this one heard of anything.
                self._hub.announce(await self._reads.position())
                await self._hub.beyond(position)
        return self._entries[0]

    async def _read(self, entry: FeedEntry) -> Seen | None:
        """What an entry stands for, as it is now; None when that is nothing for this watcher."""
        if entry.workspace != self._workspace or self._boundary not in (None, entry.boundary):
            return self._done(entry, None)
        if entry.kind in _READER_KINDS:
            return self._done(entry, await self._mark(entry))
        if entry.kind in _RECORD_KINDS:
            found = await self._reads.record(entry.kind, entry.id)
            return self._done(
                entry, None if found is None else RecordChanged(entry.position, entry.kind, found)
            )
        if entry.kind == "history":
            happened = await self._reads.event(int(entry.id))
            return self._done(entry, None if happened is None else Happened(entry.position, happened))
        return await self._items(entry)

    async def _mark(self, entry: FeedEntry) -> RecordChanged | None:
        """What the watcher itself has read or is writing; None for what others have."""
        tab_id, _, principal = entry.id.partition("/")
        if principal != self._principal:
            return None
        found = await self._reads.record(entry.kind, entry.id)
        if found is None and entry.kind == "draft":
            emptied = DraftText(reader_id(tab_id, principal), tab_id, entry.boundary, principal, "")
            found = Versioned(emptied, entry.version)
        return None if found is None else RecordChanged(entry.position, entry.kind, found)

    async def _items(self, entry: FeedEntry) -> Spoken | None:
        """A page of the tab's items that were not sent yet; the first entry of a tab brings its whole transcript."""
        items = tuple(await self._reads.transcript(entry.id, after=self._spoken.get(entry.id, 0)))
        if not items:
            return self._done(entry, None)
        self._spoken[entry.id] = items[-1].position
        return Spoken(entry.position, entry.id, items)

    def _done(self, entry: FeedEntry, seen: _SeenT) -> _SeenT:
        self._entries.popleft()
        self._position = entry.position
        return seen
