"""Committer: the group commit; everything that waits to be written goes into the next transaction.

Owns: the write connection, its transactions, and a savepoint for each unit.
Never: a unit lost in silence; its caller gets its result, its own error, or a StoreError.
Reads as: store.py, queue.py -> `Committer.submit(unit)` -> batching.py -> one thread -> BEGIN IMMEDIATE .. COMMIT.

A unit runs in a savepoint of its own, so one that fails, or takes itself back by raising `Refused`, takes nothing else with
it. What fails the transaction itself (a lock that is not given up, a full disk) fails every unit in it.
"""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from taskdock.adapters.store.sqlite.batching import Batching, Submission
from taskdock.adapters.store.sqlite.failures import translate

LAST_POSITION = "SELECT seq FROM sqlite_sequence WHERE name = 'feed'"

_BATCH_MAX = 1_024
"""Bounds how long another process of the same store waits for its turn."""

_T = TypeVar("_T")
Unit = Callable[[sqlite3.Connection], _T]
"""What is written together: runs inside a savepoint, on the committer's thread."""


class Refused(Exception):
    """No error: raised by a unit to take back what it wrote and answer `result`."""

    def __init__(self, result: object) -> None:
        super().__init__(result)
        self.result = result


class _Write(Submission[_T]):
    """A unit that waits to be written."""

    __slots__ = ("changes_work",)

    def __init__(self, unit: Unit[_T], *, changes_work: bool) -> None:
        super().__init__(unit)
        self.changes_work = changes_work


class Committer:
    """The one writer of this process. `on_commit` is called in the event loop with the last feed position."""

    def __init__(
        self, connection: sqlite3.Connection, *, waiting_max: int, on_commit: Callable[[int], None] | None
    ) -> None:
        self._connection = connection
        self._on_commit = on_commit
        self.batching = Batching(self._write, waiting_max=waiting_max, batch_max=_BATCH_MAX)

    async def submit(self, unit: Unit[_T], *, changes_work: bool = True) -> _T:
        """Have a unit written with the next batch; its result once that is durable.

        `changes_work` says whether the scheduler may find something new to do after it, so that `on_commit` is called.
        Raises what the unit raised; StoreError when the batch could not be written, WaitingRoomFull when too much waits.
        """
        return await self.batching.submit(_Write(unit, changes_work=changes_work))

    def _write(self, batch: list[_Write[Any]]) -> Callable[[], None] | None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            kept = [write for write in batch if self._attempt(write)]
            position = last_position(self._connection)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._abandon(batch, error)
            return None
        if self._on_commit is None or not any(write.changes_work for write in kept):
            return None
        return partial(self._on_commit, position)

    def _attempt(self, write: _Write[Any]) -> bool:
        """Run one unit in its savepoint; whether it is kept. Raises only what ended the whole transaction."""
        self._connection.execute("SAVEPOINT unit")
        try:
            write.result = write.work(self._connection)
        except Refused as refused:
            write.result = refused.result
        except sqlite3.Error as error:
            if not self._connection.in_transaction:
                raise
            write.error = translate(error)
        except Exception as error:  # noqa: BLE001 - raised again where the unit came from
            write.error = error
        else:
            self._connection.execute("RELEASE unit")
            return True
        self._connection.execute("ROLLBACK TO unit")
        self._connection.execute("RELEASE unit")
        return False

    def _abandon(self, batch: list[_Write[Any]], error: sqlite3.Error) -> None:
        """Nothing of the batch was written, whatever its units answered: each caller gets an error of its own."""
        for write in batch:
            write.result, write.error = None, translate(error)
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def last_position(connection: sqlite3.Connection) -> int:
    """Give the last feed position, 0 in an empty store."""
    row = connection.execute(LAST_POSITION).fetchone()
    return 0 if row is None else int(row[0])
