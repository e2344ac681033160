"""Schema: whether this code may use a store, and bringing it up to what this code expects.

Owns: `VERSION`, the refusal of what is newer or not ours, and the one transaction that migrates.
Never: a write to a file that is refused.
Reads as: store.py (open) -> `refuse_foreign` -> connection -> `bring_up`.
"""

import sqlite3

from taskdock.core.errors import SchemaMismatch

VERSION = 4
"""Of the schema; raised with every new step in migrations.py."""


def refuse_foreign(connection: sqlite3.Connection) -> None:
    """Raise SchemaMismatch for a store that a newer Taskdock wrote, and for a database that is no store. Only reads."""
    version = version_of(connection)
    if version is not None and version > VERSION:
        raise SchemaMismatch(
            f"The store has schema {version}, this Taskdock knows up to {VERSION}: it was left untouched. "
            "Install the Taskdock that wrote it, or a newer one."
        )
    if version is None and _tables(connection):
        raise SchemaMismatch(
            "The file is a database of something else: it was left untouched. Name another file."
        )


def bring_up(connection: sqlite3.Connection) -> None:
    """Migrate the store unless it is current; of several processes at once, one does it and the others find it done."""
    if version_of(connection) == VERSION:
        return
    # Only a store that is behind pays the 80 ms that this import takes.
    from taskdock.adapters.store.sqlite import migrations  # noqa: PLC0415

    connection.execute("BEGIN IMMEDIATE")
    try:
        refuse_foreign(connection)
        migrations.apply(connection)
        connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('schema', ?)", [str(VERSION)])
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def version_of(connection: sqlite3.Connection) -> int | None:
    """The number of a store's schema; None for a file that is no store (yet)."""
    if "meta" not in _tables(connection):
        return None
    row = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    return None if row is None else int(row[0])


def _tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {name for (name,) in rows}
