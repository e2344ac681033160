"""Database: one file opened: its committer and its readers.

Owns: the order of opening and closing.
Never: SQL; and no import of what uses it.
Reads as: store.py (open) -> `opened` -> connection, schema, committer, readers.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
from attrs import frozen

from taskdock.adapters.store.sqlite import connection, schema
from taskdock.adapters.store.sqlite.committer import Committer
from taskdock.adapters.store.sqlite.connection import Limits, Synchronous
from taskdock.adapters.store.sqlite.failures import translate
from taskdock.adapters.store.sqlite.readers import Readers


@frozen
class Database:
    """What everything in this folder works on."""

    committer: Committer
    readers: Readers


@asynccontextmanager
async def opened(
    path: Path, *, synchronous: Synchronous, limits: Limits, on_commit: Callable[[int], None] | None
) -> AsyncIterator[Database]:
    """Open the file, making or migrating it; on leaving, write what waits and close, also when cancelled."""
    writer, reading = await anyio.to_thread.run_sync(_connect, path, synchronous, limits)
    committer = Committer(writer, waiting_max=limits.waiting_max, on_commit=on_commit)
    readers = Readers(reading, waiting_max=limits.waiting_max)
    batchings = (committer.batching, readers.batching)
    host_error: Exception | None = None
    try:
        async with anyio.create_task_group() as group:
            for batching in batchings:
                group.start_soon(batching.run)
            try:
                yield Database(committer, readers)
            except Exception as error:  # noqa: BLE001 - raised below, bare: the group would wrap it
                host_error = error
            finally:
                for batching in batchings:
                    batching.close()
        if host_error is not None:
            raise host_error
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_close, readers, writer)


def _connect(
    path: Path, synchronous: Synchronous, limits: Limits
) -> tuple[sqlite3.Connection, list[sqlite3.Connection]]:
    connections: list[sqlite3.Connection] = []
    try:
        connection.make_file(path)
        connections.extend(connection.connect_reader(path, limits) for _ in range(1 + limits.long_reads))
        schema.refuse_foreign(connections[0])
        writer = connection.connect_writer(path, synchronous, limits)
        connections.append(writer)
        schema.bring_up(writer)
    except BaseException as error:
        for opened_one in connections:
            opened_one.close()
        if isinstance(error, sqlite3.Error):
            raise translate(error) from error
        raise
    return writer, connections[:-1]


def _close(readers: Readers, writer: sqlite3.Connection) -> None:
    """Close the writer last, so that it is the one to fold the log into the file."""
    readers.close()
    writer.close()
