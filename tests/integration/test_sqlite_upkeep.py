"""SQLite upkeep: a check names what is wrong, a backup is whole although its store is in use."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from taskdock.adapters.store.sqlite import upkeep
from taskdock.adapters.store.sqlite.store import SqliteStore
from taskdock.adapters.store.sqlite.upkeep import backup, check, migrate
from taskdock.core.errors import SchemaMismatch, StoreError
from taskdock.core.inputs import OpenTab
from taskdock.core.tab import Tab
from taskdock.ports.store import Commit, NewItem
from taskdock.testing.conformance.store_under_test import NOW, creation, decide, tab_id, task_id

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a store with a few tasks, a held branch and a transcript."""
    path = tmp_path / "taskdock.db"

    async def fill() -> None:
        async with SqliteStore.open(path) as store:
            for number in range(1, 4):
                await store.commit(Commit((creation(number, branch=f"b{number}"),)))
            item = NewItem(tab_id(1), task_id(1), "agent", "1", "text", {"text": "x"}, NOW)
            await store.append([item])

    anyio.run(fill)
    return path


WRONG = {
    f"tab {tab_id(1)} belongs to no task": "UPDATE tab SET task_id = 'task-0' WHERE id = :tab",
    "message msg-00000000000000000001 belongs to no tab": "UPDATE message SET tab_id = 'tab-0' WHERE tab_id = :tab",
    "message msg-00000000000000000001 has no text": "UPDATE message SET text = NULL WHERE tab_id = :tab",
    f"task {task_id(1)} has no boundary": "DELETE FROM boundary WHERE id = :task",
    f"task {task_id(1)} is newer than its boundary": "UPDATE task SET version = 9 WHERE id = :task",
    f"tab {tab_id(1)} is newer than its boundary": "UPDATE tab SET version = 9 WHERE id = :tab",
    f"intent {task_id(1)}#1 has a number that its boundary has not reached": (
        "UPDATE boundary SET runs = 0 WHERE id = :task"
    ),
    "branch b1 is held by no task": "UPDATE branch_hold SET task_id = 'task-0' WHERE task_id = :task",
    f"the transcript of tab {tab_id(1)} has a gap": "UPDATE transcript SET position = 2 WHERE tab_id = :tab",
    "the feed has a gap before 3": "DELETE FROM feed WHERE position = 2 AND :tab <> ''",
    "the feed was pruned up to 3, and has entries before it": (
        "INSERT INTO meta (name, value) SELECT 'feed_pruned_to', '3' WHERE :tab <> ''"
    ),
    f"task {task_id(1)} cannot be read": "UPDATE task SET body = '{}' WHERE id = :task",
    f"intent {task_id(1)}#1 cannot be read": (
        "UPDATE intent SET body = replace(body, 'EnsureName', 'EnsureFame') WHERE boundary = :task"
    ),
    f"subject {task_id(1)}/name has two executions at once": (
        "INSERT INTO intent SELECT 99, boundary || '#0', boundary, workspace, 'name', lane, kind, body, attempt, "
        "created_at, not_before, deadline_at, issue, started, 'running', due FROM intent WHERE boundary = :task"
    ),
}  # fmt: skip


def test_a_sound_store_has_no_problem(path: Path) -> None:
    """A store as Taskdock leaves it is sound."""
    assert check(path) == []


@pytest.mark.parametrize("sentence", WRONG)
def test_what_is_wrong_is_named(path: Path, sentence: str) -> None:
    """Each rule that is broken is named with the record that breaks it, and the check mends nothing."""
    with closing(sqlite3.connect(path)) as connection, connection:
        statement = WRONG[sentence]
        if "two executions" in sentence:
            connection.execute("UPDATE intent SET subject = 'name', status = 'running'")
        named = {
            key: value for key, value in (("tab", tab_id(1)), ("task", task_id(1))) if f":{key}" in statement
        }
        assert connection.execute(statement, named).rowcount == 1
    assert sentence in check(path)
    assert sentence in check(path)


def test_a_damaged_file_is_named(path: Path) -> None:
    """A file that SQLite itself cannot read whole is said to be damaged."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'feed'").fetchall()
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 + 8 : (page - 1) * 4096 + 600] = b"\xff" * 592
    path.write_bytes(content)
    try:
        problems = check(path)
    except StoreError as error:
        assert "damaged" in str(error)  # noqa: PT017 - SQLite may refuse before the check gets so far
        return
    assert problems
    assert all(problem.startswith("the file is damaged") for problem in problems)


def test_many_problems_are_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many problems of one kind the first are named, and the rest is counted."""
    monkeypatch.setattr(upkeep, "_SHOWN_MAX", 2)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tab SET version = 9")
    problems = check(path)
    assert problems[-1] == "tab … is newer than its boundary: 1 more"
    assert len(problems) == 3


@pytest.mark.parametrize("act", [check, migrate])
def test_what_is_no_store_is_said(tmp_path: Path, act: object) -> None:
    """A file that is not there is not made, and another program's database is left alone."""
    assert callable(act)
    with pytest.raises(StoreError, match=r"There is no store .*none\.db"):
        act(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection, connection:
        connection.execute("CREATE TABLE invoices (id)")
    with pytest.raises(SchemaMismatch, match="something else"):
        act(tmp_path / "other.db")


async def test_a_backup_of_a_store_in_use_is_whole(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While tabs are opened, a backup is one moment of the store, private, by itself, and can be opened."""
    monkeypatch.setattr(upkeep, "_PAGES_AT_ONCE", 1)
    into, stop, size = tmp_path / "copy.db", anyio.Event(), 0
    opened: list[int] = []

    async def write(store: SqliteStore) -> None:
        # Each commit would make a copy that is not of one moment begin again; it must end all the same.
        while not stop.is_set() and len(opened) < 600:
            change = decide(await store.load(task_id(1)), OpenTab(f"tab-{len(opened)}"))
            await store.commit(Commit((change,)))
            opened.append(change.version)

    long = NewItem(tab_id(2), task_id(2), "agent", "1", "text", {"text": "x" * 20_000_000}, NOW)
    async with SqliteStore.open(path) as store, anyio.create_task_group() as group:
        await store.append([long])
        group.start_soon(write, store)
        size = await anyio.to_thread.run_sync(backup, path, into)
        stop.set()
    assert size == into.stat().st_size > 0
    assert stat.S_IMODE(into.stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["copy.db", "taskdock.db"]  # noqa: PTH208 - two names
    assert check(into) == []
    async with SqliteStore.open(into) as copy:
        loaded = await copy.load(task_id(1))
    assert len([one for one in loaded.records if isinstance(one, Tab)]) == loaded.version
    assert loaded.version <= opened[-1] < 600, opened[-1]


def test_a_backup_replaces_nothing(path: Path, tmp_path: Path) -> None:
    """A file that is there is not overwritten, and a folder that is not there is not made."""
    into = tmp_path / "mine.db"
    into.write_text("mine")
    with pytest.raises(StoreError, match=r"mine\.db cannot be made: File exists"):
        backup(path, into)
    assert into.read_text() == "mine"
    with pytest.raises(StoreError, match="No such file"):
        backup(path, tmp_path / "none" / "copy.db")


def test_a_backup_that_fails_leaves_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a copy is removed again."""

    def fail(store: sqlite3.Connection, into: Path) -> None:
        del store
        into.write_text("half")
        raise sqlite3.OperationalError("disk full")

    monkeypatch.setattr(upkeep, "_copy", fail)
    with pytest.raises(StoreError):
        backup(path, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()
