"""Store: the SQLite store as the rest of Taskdock sees it.

Owns: `SqliteStore`, which is `Store`, `Reads`, `IntentQueue` and `Upkeep` over one file.
Never: SQL; it puts the parts together.
Reads as: app (open) -> this -> commits, transcripts, slices; reads.py; queue.py; pruning.py.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from taskdock.adapters.store.sqlite.claims import Turns
from taskdock.adapters.store.sqlite.commits import CommitUnit
from taskdock.adapters.store.sqlite.connection import Limits, Synchronous
from taskdock.adapters.store.sqlite.database import Database, opened
from taskdock.adapters.store.sqlite.pruning import SqliteUpkeep
from taskdock.adapters.store.sqlite.queue import SqliteQueue
from taskdock.adapters.store.sqlite.reads import SqliteReads
from taskdock.adapters.store.sqlite.slices import load_slice
from taskdock.adapters.store.sqlite.transcripts import AppendUnit
from taskdock.core.change import Slice
from taskdock.ports.store import Commit, CommitResult, NewItem

_DEFAULT_LIMITS = Limits()


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SqliteStore(SqliteReads, SqliteQueue, SqliteUpkeep):
    """Implements the ports Store, Reads, IntentQueue and Upkeep; made by `open`, any number of processes at once."""

    def __init__(self, database: Database, clock_now: Callable[[], datetime]) -> None:
        self._database = database
        self._turns = Turns()
        self._clock_now = clock_now

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path,
        *,
        synchronous: Synchronous = "FULL",
        clock_now: Callable[[], datetime] = _utc_now,
        on_commit: Callable[[int], None] | None = None,
        limits: Limits = _DEFAULT_LIMITS,
    ) -> AsyncIterator["SqliteStore"]:
        """Open the store at `path`, making or migrating it; its folder must exist.

        `clock_now` dates idempotency keys. `on_commit` is called in the event loop with the last feed position after each
        batch that may have changed what is to be done; it must neither block nor raise. Leaving the context writes what
        waits and closes. Raises SchemaMismatch, the file untouched, for a store of a newer Taskdock or somebody else's
        database, and StoreError when the file cannot be opened.
        """
        async with opened(path, synchronous=synchronous, limits=limits, on_commit=on_commit) as database:
            yield cls(database, clock_now)

    async def load(self, boundary: str) -> Slice:
        """Load a boundary; one that does not exist has version 0."""
        return await self._database.readers.look_up(partial(load_slice, boundary=boundary))

    async def commit(self, commit: Commit) -> CommitResult:
        """Write all of it or nothing. `position` is the last of the store where the commit itself has no feed entry.

        After a StoreError it is in rare cases written all the same (the disk failed while it was being confirmed): load
        again, compare-and-set and the key tell.
        """
        return await self._database.committer.submit(CommitUnit(commit, self._clock_now()))

    async def append(self, items: Sequence[NewItem]) -> int:
        """Append items that are new, in order; the last feed position."""
        return await self._database.committer.submit(AppendUnit(items))
