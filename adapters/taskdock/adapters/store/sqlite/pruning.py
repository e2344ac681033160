"""Pruning: what the store forgets, in batches that hold the writer up for no more than one of them.

Owns: `SqliteUpkeep`, and every statement that removes history, feed entries or keys.
Never: a row of what can still change; and no feed entry without saying up to where the feed was pruned.
Reads as: services/retention.py -> store.py -> these on the committer.

The feed has no time of its own, which would cost each commit; `feed_at` says how far it had got when.
"""

import sqlite3
from collections.abc import Mapping
from datetime import datetime
from functools import partial

from taskdock.adapters.store.sqlite.committer import last_position
from taskdock.adapters.store.sqlite.database import Database
from taskdock.adapters.store.sqlite.readers import rows
from taskdock.adapters.store.sqlite.rows import to_microseconds
from taskdock.ports.upkeep import Horizon, Prunable, Pruned

_NOTE = "INSERT OR REPLACE INTO feed_at (at, position) VALUES (?, ?)"
_FORGET_NOTES = "DELETE FROM feed_at WHERE at < ?"
_NOTED = "SELECT at, position FROM feed_at WHERE at <= ? ORDER BY at DESC LIMIT 1"

_OVER = """
EXISTS (SELECT 1 FROM task WHERE task.id = history.boundary AND task.at IN ('archived', 'killed'))
AND (SELECT last.at FROM history AS last WHERE last.boundary = history.boundary ORDER BY last.number DESC LIMIT 1) < ?"""
_WINDOW_END = """
SELECT max(number) FROM (SELECT number FROM history WHERE number > ? ORDER BY number LIMIT ?)"""
_PRUNE_HISTORY = f"DELETE FROM history WHERE number > ? AND number <= ? AND at < ? AND {_OVER}"  # noqa: S608
_COUNT_HISTORY = f"SELECT count(*) FROM history WHERE at < ? AND {_OVER}"  # noqa: S608 - constants

_FEED_BEGIN = "SELECT min(position) FROM feed"
_PRUNE_FEED = "DELETE FROM feed WHERE position <= ?"
_SET_PRUNED_TO = "INSERT OR REPLACE INTO meta (name, value) VALUES ('feed_pruned_to', ?)"

_PRUNE_KEYS = """
DELETE FROM idempotency_key WHERE rowid IN (
    SELECT rowid FROM idempotency_key WHERE created_at < ? ORDER BY created_at LIMIT ?
)"""
_COUNT_KEYS = "SELECT count(*) FROM idempotency_key WHERE created_at < ?"


class SqliteUpkeep:
    """Implements `taskdock.ports.upkeep.Upkeep`; the promises stand there."""

    _database: Database

    async def note_position(self, now: datetime) -> None:
        """Remember how far the feed has got by now."""
        await self._database.committer.submit(partial(_note, at=to_microseconds(now)), changes_work=False)

    async def prunable(self, horizon: Horizon) -> Mapping[Prunable, int]:
        """Count what would go."""
        return await self._database.readers.run(partial(_prunable, horizon=horizon))

    async def prune(self, kind: Prunable, horizon: Horizon, *, after: int, limit: int) -> Pruned:
        """Take away a batch, beside other writes; wakes nobody."""
        unit = partial(_PRUNE[kind], horizon=horizon, after=after, limit=limit)
        return await self._database.committer.submit(unit, changes_work=False)


def _note(connection: sqlite3.Connection, at: int) -> None:
    connection.execute(_NOTE, (at, last_position(connection)))


def _prunable(connection: sqlite3.Connection, horizon: Horizon) -> dict[Prunable, int]:
    before = to_microseconds(horizon.history_before)
    ((events,),) = rows(connection, _COUNT_HISTORY, (before, before))
    ((keys,),) = rows(connection, _COUNT_KEYS, (to_microseconds(horizon.keys_before),))
    ((begin,),) = rows(connection, _FEED_BEGIN)
    entries = 0 if begin is None else max(0, _feed_end(connection, horizon) - begin + 1)
    return {Prunable.HISTORY: events, Prunable.FEED: entries, Prunable.KEYS: keys}


def _feed_end(connection: sqlite3.Connection, horizon: Horizon) -> int:
    """The last position that may go: it is too old, or too many came after it."""
    noted = rows(connection, _NOTED, (to_microseconds(horizon.feed_before),))
    return max(noted[0][1] if noted else 0, last_position(connection) - horizon.feed_rows_max)


def _prune_history(connection: sqlite3.Connection, horizon: Horizon, after: int, limit: int) -> Pruned:
    """Look at the next events by number, and take away those of tasks that are over and were not touched since."""
    ((end,),) = rows(connection, _WINDOW_END, (after, limit))
    if end is None:
        return Pruned(0, None)
    before = to_microseconds(horizon.history_before)
    return Pruned(connection.execute(_PRUNE_HISTORY, (after, end, before, before)).rowcount, end)


def _prune_feed(connection: sqlite3.Connection, horizon: Horizon, after: int, limit: int) -> Pruned:
    """Take away the first entries. `after` says nothing here: what was pruned is gone from the front."""
    ((begin,),) = rows(connection, _FEED_BEGIN)
    last = _feed_end(connection, horizon)
    if begin is None or begin > last:
        for at, _ in rows(connection, _NOTED, (to_microseconds(horizon.feed_before),)):
            connection.execute(_FORGET_NOTES, (at,))
        return Pruned(0, None)
    end = min(last, begin + limit - 1)
    connection.execute(_SET_PRUNED_TO, (str(end),))
    return Pruned(connection.execute(_PRUNE_FEED, (end,)).rowcount, after + limit)


def _prune_keys(connection: sqlite3.Connection, horizon: Horizon, after: int, limit: int) -> Pruned:
    count = connection.execute(_PRUNE_KEYS, (to_microseconds(horizon.keys_before), limit)).rowcount
    return Pruned(count, after + count if count == limit else None)


_PRUNE = {Prunable.HISTORY: _prune_history, Prunable.FEED: _prune_feed, Prunable.KEYS: _prune_keys}
