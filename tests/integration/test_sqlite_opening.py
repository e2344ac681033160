"""SQLite store opened: what it makes, what it refuses, and what it leaves alone."""

import sqlite3
import stat
import threading
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import anyio
import anyio.to_thread
import pytest
from sqlite_utils import hookimpl
from sqlite_utils.plugins import pm

from taskdock.adapters.store.sqlite import migrations, schema
from taskdock.adapters.store.sqlite.connection import Limits, connect_writer, make_file
from taskdock.adapters.store.sqlite.store import SqliteStore
from taskdock.core.errors import SchemaMismatch, StoreError
from taskdock.ports.store import Commit
from taskdock.testing.conformance.store_under_test import creation, task_id

pytestmark = pytest.mark.anyio

TABLES = {
    "_sqlite_migrations", "boundary", "branch_hold", "branches", "draft", "feed", "feed_at", "history", "idempotency_key",
    "intent", "job", "message", "meta", "read_marker", "repo", "sqlite_sequence", "tab", "task", "transcript",
}  # fmt: skip


def run(path: Path, *statements: str) -> None:
    """Change the file as another program would."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def ask(path: Path, statement: str) -> list[tuple[object, ...]]:
    """Ask the file as another program would."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def modes_in(folder: Path) -> dict[str, int]:
    """Who may do what with each file of a folder."""
    return {one.name: stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()}


async def fill(store: SqliteStore) -> None:
    """Put one task into it."""
    await store.commit(Commit((creation(1),)))


async def test_new_store_is_private(tmp_path: Path) -> None:
    """Nobody but its owner may read a store or its log, whatever the umask says."""
    path = tmp_path / "taskdock.db"
    async with SqliteStore.open(path) as store:
        await fill(store)
        assert modes_in(tmp_path) == {
            "taskdock.db": 0o600,
            "taskdock.db-wal": 0o600,
            "taskdock.db-shm": 0o600,
        }


async def test_schema_is_what_the_migrations_say(tmp_path: Path) -> None:
    """After real use there is no table but those of the schema: no statement makes one by a slip."""
    path = tmp_path / "taskdock.db"
    async with SqliteStore.open(path) as store:
        await fill(store)
        await store.snapshot("acme", task_id(1))
    assert {name for (name,) in ask(path, "SELECT name FROM sqlite_master WHERE type = 'table'")} == TABLES
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert ask(path, "PRAGMA journal_mode") == [("wal",)]
    assert ask(path, "SELECT value FROM meta WHERE name = 'schema'") == [(str(schema.VERSION),)]


async def test_every_table_is_strict(tmp_path: Path) -> None:
    """SQLite itself refuses a value of another type than the column's."""
    path = tmp_path / "taskdock.db"
    async with SqliteStore.open(path):
        pass
    ours = TABLES - {"_sqlite_migrations", "sqlite_sequence"}
    assert {name for (name,) in ask(path, "SELECT name FROM pragma_table_list WHERE strict = 1")} == ours


@pytest.mark.parametrize(("synchronous", "number"), [("FULL", 2), ("NORMAL", 1)])
async def test_synchronous_is_what_was_asked_for(tmp_path: Path, synchronous: str, number: int) -> None:
    """The connection that writes has the durability that was asked for."""
    assert synchronous in {"FULL", "NORMAL"}
    async with SqliteStore.open(tmp_path / "taskdock.db", synchronous=synchronous) as store:  # type: ignore[arg-type]
        found = await store._database.committer.submit(lambda c: c.execute("PRAGMA synchronous").fetchone())
        assert found == (number,)


async def test_connections_begin_nothing_by_themselves(tmp_path: Path) -> None:
    """Neither writer nor readers open transactions behind our back, and the readers cannot write."""
    async with SqliteStore.open(tmp_path / "taskdock.db") as store:
        readers = store._database.readers
        connections = [store._database.committer._connection, readers._for_look_ups, *readers._free]
        assert [connection.isolation_level for connection in connections] == [None] * 5
        assert not any(connection.in_transaction for connection in connections)
        with pytest.raises(StoreError, match="SQLITE_READONLY"):
            await readers.run(lambda connection: connection.execute("DELETE FROM meta"))


async def test_plugins_of_sqlite_utils_stay_out(tmp_path: Path) -> None:
    """A sqlite-utils plugin that is installed for other purposes does not get our connections."""
    met: list[object] = []

    @hookimpl
    def prepare_connection(conn: object) -> None:
        met.append(conn)

    plugin = SimpleNamespace(prepare_connection=prepare_connection)
    pm.register(plugin)
    try:
        async with SqliteStore.open(tmp_path / "taskdock.db") as store:
            await fill(store)
    finally:
        pm.unregister(plugin)
    assert met == []


async def test_newer_store_is_left_untouched(tmp_path: Path) -> None:
    """A store of a newer Taskdock is refused, and not a byte of it changes."""
    path = tmp_path / "taskdock.db"
    async with SqliteStore.open(path) as store:
        await fill(store)
    run(path, "UPDATE meta SET value = value + 1 WHERE name = 'schema'")
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    with pytest.raises(SchemaMismatch, match=f"schema {schema.VERSION + 1}, this Taskdock knows up to"):
        async with SqliteStore.open(path):
            pytest.fail("it was opened")
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


async def test_database_of_something_else_is_left_untouched(tmp_path: Path) -> None:
    """A database that is no store is refused, and not a byte of it changes."""
    path = tmp_path / "other.db"
    run(path, "CREATE TABLE invoices (id)")
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    with pytest.raises(SchemaMismatch, match="something else"):
        async with SqliteStore.open(path):
            pytest.fail("it was opened")
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


async def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A file that is no database gives a StoreError that says so."""
    path = tmp_path / "notes.txt"
    path.write_text("Not a database, but long enough to have a header to look at. " * 20)
    with pytest.raises(StoreError, match="no SQLite database"):
        async with SqliteStore.open(path):
            pytest.fail("it was opened")


async def test_missing_folder_is_an_error_with_the_path(tmp_path: Path) -> None:
    """A folder that does not exist gives a StoreError with the path, and is not made."""
    path = tmp_path / "missing" / "taskdock.db"
    with pytest.raises(StoreError, match=str(path)):
        async with SqliteStore.open(path):
            pytest.fail("it was opened")
    assert not path.parent.exists()


@pytest.mark.parametrize("name", ["with space.db", "what?mode=ro#x.db", "50%25.db", "äö.db"])
async def test_path_may_hold_anything(tmp_path: Path, name: str) -> None:
    """A path with what means something in a URI is taken as it is, by writer and readers alike."""
    async with SqliteStore.open(tmp_path / name) as store:
        await fill(store)
        assert (await store.load(task_id(1))).version == 1
    assert (tmp_path / name).exists()


async def test_opening_waits_for_no_writer(tmp_path: Path) -> None:
    """A store that is current opens and can be read while another process writes."""
    path = tmp_path / "taskdock.db"
    async with SqliteStore.open(path) as store:
        await fill(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with anyio.fail_after(2):
            async with SqliteStore.open(path) as store:
                assert (await store.load(task_id(1))).version == 1
        other.execute("ROLLBACK")


async def test_migration_waits_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds another process making the store waits for it and uses what it made."""
    path, looked = tmp_path / "taskdock.db", threading.Event()
    make_file(path)
    with closing(connect_writer(path, "NORMAL", Limits())) as first:
        first.execute("BEGIN IMMEDIATE")
        refuse = schema.refuse_foreign

        def refuse_and_say(connection: sqlite3.Connection) -> None:
            refuse(connection)
            looked.set()

        monkeypatch.setattr(schema, "refuse_foreign", refuse_and_say)
        async with anyio.create_task_group() as group:
            group.start_soon(open_and_fill, path)
            await anyio.to_thread.run_sync(looked.wait, 10)
            migrations.apply(first)
            first.execute("INSERT INTO meta (name, value) VALUES ('schema', ?)", [str(schema.VERSION)])
            first.execute("COMMIT")
    assert ask(path, "SELECT count(*) FROM meta WHERE name = 'owner'") == [(1,)]


async def test_making_waits_for_whoever_holds_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While somebody holds a new file, making the store tries again with pauses, and gives up in time."""
    path, pauses = tmp_path / "taskdock.db", list[float]()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="SQLITE_BUSY"):
            async with SqliteStore.open(path, limits=Limits(lock_timeout_seconds=0.2)):
                pytest.fail("it was opened")

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                other.execute("ROLLBACK")

        monkeypatch.setattr(time, "sleep", pause)
        await open_and_fill(path)
    assert pauses == sorted(pauses) == pytest.approx([0.01, 0.02, 0.04])


async def open_and_fill(path: Path) -> None:
    """Open the store, as another process would."""
    async with SqliteStore.open(path) as store:
        await fill(store)


async def test_error_of_the_host_comes_bare(tmp_path: Path) -> None:
    """What goes wrong in the host's block comes out as it is, in no group."""
    with pytest.raises(ValueError, match=r"^mine$"):
        async with SqliteStore.open(tmp_path / "taskdock.db"):
            raise ValueError("mine")


async def test_closed_store_says_so(tmp_path: Path) -> None:
    """A store that was closed answers every call with a StoreError."""
    async with SqliteStore.open(tmp_path / "taskdock.db") as store:
        pass
    for call in (store.load, store.repos):
        with pytest.raises(StoreError, match="closed"):
            await call("task-1")
    with pytest.raises(StoreError, match="closed"):
        await fill(store)
