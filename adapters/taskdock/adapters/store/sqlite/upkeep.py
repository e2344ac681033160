"""Upkeep: a store looked after while nobody, or somebody, uses it: checked, migrated, backed up.

Owns: `check`, `migrate`, `backup`.
Never: a mend; what is wrong is named, and the file stays as it is.
Reads as: `taskdock store check|migrate|backup` -> these -> sqlite3.

All three block, and raise StoreError (SchemaMismatch for a store of a newer Taskdock or somebody else's database).
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from taskdock.adapters.store.sqlite import connection, schema
from taskdock.adapters.store.sqlite.failures import translate
from taskdock.adapters.store.sqlite.records import KINDS
from taskdock.adapters.store.sqlite.rows import INTENT_COLUMNS, read_intent
from taskdock.core.codec import decode
from taskdock.core.errors import SchemaMismatch, StoreError

_SHOWN_MAX = 20
"""Of one kind of problem; the rest is counted."""
_PAGES_AT_ONCE = 1_024
_PAUSE_SECONDS = 0.01

_Problems = Iterator[str]

_ORPHANS = {
    "tab {} belongs to no task": "SELECT id FROM tab WHERE task_id NOT IN (SELECT id FROM task)",
    "message {} belongs to no tab": "SELECT id FROM message WHERE tab_id NOT IN (SELECT id FROM tab)",
    "message {} is of another task than its tab": """
        SELECT message.id FROM message JOIN tab ON tab.id = message.tab_id WHERE tab.task_id <> message.task_id""",
    "message {} has no text": "SELECT id FROM message WHERE text IS NULL",
    "task {} has no boundary": "SELECT id FROM task WHERE id NOT IN (SELECT id FROM boundary)",
    "repo {} has no boundary": "SELECT id FROM repo WHERE id NOT IN (SELECT id FROM boundary)",
    "intent {} belongs to no boundary": "SELECT id FROM intent WHERE boundary NOT IN (SELECT id FROM boundary)",
    "branch {} is held by no task": "SELECT branch FROM branch_hold WHERE task_id NOT IN (SELECT id FROM task)",
    "the read marker of tab {} belongs to no tab": """
        SELECT DISTINCT tab_id FROM read_marker WHERE tab_id NOT IN (SELECT id FROM tab)""",
    "the draft of tab {} belongs to no tab": """
        SELECT DISTINCT tab_id FROM draft WHERE tab_id NOT IN (SELECT id FROM tab)""",
    "the transcript of tab {} belongs to no tab": """
        SELECT DISTINCT tab_id FROM transcript WHERE tab_id NOT IN (SELECT id FROM tab)""",
}
_VERSIONS = {
    "task {} is newer than its boundary": """
        SELECT task.id FROM task JOIN boundary ON boundary.id = task.id WHERE task.version > boundary.version""",
    "tab {} is newer than its boundary": """
        SELECT tab.id FROM tab JOIN boundary ON boundary.id = tab.task_id WHERE tab.version > boundary.version""",
    "message {} is newer than its boundary": """
        SELECT message.id FROM message JOIN boundary ON boundary.id = message.task_id
        WHERE message.version > boundary.version""",
    "repo {} is newer than its boundary": """
        SELECT repo.id FROM repo JOIN boundary ON boundary.id = repo.id WHERE repo.version > boundary.version""",
    "intent {} has a number that its boundary has not reached": """
        SELECT intent.id FROM intent JOIN boundary ON boundary.id = intent.boundary
        WHERE CAST(substr(intent.id, length(intent.boundary) + 2) AS INTEGER) > boundary.runs""",
    "subject {} has two executions at once": """
        SELECT boundary || '/' || subject FROM intent WHERE status <> 'open' GROUP BY boundary, subject
        HAVING count(*) > 1""",
}
_POSITIONS = {
    "the transcript of tab {} has a gap": """
        SELECT tab_id FROM transcript GROUP BY tab_id HAVING max(position) <> count(*) OR min(position) <> 1""",
    "the feed has a gap before {}": """
        SELECT position FROM feed WHERE position - 1 NOT IN (SELECT position FROM feed)
        AND position <> (SELECT min(position) FROM feed)""",
    "the feed was pruned up to {}, and has entries before it": """
        SELECT value FROM meta WHERE name = 'feed_pruned_to'
        AND CAST(value AS INTEGER) >= (SELECT min(position) FROM feed)""",
}
_COUNTS = (_ORPHANS, _VERSIONS, _POSITIONS)


def check(path: Path) -> Sequence[str]:
    """What is wrong with a store, in sentences; nothing when it is sound. Writes nothing, and works beside its users."""
    with _errors(), closing(_existing(path)) as store:
        schema.refuse_foreign(store)
        if schema.version_of(store) != schema.VERSION:
            return [
                f"the schema is {schema.version_of(store)}, this Taskdock wants {schema.VERSION}: migrate it"
            ]
        store.execute("BEGIN")
        damage = [text for (text,) in store.execute("PRAGMA integrity_check") if text != "ok"]
        if damage:
            # What SQLite itself cannot read says nothing about our own rules.
            return [f"the file is damaged: {text}" for text in damage]
        found = list(_broken_rules(store))
        found.extend(_unreadable(store))
        return found


def migrate(path: Path) -> tuple[int, int]:
    """Bring a store up to this code's schema; the number of its schema before and after."""
    with _errors():
        with closing(_existing(path)) as store:
            schema.refuse_foreign(store)
            before = schema.version_of(store) or 0
        with closing(connection.connect_writer(path, "FULL", connection.Limits())) as store:
            schema.bring_up(store)
            return before, schema.version_of(store) or 0


def backup(path: Path, into: Path) -> int:
    """Copy a store, also one in use, into a new file that only its owner may read; its size in bytes.

    StoreError when `into` is there already. A copy that fails is removed again.
    """
    with _errors(), closing(_existing(path)) as store:
        schema.refuse_foreign(store)
        try:
            os.close(os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreError(f"The backup {into} cannot be made: {error.strerror}.") from error
        try:
            _copy(store, into)
        except BaseException:
            with suppress(OSError):
                into.unlink()
            raise
        return into.stat().st_size


def _copy(store: sqlite3.Connection, into: Path) -> None:
    """Copy one moment of the store into one whole file, durable."""
    # Within a transaction, so that writers do not make the copy begin again and again.
    store.execute("BEGIN")
    schema.version_of(store)
    with closing(sqlite3.connect(into, isolation_level=None)) as copy:
        store.backup(copy, pages=_PAGES_AT_ONCE, sleep=_PAUSE_SECONDS)
        copy.execute("PRAGMA journal_mode = DELETE")
    descriptor = os.open(into, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _existing(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise StoreError(f"There is no store {path}.")
    return connection.connect_reader(path, connection.Limits())


def _broken_rules(store: sqlite3.Connection) -> _Problems:
    for table in _COUNTS:
        for sentence, statement in table.items():
            yield from _bounded(sentence, [str(name) for (name,) in store.execute(statement)])


def _unreadable(store: sqlite3.Connection) -> _Problems:
    """Documents that this code cannot read: it would fail when it met them."""
    for name, kind in KINDS.items():
        rows = store.execute(f"SELECT id, body FROM {name}")  # noqa: S608 - our own tables
        yield from _bounded(
            f"{name} {{}} cannot be read", [id_ for id_, body in rows if not _reads(decode, kind, body)]
        )
    intents = store.execute(f"SELECT {INTENT_COLUMNS} FROM intent")  # noqa: S608 - constants
    broken = [str(row[0]) for row in intents if not _reads(read_intent, row)]
    yield from _bounded("intent {} cannot be read", broken)


def _reads(read: Callable[..., object], *arguments: object) -> bool:
    try:
        read(*arguments)
    except SchemaMismatch:
        return False
    return True


def _bounded(sentence: str, names: Sequence[str]) -> _Problems:
    yield from (sentence.format(name) for name in names[:_SHOWN_MAX])
    if len(names) > _SHOWN_MAX:
        yield f"{sentence.format('…')}: {len(names) - _SHOWN_MAX:,} more"


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error) from error
