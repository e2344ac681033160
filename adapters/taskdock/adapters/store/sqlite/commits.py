"""Commits: what a Commit writes, prepared on the caller's side and carried out in one savepoint.

Owns: the order of the writes, compare-and-set, branch holds, keys, what a change needs of a repo, and the entries of history, feed and outbox.
Never: a look into a document; and never an ignored change.
Reads as: store.py -> `CommitUnit(commit, now)` (encodes) -> committer.py calls it (executes) -> Committed or a refusal.

The key is tried first: of two requests with one key the second gets the first one's answer, even where its change is stale
by now. `INSERT .. ON CONFLICT DO NOTHING` and a look at the row count take the place of asking before writing.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from functools import cache

from attrs import frozen

from taskdock.adapters.store.sqlite.committer import LAST_POSITION, Refused, last_position
from taskdock.adapters.store.sqlite.documents import encode_body
from taskdock.adapters.store.sqlite.records import Upsert, flat, many, prepare
from taskdock.adapters.store.sqlite.rows import to_microseconds, to_microseconds_or_none, write_json
from taskdock.core.change import BranchHold, Change
from taskdock.core.errors import InvariantViolated
from taskdock.core.history import HistoryEvent
from taskdock.core.intents import Intent
from taskdock.ports.store import (
    NEEDED_MAX,
    BranchHeld,
    Commit,
    Committed,
    IdempotencyKey,
    KeyUsed,
    RepoGone,
    RepoNeeded,
    Stale,
)

_INSERT_KEY = f"""
INSERT INTO idempotency_key (workspace, key, body_digest, answer, created_at, position)
VALUES (?, ?, ?, ?, ?, coalesce(({LAST_POSITION}), 0) + ?) ON CONFLICT DO NOTHING"""  # noqa: S608 - a constant
READ_KEY = "SELECT body_digest, answer, position FROM idempotency_key WHERE workspace = ? AND key = ?"

_INSERT_BOUNDARY = (
    "INSERT INTO boundary (id, workspace, version, runs) VALUES (?, ?, 1, ?) ON CONFLICT DO NOTHING"
)
_RAISE_VERSION = "UPDATE boundary SET version = version + 1, runs = ? WHERE id = ? AND version = ?"

_RELEASE_BRANCH = "DELETE FROM branch_hold WHERE repo_id = ? AND branch = ? AND task_id = ?"
_HOLD_BRANCH = "INSERT INTO branch_hold (repo_id, branch, task_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_READ_HOLDER = "SELECT task_id FROM branch_hold WHERE repo_id = ? AND branch = ?"

_IS_REMOVED = "SELECT 1 FROM repo WHERE id = ? AND at = 'removed'"
LIVE_TASK = "at NOT IN ('archived', 'killed')"
"""In the words of the index `task_live`, which is only used for a condition that repeats its own."""
_LIVE_TASKS = f"SELECT id FROM task WHERE repo_id = ? AND {LIVE_TASK} ORDER BY id LIMIT ?"  # noqa: S608 - a constant

_INSERT_INTENT = (
    "INSERT INTO intent (id, boundary, workspace, subject, lane, kind, body, attempt, created_at, not_before, "
    "deadline_at, issue, started, status, due) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', ?)"
)
_MARK_STARTED = "UPDATE intent SET started = 1 WHERE id = ?"
_CLOSE = "DELETE FROM intent WHERE id = ?"
_CANCEL_OPEN = "DELETE FROM intent WHERE id = ? AND status = 'open'"
_CANCEL_RUNNING = "UPDATE intent SET status = 'cancelled' WHERE id = ? AND status = 'running'"

_INSERT_HISTORY = "INSERT INTO history (boundary, workspace, at, kind, tab_id, data)"
_HISTORY_WIDTH = 6
INSERT_FEED = "INSERT INTO feed (kind, id, version, workspace, boundary)"
FEED_WIDTH = 5
_ROWS_AT_ONCE = 100
"""Keeps the number of prepared statements small, and the values of one below SQLite's limit."""


class CommitUnit:
    """A Commit, encoded. Called by the committer; raises `Refused` with what stands in its way."""

    __slots__ = ("_changes", "_key", "_key_at")

    def __init__(self, commit: Commit, now: datetime) -> None:
        self._changes = [_Prepared.of(change) for change in commit.changes]
        self._key = commit.key
        self._key_at = to_microseconds(now)

    def __call__(self, connection: sqlite3.Connection) -> Committed:
        """Write all of it; the key with the position that the feed will have then."""
        if self._key is not None:
            entries = sum(change.entries for change in self._changes)
            _take_key(connection, self._key, self._key_at, entries)
        position = 0
        for change in self._changes:
            position = change.write(connection) or position
        for change in self._changes:
            _demand_repo(connection, change.change)
        return Committed(position or last_position(connection))


@frozen
class _Prepared:
    """One change with everything encoded that needs no answer from the database."""

    change: Change
    upserts: list[Upsert]
    history: list[tuple[object, ...]]
    ordered: list[tuple[object, ...]]

    @classmethod
    def of(cls, change: Change) -> "_Prepared":
        if change.ignored is not None:
            raise InvariantViolated(f"a change that was ignored ({change.ignored}) is nothing to commit")
        return cls(
            change,
            prepare(change),
            [_history_row(change, event) for event in change.history],
            [_intent_row(intent) for intent in change.ordered],
        )

    @property
    def entries(self) -> int:
        """How many feed entries it makes."""
        return len(self.history) + sum(upsert.kind is not None for upsert in self.upserts)

    def write(self, connection: sqlite3.Connection) -> int:
        """Write it; the position of its last feed entry, 0 when it has none."""
        change = self.change
        _compare_and_set(connection, change)
        if change.release is not None:
            _release_branch(connection, change.release)
        if change.hold is not None:
            _hold_branch(connection, change.hold)
        for upsert in self.upserts:
            upsert.write(connection)
        self._write_outbox(connection)
        return self._write_feed(connection, self._write_history(connection))

    def _write_outbox(self, connection: sqlite3.Connection) -> None:
        change = self.change
        for intent_id in change.marked_started:
            connection.execute(_MARK_STARTED, (intent_id,))
        for intent_id in change.closed:
            connection.execute(_CLOSE, (intent_id,))
        for intent_id in change.cancelled:
            connection.execute(_CANCEL_OPEN, (intent_id,))
            connection.execute(_CANCEL_RUNNING, (intent_id,))
        for row in self.ordered:
            connection.execute(_INSERT_INTENT, row)

    def _write_history(self, connection: sqlite3.Connection) -> int:
        """Append the events; the number of the last one."""
        return insert(connection, _INSERT_HISTORY, _HISTORY_WIDTH, self.history)

    def _write_feed(self, connection: sqlite3.Connection, last_number: int) -> int:
        change = self.change
        named = [(upsert.kind, upsert.id) for upsert in self.upserts if upsert.kind is not None]
        first_number = last_number - len(self.history) + 1
        named.extend(("history", str(first_number + index)) for index in range(len(self.history)))
        entries = [(kind, id_, change.version, change.workspace, change.boundary) for kind, id_ in named]
        return insert(connection, INSERT_FEED, FEED_WIDTH, entries)


def insert(
    connection: sqlite3.Connection, statement: str, width: int, rows: Sequence[tuple[object, ...]]
) -> int:
    """Insert rows with as few statements as may be; the rowid of the last one, 0 when there are none."""
    last = 0
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[start : start + _ROWS_AT_ONCE]
        last = connection.execute(_many(statement, width, len(part)), flat(part)).lastrowid or 0
    return last


_many = cache(many)


def _history_row(change: Change, event: HistoryEvent) -> tuple[object, ...]:
    at = to_microseconds(event.at)
    return (change.boundary, change.workspace, at, event.kind.value, event.tab_id, write_json(event.data))


def _intent_row(intent: Intent) -> tuple[object, ...]:
    return (
        intent.id,
        intent.boundary,
        intent.workspace,
        intent.subject,
        intent.lane,
        type(intent.body).__name__,
        encode_body(intent.body),
        intent.attempt,
        to_microseconds(intent.created_at),
        to_microseconds_or_none(intent.not_before),
        to_microseconds_or_none(intent.deadline_at),
        intent.issue,
        intent.started,
        intent.not_before is None,
    )


def _take_key(connection: sqlite3.Connection, key: IdempotencyKey, at: int, entries: int) -> None:
    row = (key.workspace, key.key, key.body_digest, key.answer, at, entries)
    if connection.execute(_INSERT_KEY, row).rowcount == 0:
        body_digest, answer, position = connection.execute(READ_KEY, (key.workspace, key.key)).fetchone()
        raise Refused(KeyUsed(body_digest, answer, position))


def _compare_and_set(connection: sqlite3.Connection, change: Change) -> None:
    if change.expect_version == 0:
        written = connection.execute(_INSERT_BOUNDARY, (change.boundary, change.workspace, change.runs))
    else:
        written = connection.execute(_RAISE_VERSION, (change.runs, change.boundary, change.expect_version))
    if written.rowcount == 0:
        raise Refused(Stale(change.boundary))


def _release_branch(connection: sqlite3.Connection, release: BranchHold) -> None:
    connection.execute(_RELEASE_BRANCH, (release.repo_id, release.branch, release.task_id))


def _hold_branch(connection: sqlite3.Connection, hold: BranchHold) -> None:
    if connection.execute(_HOLD_BRANCH, (hold.repo_id, hold.branch, hold.task_id)).rowcount:
        return
    (holder,) = connection.execute(_READ_HOLDER, (hold.repo_id, hold.branch)).fetchone()
    if holder != hold.task_id:
        raise Refused(BranchHeld(hold.branch, holder))


def _demand_repo(connection: sqlite3.Connection, change: Change) -> None:
    """What the change needs of a repo, as it stands with all of the commit."""
    if change.needs_repo is not None and connection.execute(_IS_REMOVED, (change.needs_repo,)).fetchone():
        raise Refused(RepoGone(change.needs_repo))
    if change.needs_no_task_of is not None:
        found = connection.execute(_LIVE_TASKS, (change.needs_no_task_of, NEEDED_MAX)).fetchall()
        if found:
            raise Refused(RepoNeeded(change.needs_no_task_of, tuple(task_id for (task_id,) in found)))
