"""Transcripts: what agents said and did, appended beside the machines.

Owns: the gapless positions of a tab's items, and which items are there already.
Never: a change to an item that was appended.
Reads as: store.py (append) -> `AppendUnit(items)` -> committer.py calls it; reads.py -> `read_items`, `last_event`.
"""

import sqlite3
from collections.abc import Sequence

from taskdock.adapters.store.sqlite.commits import FEED_WIDTH, INSERT_FEED, insert
from taskdock.adapters.store.sqlite.committer import last_position
from taskdock.adapters.store.sqlite.readers import rows
from taskdock.adapters.store.sqlite.rows import read_json, to_microseconds, to_time, write_json
from taskdock.ports.store import Item, NewItem

_END = "SELECT max(position) FROM transcript WHERE tab_id = ?"
_INSERT = (
    "INSERT INTO transcript (tab_id, position, source, event, kind, body, at) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (tab_id, source, event) DO NOTHING"
)
_WORKSPACE = "SELECT workspace FROM boundary WHERE id = ?"
_ITEMS = (
    "SELECT tab_id, position, source, kind, body, at FROM transcript WHERE tab_id = ? AND position > ? "
    "ORDER BY position LIMIT ?"
)
_LAST_EVENT = "SELECT event FROM transcript WHERE tab_id = ? AND source = ? ORDER BY position DESC LIMIT 1"


class AppendUnit:
    """Items of any tabs, encoded. Called by the committer; the last feed position."""

    __slots__ = ("_of_tab",)

    def __init__(self, items: Sequence[NewItem]) -> None:
        self._of_tab: dict[tuple[str, str], list[tuple[str, str, str, str, int]]] = {}
        for item in items:
            row = (item.source, item.event, item.kind, write_json(item.body), to_microseconds(item.at))
            self._of_tab.setdefault((item.tab_id, item.task_id), []).append(row)

    def __call__(self, connection: sqlite3.Connection) -> int:
        """Append what is new; one feed entry for each tab that grew, with its end."""
        entries: list[tuple[object, ...]] = []
        for (tab_id, task_id), items in self._of_tab.items():
            before = connection.execute(_END, (tab_id,)).fetchone()[0] or 0
            end = before
            for source, event, kind, body, at in items:
                row = (tab_id, end + 1, source, event, kind, body, at)
                end += connection.execute(_INSERT, row).rowcount
            if end > before:
                workspace = connection.execute(_WORKSPACE, (task_id,)).fetchone()
                entries.append(("transcript", tab_id, end, workspace[0] if workspace else "", task_id))
        return insert(connection, INSERT_FEED, FEED_WIDTH, entries) or last_position(connection)


def read_items(connection: sqlite3.Connection, tab_id: str, after: int, limit: int) -> list[Item]:
    """Read items of a tab after a position, in order."""
    return [
        Item(tab, position, source, kind, read_json(body), to_time(at))
        for tab, position, source, kind, body, at in rows(connection, _ITEMS, (tab_id, after, limit))
    ]


def last_event(connection: sqlite3.Connection, tab_id: str, source: str) -> str | None:
    """Read the event of the newest item of a source."""
    found = rows(connection, _LAST_EVENT, (tab_id, source))
    return found[0][0] if found else None
