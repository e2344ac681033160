"""Connection: how the store's file is opened, for its one writer and for its readers.

Owns: the file's mode, the pragmas, the wait for a lock, and `Limits`.
Never: a transaction that Python's sqlite3 opens by itself; `isolation_level` is None everywhere.
Reads as: store.py (open) -> these -> sqlite3.
"""

import os
import sqlite3
import time
from pathlib import Path
from typing import Literal

from attrs import frozen

from taskdock.core.errors import StoreError

Synchronous = Literal["FULL", "NORMAL"]
"""FULL: an acknowledged commit survives a loss of power. NORMAL: only that of the process, and commits cost less."""

_STATEMENTS_CACHED = 256
_LOG_BYTES_KEPT = 64 * 1024 * 1024
_PAUSE_SECONDS = 0.01
_PAUSE_SECONDS_MAX = 0.25


@frozen
class Limits:
    """What a store allows: how many writes (and look-ups) wait, how many long reads run, how long a lock is waited for."""

    waiting_max: int = 10_000
    long_reads: int = 3
    lock_timeout_seconds: float = 5.0


def make_file(path: Path) -> None:
    """Make an empty file that only its owner may read, unless there is one; SQLite gives its log the same mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"The store {path} cannot be opened or made: {error.strerror}.") from error


def connect_writer(path: Path, synchronous: Synchronous, limits: Limits) -> sqlite3.Connection:
    """Open the connection that writes, with the log ahead of the file (WAL)."""
    connection = _connect(str(path), limits)
    try:
        _use_log(connection, limits)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES_KEPT}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, limits: Limits) -> sqlite3.Connection:
    """Open a connection that cannot write."""
    return _connect(f"{path.absolute().as_uri()}?mode=ro", limits)


def _connect(database: str, limits: Limits) -> sqlite3.Connection:
    return sqlite3.connect(
        database,
        timeout=limits.lock_timeout_seconds,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS_CACHED,
        uri=database.startswith("file:"),
    )


def _use_log(connection: sqlite3.Connection, limits: Limits) -> None:
    """Turn WAL on; the file remembers it. SQLite does not wait for its lock here, so this does, with a deadline."""
    give_up_at = time.monotonic() + limits.lock_timeout_seconds
    pause = _PAUSE_SECONDS
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(pause)
            pause = min(pause * 2, _PAUSE_SECONDS_MAX)
    if mode != "wal":
        raise StoreError(
            "The store's file system has no shared memory for SQLite's log: keep the store on a local disk."
        )
