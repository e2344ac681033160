"""Readers: a few connections that cannot write, each used by one thread at a time.

Owns: how many reads run at once, and that each is complete before its connection is used again.
Never: a cursor that outlives its read; a half-read one would pin SQLite's log.
Reads as: store.py, reads.py, queue.py -> `Readers.look_up` or `Readers.run` -> a thread -> sqlite3.

A hop to a thread costs more than a look-up, so those that wait go together, on a connection of their own. What may take
long (lists, transcripts, snapshots) has a hop to itself and no look-up behind it.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from taskdock.adapters.store.sqlite.batching import Batching, Submission
from taskdock.adapters.store.sqlite.failures import translate
from taskdock.core.errors import StoreError

_LOOK_UPS_AT_ONCE = 64

_T = TypeVar("_T")
Read = Callable[[sqlite3.Connection], _T]


class Readers:
    """The pool, of at least two connections: the first is for look-ups, the others are for longer reads."""

    def __init__(self, connections: Sequence[sqlite3.Connection], *, waiting_max: int) -> None:
        self._for_look_ups, *self._free = connections
        self._closed = False
        self._limiter = anyio.CapacityLimiter(len(self._free))
        self.batching = Batching(self._look_up, waiting_max=waiting_max, batch_max=_LOOK_UPS_AT_ONCE)

    async def look_up(self, read: Read[_T]) -> _T:
        """Run a read of few rows, together with others that wait. Raises StoreError, or what the read raises."""
        return await self.batching.submit(Submission(read))

    async def run(self, read: Read[_T]) -> _T:
        """Run a read of any length on a thread, one hop for all of its statements. Raises like `look_up`."""
        return await anyio.to_thread.run_sync(self._run, read, limiter=self._limiter)

    def close(self) -> None:
        """Close the connections, one that is in use when its read is over; reads that follow raise StoreError."""
        self._closed = True
        self._for_look_ups.close()
        while self._free:
            self._free.pop().close()

    def _look_up(self, batch: list[Submission[Any]]) -> None:
        for submission in batch:
            try:
                submission.result = submission.work(self._for_look_ups)
            except sqlite3.Error as error:
                submission.error = translate(error)
            except Exception as error:  # noqa: BLE001 - raised again where the read came from
                submission.error = error

    def _run(self, read: Read[_T]) -> _T:
        if self._closed:
            raise StoreError("The store is closed.")
        connection = self._free.pop()
        try:
            return read(connection)
        except sqlite3.Error as error:
            raise translate(error) from error
        finally:
            self._put_back(connection)

    def _put_back(self, connection: sqlite3.Connection) -> None:
        if self._closed:
            connection.close()
        else:
            self._free.append(connection)


def rows(
    connection: sqlite3.Connection, statement: str, parameters: Sequence[object] | Mapping[str, object] = ()
) -> list[tuple[Any, ...]]:
    """Run a statement and read all of its rows."""
    return connection.execute(statement, parameters).fetchall()
