"""Failures: what SQLite's error codes mean in Taskdock's errors, in one table.

Owns: every look at an error code, and the words for whoever has to mend it.
Never: SQLite's message where it could quote a value; the code says what happened.
Reads as: committer.py, readers.py, connection.py (a sqlite3.Error) -> this -> a StoreError.
"""

import sqlite3

from taskdock.core.errors import CapacityExceeded, InvariantViolated, StoreError, TaskdockError

_PRIMARY = 0xFF
"""An extended code holds the primary one in its lowest byte."""

_REASONS = {
    sqlite3.SQLITE_BUSY: (
        "another process kept the store locked for too long; look for one that holds a transaction open on it "
        "(a sqlite3 shell, a backup), end it, and try again"
    ),
    sqlite3.SQLITE_LOCKED: "another connection kept a table of the store locked; try again",
    sqlite3.SQLITE_FULL: "the disk is full; make room, and try again",
    sqlite3.SQLITE_IOERR: "the disk could not be read or written; see the system's log before trying again",
    sqlite3.SQLITE_READONLY: "the store's file cannot be written to; mend its owner or its mode",
    sqlite3.SQLITE_PERM: "the store's file may not be opened; mend its owner or its mode",
    sqlite3.SQLITE_CANTOPEN: "the store's file cannot be opened; see that its folder exists and may be written to",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database; name another file",
    sqlite3.SQLITE_CORRUPT: "the store's file is damaged; stop every process that uses it and restore a backup",
    sqlite3.SQLITE_TOOBIG: "a value is larger than a SQLite row may be",
    sqlite3.SQLITE_NOMEM: "the memory is used up",
    sqlite3.SQLITE_INTERRUPT: "the statement was interrupted",
    sqlite3.SQLITE_PROTOCOL: "the processes that share the store could not agree on its log; try again",
}

_BUGS = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH})


class WaitingRoomFull(StoreError, CapacityExceeded):
    """More waits than the store lets wait: for a scheduler a StoreError, for a client an error that says when to come."""

    def __init__(self, waiting: int, *, retry_after_seconds: float) -> None:
        CapacityExceeded.__init__(
            self,
            f"{waiting:,} calls wait for the store already; come back in {retry_after_seconds:g} s.",
            retry_after_seconds=retry_after_seconds,
        )


def translate(error: sqlite3.Error) -> TaskdockError | InvariantViolated:
    """Make one of ours of SQLite's error: a StoreError, or InvariantViolated where only a bug of ours can be the cause."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if code & _PRIMARY in _BUGS:
        return InvariantViolated(f"The store refused a row that must never be written ({name}).")
    reason = _REASONS.get(code & _PRIMARY, f"SQLite could not carry out a statement: {error}")
    return StoreError(f"The store failed ({name}): {reason}.")
