"""Marks: what a principal has read of a tab, and what it is writing there, read back.

Owns: the statements over `read_marker` and `draft`.
Never: a write; records.py has those.
Reads as: reads.py -> these -> readers.py -> rows.
"""

import json
import sqlite3
from collections.abc import Sequence

from taskdock.adapters.store.sqlite.readers import rows
from taskdock.core.reader import DraftText, ReadMarker, reader_id
from taskdock.ports.store import Versioned

_TURNS = "SELECT turns FROM read_marker WHERE tab_id = ? AND principal = ?"
_TURNS_OF_TABS = """
SELECT marker.tab_id, marker.turns FROM json_each(?) AS wanted
JOIN read_marker AS marker ON marker.tab_id = wanted.value AND marker.principal = ?"""
_DRAFT_TEXT = "SELECT text FROM draft WHERE tab_id = ? AND principal = ?"
_MARKER = (
    "SELECT tab_id, task_id, principal, turns, version FROM read_marker WHERE tab_id = ? AND principal = ?"
)
_DRAFT = "SELECT tab_id, task_id, principal, text, version FROM draft WHERE tab_id = ? AND principal = ?"


def turns_read(connection: sqlite3.Connection, tab_id: str, principal: str) -> int:
    """Up to which turn; 0 without a marker."""
    found = rows(connection, _TURNS, (tab_id, principal))
    return int(found[0][0]) if found else 0


def turns_read_of(connection: sqlite3.Connection, principal: str, tab_ids: Sequence[str]) -> dict[str, int]:
    """The same of many tabs with one statement, however many they are."""
    return dict(rows(connection, _TURNS_OF_TABS, (json.dumps(list(tab_ids)), principal)))


def draft_text(connection: sqlite3.Connection, tab_id: str, principal: str) -> str | None:
    """The draft; None without one."""
    found = rows(connection, _DRAFT_TEXT, (tab_id, principal))
    return found[0][0] if found else None


def mark(connection: sqlite3.Connection, kind: str, record_id: str) -> Versioned | None:
    """A marker or a draft by its id."""
    tab_id, _, principal = record_id.partition("/")
    found = rows(connection, _MARKER if kind == "marker" else _DRAFT, (tab_id, principal))
    if not found:
        return None
    tab_id, task_id, principal, value, version = found[0]
    record = ReadMarker if kind == "marker" else DraftText
    return Versioned(record(reader_id(tab_id, principal), tab_id, task_id, principal, value), version)
