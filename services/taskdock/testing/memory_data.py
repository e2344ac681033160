"""Memory data: what a store in memory holds, as a file would hold it: encoded.

Owns: `MemoryData` and its rows.
Never: a record that did not go through the codec.
Reads as: memory_store.py, memory_reads.py, memory_queue.py, memory_upkeep.py -> this.
"""

import secrets
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

from attrs import field, frozen, mutable

from taskdock.core.branches import Branches
from taskdock.core.change import Record
from taskdock.core.codec import decode
from taskdock.core.history import HistoryEvent
from taskdock.core.intents import Intent
from taskdock.core.job import Job
from taskdock.core.message import Message
from taskdock.core.reader import DraftText, ReadMarker
from taskdock.core.repo import Repo
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from taskdock.ports.store import FeedEntry, Item, KeyUsed, StoredEvent, Versioned

KINDS: dict[str, type[Any]] = {
    "task": Task,
    "tab": Tab,
    "message": Message,
    "repo": Repo,
    "job": Job,
    "branches": Branches,
    "marker": ReadMarker,
    "draft": DraftText,
}
"""What the feed calls each kind of record."""

_RecordT = TypeVar("_RecordT", bound=Record)
_DECODED_MAX = 20_000


_decoded: Callable[[Any, str], Any] = lru_cache(_DECODED_MAX)(decode)
"""A text decoded once: records are immutable all the way down, so one may be handed out twice."""


@frozen
class Root:
    """A boundary without its records."""

    workspace: str
    version: int
    runs: int


@frozen
class Row:
    """One record as text."""

    kind: str
    boundary: str
    version: int
    text: str

    @property
    def record(self) -> Any:  # noqa: ANN401 - its kind says what it is
        """The record, as its text says."""
        return _decoded(KINDS[self.kind], self.text)


@mutable
class Lying:
    """An intent in the outbox; `status` is open, running or cancelled."""

    text: str
    status: str = "open"

    @property
    def intent(self) -> Intent:
        """The intent, as its text says."""
        intent: Intent = _decoded(Intent, self.text)
        return intent


@frozen
class Event:
    """A history event as text."""

    boundary: str
    workspace: str
    at: datetime
    text: str


@mutable(eq=False)
class MemoryData:
    """What outlives the store that was opened on it; one event loop at a time uses it."""

    owner: str = field(factory=lambda: secrets.token_hex(8))
    roots: dict[str, Root] = field(factory=dict)
    rows: dict[str, dict[str, Row]] = field(factory=lambda: {kind: {} for kind in KINDS})
    texts: dict[str, str] = field(factory=dict)
    holds: dict[tuple[str, str], str] = field(factory=dict)
    outbox: dict[str, Lying] = field(factory=dict)
    """In the order in which they were ordered."""
    history: dict[int, Event] = field(factory=dict)
    feed: dict[int, FeedEntry] = field(factory=dict)
    keys: dict[tuple[str, str], tuple[KeyUsed, datetime]] = field(factory=dict)
    transcripts: dict[str, list[tuple[str, Item]]] = field(factory=dict)
    """By tab: the source's event, and the item."""
    position: int = 0
    number: int = 0
    pruned_to: int = 0
    """The last feed position that was pruned."""
    noted: dict[datetime, int] = field(factory=dict)
    """Which position the feed had when."""
    turns: dict[str, str] = field(factory=dict)
    """By lane: the workspace that was served last."""

    def tell(self, kind: str, id_: str, version: int, workspace: str, boundary: str) -> int:
        """Append to the feed; the position."""
        self.position += 1
        self.feed[self.position] = FeedEntry(self.position, kind, id_, version, workspace, boundary)
        return self.position

    def note(self, event: Event) -> int:
        """Append to the history; the number."""
        self.number += 1
        self.history[self.number] = event
        return self.number

    def of(self, kind: type[_RecordT], boundary: str | None = None) -> Iterator[tuple[_RecordT, int]]:
        """Every record of a kind (of one boundary), decoded, with its version; in the order of making."""
        name = next(name for name, known in KINDS.items() if known is kind)
        for row in self.rows[name].values():
            if boundary in (None, row.boundary):
                yield row.record, row.version

    def versioned(self, kind: str, record_id: str) -> Versioned | None:
        """One record."""
        row = self.rows.get(kind, {}).get(record_id)
        return None if row is None else Versioned(row.record, row.version)

    def event(self, number: int) -> StoredEvent | None:
        """One event."""
        kept = self.history.get(number)
        return None if kept is None else StoredEvent(number, kept.boundary, decode(HistoryEvent, kept.text))
