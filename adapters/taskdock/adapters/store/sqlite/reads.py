"""Reads: what is shown, straight from the rows.

Owns: every question of `taskdock.ports.store.Reads`, each on one connection and in one moment.
Never: a write, and no waiting for one.
Reads as: services/reads.py -> these -> readers.py -> rows -> documents.py -> core.codec.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from taskdock.adapters.store.sqlite.commits import READ_KEY
from taskdock.adapters.store.sqlite.committer import last_position
from taskdock.adapters.store.sqlite.database import Database
from taskdock.adapters.store.sqlite.documents import decode
from taskdock.adapters.store.sqlite.marks import draft_text, mark, turns_read, turns_read_of
from taskdock.adapters.store.sqlite.readers import rows
from taskdock.adapters.store.sqlite.records import KINDS, Documented
from taskdock.adapters.store.sqlite.rows import read_json, to_time
from taskdock.adapters.store.sqlite.slices import OPEN_JOBS, OPEN_MESSAGES
from taskdock.adapters.store.sqlite.transcripts import last_event, read_items
from taskdock.core.branches import Branches
from taskdock.core.errors import PositionLost, SchemaMismatch
from taskdock.core.history import HistoryEvent, HistoryKind
from taskdock.core.job import Job
from taskdock.core.message import Message
from taskdock.core.repo import Repo
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from taskdock.ports.store import FeedEntry, Item, KeyUsed, Snapshot, StoredEvent, Versioned

_OWNER = "SELECT value FROM meta WHERE name = 'owner'"
_TASKS = "SELECT body, version FROM task WHERE workspace = ? ORDER BY created_at DESC, id DESC LIMIT ?"
_ONE_TASK = "SELECT body, version FROM task WHERE workspace = ? AND id = ?"
_TASKS_BEFORE = (
    "SELECT body, version FROM task WHERE workspace = ? "
    "AND (created_at, id) < (SELECT created_at, id FROM task WHERE id = ?) ORDER BY created_at DESC, id DESC LIMIT ?"
)
_REPOS = "SELECT body, version FROM repo WHERE workspace = ? ORDER BY name, created_at, id"
_REPO_NAMED = (
    "SELECT body FROM repo WHERE workspace = ? AND name = ? ORDER BY at = 'removed', created_at, id LIMIT 1"
)
_JOBS = "SELECT body, version FROM job WHERE repo_id = ? ORDER BY number DESC LIMIT ?"
_JOBS_BEFORE = "SELECT body, version FROM job WHERE repo_id = ? AND number < ? ORDER BY number DESC LIMIT ?"
_REPO_OF = "SELECT repo_id FROM job WHERE id = ?"
_HOLDERS = """
SELECT branch, task_id FROM branch_hold WHERE repo_id = ? AND branch IN (SELECT value FROM json_each(?))"""
_BRANCHES = "SELECT body, version FROM branches WHERE id = ?"
_OPEN_JOBS = f"SELECT body, version FROM job WHERE repo_id = ? AND {OPEN_JOBS} ORDER BY number"  # noqa: S608 - constants
_TASK_OF = "SELECT task_id FROM tab WHERE id = :id UNION ALL SELECT task_id FROM message WHERE id = :id"
_RECORD = {kind: f"SELECT body, version FROM {kind} WHERE id = ?" for kind in KINDS}  # noqa: S608 - our tables
_MESSAGES = "SELECT body FROM message WHERE tab_id = ? ORDER BY number"
_MESSAGE_TEXT = "SELECT text FROM message WHERE id = ?"
_EVENT = "SELECT number, boundary, kind, at, tab_id, data FROM history"
# The plus keeps SQLite from walking over the whole workspace instead of the one boundary.
_EVENTS_OF_BOUNDARY = f"{_EVENT} WHERE boundary = ? AND +workspace = ? AND number > ? ORDER BY number LIMIT ?"
_EVENTS_OF_WORKSPACE = f"{_EVENT} WHERE workspace = ? AND number > ? ORDER BY number LIMIT ?"
_FEED = "SELECT position, kind, id, version, workspace, boundary FROM feed WHERE position > ? ORDER BY position LIMIT ?"
PRUNED_TO = "SELECT value FROM meta WHERE name = 'feed_pruned_to'"
_OPEN_INTENTS = "SELECT count(*) FROM (SELECT 1 FROM intent WHERE workspace = ? LIMIT ?)"
_TABS = "SELECT body, version FROM tab WHERE task_id = ? ORDER BY number"
_OPEN_MESSAGES = f"""
SELECT message.body, message.version FROM message JOIN tab ON tab.id = message.tab_id
WHERE message.task_id = ? AND message.{OPEN_MESSAGES} ORDER BY tab.number, message.number"""  # noqa: S608 - constants
_READY_TABS = """
SELECT task.body, tab.body FROM tab JOIN task ON task.id = tab.task_id WHERE tab.at = 'ready'
ORDER BY tab.task_id, tab.number"""
_MARKS = ("marker", "draft")
_WHOLE_WORKSPACE = -1
"""No limit, in SQLite's words."""


_T = TypeVar("_T")
_Rows = list[tuple[Any, ...]]


class SqliteReads:
    """Implements `taskdock.ports.store.Reads`; the promises stand there."""

    _database: Database

    async def owner(self) -> str:
        """The id of this installation."""
        ((owner,),) = await self._look_up(_OWNER)
        return str(owner)

    async def tasks(self, workspace: str, *, limit: int, before: str | None = None) -> Sequence[Versioned]:
        """The newest tasks first; none when `before` is no task."""
        if before is None:
            return await self._list(_tasks, _TASKS, workspace, limit)
        return await self._list(_tasks, _TASKS_BEFORE, workspace, before, limit)

    async def repos(self, workspace: str) -> Sequence[Versioned]:
        """Every repo, by name; removed ones, too."""
        return await self._list(partial(_versioned, Repo), _REPOS, workspace)

    async def repo_named(self, workspace: str, name: str) -> Repo | None:
        """The oldest repo of that name that was not removed, else the oldest."""
        found = await self._look_up(_REPO_NAMED, workspace, name)
        return decode(Repo, found[0][0]) if found else None

    async def jobs(self, repo_id: str, *, limit: int, before: int | None = None) -> Sequence[Versioned]:
        """The newest jobs of a repo first."""
        if before is None:
            return await self._list(partial(_versioned, Job), _JOBS, repo_id, limit)
        return await self._list(partial(_versioned, Job), _JOBS_BEFORE, repo_id, before, limit)

    async def repo_of(self, job_id: str) -> str | None:
        """The repo of a job."""
        found = await self._look_up(_REPO_OF, job_id)
        return found[0][0] if found else None

    async def holders(self, repo_id: str, branches: Sequence[str]) -> Mapping[str, str]:
        """Which task holds each branch, with one statement, however many they are."""
        return dict(await self._look_up(_HOLDERS, repo_id, json.dumps(list(branches))))

    async def task_of(self, record_id: str) -> str | None:
        """The task of a tab or a message."""
        found = await self._database.readers.look_up(
            partial(rows, statement=_TASK_OF, parameters={"id": record_id})
        )
        return found[0][0] if found else None

    async def record(self, kind: str, record_id: str) -> Versioned | None:
        """One record; None also for a kind that has no records."""
        if kind in _MARKS:
            return await self._database.readers.look_up(partial(mark, kind=kind, record_id=record_id))
        if kind not in KINDS:
            return None
        found = _versioned(KINDS[kind], await self._look_up(_RECORD[kind], record_id))
        return found[0] if found else None

    async def messages(self, tab_id: str) -> Sequence[Message]:
        """Every message of a tab, in order."""
        return await self._list(_messages, _MESSAGES, tab_id)

    async def message_text(self, message_id: str) -> str | None:
        """The text of a message."""
        found = await self._look_up(_MESSAGE_TEXT, message_id)
        return found[0][0] if found else None

    async def transcript(self, tab_id: str, *, after: int = 0, limit: int = 500) -> Sequence[Item]:
        """Items of a tab after a position."""
        return await self._database.readers.run(partial(read_items, tab_id=tab_id, after=after, limit=limit))

    async def last_event(self, tab_id: str, source: str) -> str | None:
        """The event of the newest item of this source."""
        return await self._database.readers.look_up(partial(last_event, tab_id=tab_id, source=source))

    async def history(
        self, boundary: str | None, *, workspace: str, after: int = 0, limit: int = 500
    ) -> Sequence[StoredEvent]:
        """Events of a boundary, or of the workspace, after a number."""
        if boundary is None:
            return await self._list(_events, _EVENTS_OF_WORKSPACE, workspace, after, limit)
        return await self._list(_events, _EVENTS_OF_BOUNDARY, boundary, workspace, after, limit)

    async def event(self, number: int) -> StoredEvent | None:
        """One event."""
        found = _events(await self._look_up(f"{_EVENT} WHERE number = ?", number))
        return found[0] if found else None

    async def feed(self, after: int, *, limit: int = 500) -> Sequence[FeedEntry]:
        """Entries after a position."""
        return await self._database.readers.look_up(partial(_feed, after=after, limit=limit))

    async def position(self) -> int:
        """The last position."""
        return await self._database.readers.look_up(last_position)

    async def snapshot(self, workspace: str, boundary: str | None = None) -> Snapshot:
        """Repos by name, tasks newest first; for one boundary of this workspace only it, with its tabs and open messages."""
        return await self._database.readers.run(partial(_snapshot, workspace=workspace, boundary=boundary))

    async def key(self, workspace: str, key: str) -> KeyUsed | None:
        """The answer that a key has."""
        found = await self._look_up(READ_KEY, workspace, key)
        return KeyUsed(*found[0]) if found else None

    async def read_marker(self, tab_id: str, principal: str) -> int:
        """Up to which turn a principal has read a tab."""
        return await self._database.readers.look_up(partial(turns_read, tab_id=tab_id, principal=principal))

    async def read_markers(self, principal: str, tab_ids: Sequence[str]) -> Mapping[str, int]:
        """The same for many tabs."""
        return await self._database.readers.look_up(
            partial(turns_read_of, principal=principal, tab_ids=tab_ids)
        )

    async def draft(self, tab_id: str, principal: str) -> str | None:
        """What a principal is writing in a tab."""
        return await self._database.readers.look_up(partial(draft_text, tab_id=tab_id, principal=principal))

    async def open_intents(self, workspace: str, at_most: int) -> int:
        """How many intents of a workspace lie in the outbox."""
        ((count,),) = await self._look_up(_OPEN_INTENTS, workspace, at_most)
        return int(count)

    async def ready_tabs(self) -> Sequence[tuple[Task, Tab]]:
        """Every tab that is ready, with its task, by task and number."""
        return await self._list(_ready_tabs, _READY_TABS)

    async def _list(self, make: Callable[[_Rows], list[_T]], statement: str, *parameters: object) -> list[_T]:
        """Read rows and make records of them, both on the thread: a long list must not hold up the event loop."""
        return await self._database.readers.run(
            lambda connection: make(rows(connection, statement, parameters))
        )

    async def _look_up(self, statement: str, *parameters: object) -> _Rows:
        return await self._database.readers.look_up(
            lambda connection: rows(connection, statement, parameters)
        )


def _versioned(kind: type[Documented], found: _Rows) -> list[Versioned]:
    return [Versioned(decode(kind, body), version) for body, version in found]


_tasks = partial(_versioned, Task)


def _messages(found: _Rows) -> list[Message]:
    return [decode(Message, body) for (body,) in found]


def _feed(connection: sqlite3.Connection, after: int, limit: int) -> list[FeedEntry]:
    """The entries first, and then whether some before them were pruned: what is pruned in between costs a false alarm."""
    found = rows(connection, _FEED, (after, limit))
    pruned_to = rows(connection, PRUNED_TO)
    if pruned_to and after < int(pruned_to[0][0]):
        raise PositionLost(f"The feed was pruned up to {pruned_to[0][0]}.")
    if not found and after > last_position(connection):
        raise PositionLost(f"The feed has not got to {after} yet.")
    return [FeedEntry(*row) for row in found]


def _ready_tabs(found: _Rows) -> list[tuple[Task, Tab]]:
    return [(decode(Task, task), decode(Tab, tab)) for task, tab in found]


def _events(found: _Rows) -> list[StoredEvent]:
    return [
        StoredEvent(number, boundary, HistoryEvent(_kind(kind), to_time(at), tab_id, read_json(data)))
        for number, boundary, kind, at, tab_id, data in found
    ]


def _kind(name: str) -> HistoryKind:
    try:
        return HistoryKind(name)
    except ValueError:
        raise SchemaMismatch(
            f"A stored event is of the kind {name!r}, which this Taskdock does not know."
        ) from None


def _snapshot(connection: sqlite3.Connection, workspace: str, boundary: str | None) -> Snapshot:
    connection.execute("BEGIN")
    try:
        position = last_position(connection)
        repos = rows(connection, _REPOS, (workspace,))
        if boundary is None:
            tasks = rows(connection, _TASKS, (workspace, _WHOLE_WORKSPACE))
        else:
            tasks = rows(connection, _ONE_TASK, (workspace, boundary))
        tabs = rows(connection, _TABS, (boundary,))
        jobs = rows(connection, _OPEN_JOBS, (boundary,))
        branches = rows(connection, _BRANCHES, (boundary,))
        messages = rows(connection, _OPEN_MESSAGES, (boundary,))
    finally:
        connection.execute("COMMIT")
    records = [*_versioned(Repo, repos), *_versioned(Task, tasks)]
    if any(versioned.record.id == boundary for versioned in records):
        records += [*_versioned(Tab, tabs), *_versioned(Message, messages)]
        records += [*_versioned(Job, jobs), *_versioned(Branches, branches)]
    return Snapshot(position, tuple(records))
