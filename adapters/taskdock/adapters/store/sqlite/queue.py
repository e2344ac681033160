"""Queue: the intent queue over the store's own outbox.

Owns: which of its questions are writes (through the committer) and which are reads.
Never: a lease; one process schedules, and the seat says which.
Reads as: services/scheduler.py -> these -> claims.py on the committer, or a read.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from taskdock.adapters.store.sqlite import claims
from taskdock.adapters.store.sqlite.database import Database
from taskdock.adapters.store.sqlite.readers import rows
from taskdock.adapters.store.sqlite.rows import to_microseconds, to_time
from taskdock.ports.intent_queue import Claimed, QueueReport, Taken

# The plus makes SQLite read the few rows of `intent_busy` and sort them, instead of walking over all in order.
_CANCELLED = "SELECT id FROM intent WHERE status <> 'open' AND status = 'cancelled' ORDER BY +seq"
_TAKEN = "SELECT id, issue FROM intent WHERE status <> 'open' ORDER BY +seq"
_NEXT_DUE = """
SELECT min(at) FROM (
    SELECT min(not_before) AS at FROM intent WHERE status = 'open' AND due = 0 AND not_before > :now
    UNION ALL
    SELECT min(not_before) FROM intent WHERE status = 'open' AND due = 1 AND not_before > :now
)"""
_OPEN_BY_LANE = "SELECT lane, count(*) FROM intent WHERE status = 'open' GROUP BY lane ORDER BY lane"
_RUNNING = "SELECT count(*) FROM intent WHERE status <> 'open'"


class SqliteQueue:
    """Implements `taskdock.ports.intent_queue.IntentQueue`; the promises stand there."""

    _database: Database
    _turns: claims.Turns

    async def recover(self) -> int:
        """Take back every execution: none runs any more."""
        return await self._database.committer.submit(claims.recover)

    async def claim(
        self, room: Mapping[str, int], now: datetime, deadlines: Mapping[str, float]
    ) -> Sequence[Claimed]:
        """Take due intents within each lane's room. Wakes nobody: what is left is not claimable now."""
        unit = partial(claims.claim, room=dict(room), now=now, deadlines=dict(deadlines), turns=self._turns)
        return await self._database.committer.submit(unit, changes_work=False)

    async def release(self, intent_id: str, issue: int) -> None:
        """Give an intent back; remove it when it was cancelled meanwhile."""
        await self._database.committer.submit(partial(claims.release, intent_id=intent_id, issue=issue))

    async def ended(self, intent_id: str, issue: int) -> None:
        """Remove a cancelled intent whose execution ended."""
        await self._database.committer.submit(partial(claims.end, intent_id=intent_id, issue=issue))

    async def cancelled(self) -> Sequence[str]:
        """Name the cancelled intents that still run, in the order in which they were made."""
        return [id_ for (id_,) in await self._database.readers.look_up(partial(rows, statement=_CANCELLED))]

    async def taken(self) -> Sequence[Taken]:
        """Every claim that has not ended, in the order in which their intents were made."""
        return [Taken(*row) for row in await self._database.readers.look_up(partial(rows, statement=_TAKEN))]

    async def next_due_at(self, now: datetime) -> datetime | None:
        """Tell when the next intent comes due after `now`."""
        return await self._database.readers.look_up(partial(_next_due_at, now=now))

    async def report(self, now: datetime) -> QueueReport:
        """Count what lies in the outbox; `running` includes what was cancelled and has not ended."""
        return await self._database.readers.run(partial(_report, now=now))


def _next_due_at(connection: sqlite3.Connection, now: datetime) -> datetime | None:
    (at,) = connection.execute(_NEXT_DUE, {"now": to_microseconds(now)}).fetchone()
    return None if at is None else to_time(at)


def _report(connection: sqlite3.Connection, now: datetime) -> QueueReport:
    ((running,),) = rows(connection, _RUNNING)
    return QueueReport(dict(rows(connection, _OPEN_BY_LANE)), running, _next_due_at(connection, now))
