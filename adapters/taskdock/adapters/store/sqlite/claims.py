"""Claims: which intents are handed out, and how one comes back.

Owns: the order of a claim, its room per lane, the exclusion of busy subjects, and the columns that only it moves:
      status, issue, deadline_at and due.
Never: an intent of a kind, or a version of it, that this code cannot read; it waits for a process that can.
Reads as: queue.py -> `claim` and the others -> committer.py calls them.

`due` says that `not_before` had passed at the last claim. So a claim walks over intents that are due and over nothing else,
lane by lane and one workspace after the other, and stops where a lane is full: it costs the same whatever else lies in the
outbox, and however much one workspace has there.
"""

import sqlite3
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from itertools import islice
from operator import itemgetter
from typing import Any, get_args

from attrs import evolve

from taskdock.adapters.store.sqlite.readers import rows
from taskdock.adapters.store.sqlite.rows import (
    INTENT_COLUMNS,
    read_intent,
    to_microseconds,
    to_microseconds_or_none,
)
from taskdock.core.errors import SchemaMismatch
from taskdock.core.intents import Body, Intent
from taskdock.ports.intent_queue import Claimed

_COME_DUE = "UPDATE intent SET due = 1 WHERE status = 'open' AND due = 0 AND not_before <= ?"
_STEP_BACK = "UPDATE intent SET due = 0 WHERE status = 'open' AND due = 1 AND not_before > ?"
"""For a clock that was set back."""

_LANES = """
WITH RECURSIVE next (lane) AS (
    SELECT min(lane) FROM intent WHERE status = 'open' AND due = 1
    UNION ALL
    SELECT (SELECT min(lane) FROM intent WHERE status = 'open' AND due = 1 AND lane > next.lane)
    FROM next WHERE next.lane IS NOT NULL
)
SELECT lane FROM next WHERE lane IS NOT NULL"""

_WORKSPACE_AFTER = """
SELECT min(workspace) FROM intent WHERE status = 'open' AND due = 1 AND lane = ? AND workspace > ?"""
_FIRST_WORKSPACE = "SELECT min(workspace) FROM intent WHERE status = 'open' AND due = 1 AND lane = ?"

_KNOWN = ", ".join(f"'{kind.__name__}'" for kind in get_args(Body))
CANDIDATES = f"""
SELECT seq, {INTENT_COLUMNS} FROM intent
WHERE status = 'open' AND due = 1 AND lane = ? AND workspace = ? AND kind IN ({_KNOWN}) AND NOT EXISTS (
    SELECT 1 FROM intent AS busy
    WHERE busy.boundary = intent.boundary AND busy.subject = intent.subject AND busy.status <> 'open'
)
ORDER BY seq"""  # noqa: S608 - constants

_TAKE = "UPDATE intent SET status = 'running', issue = ?, deadline_at = ? WHERE id = ?"
_RELEASE = "UPDATE intent SET status = 'open' WHERE id = ? AND issue = ? AND status = 'running'"
_END = "DELETE FROM intent WHERE id = ? AND issue = ? AND status = 'cancelled'"
_TAKE_ALL_BACK = "UPDATE intent SET status = 'open' WHERE status <> 'open' AND status = 'running'"
_FORGET_DEADLINES = "UPDATE intent SET deadline_at = NULL WHERE deadline_at IS NOT NULL"
"""Over the whole outbox, once at a start: every intent in it is claimed again anyway."""
_END_ALL = "DELETE FROM intent WHERE status <> 'open' AND status = 'cancelled'"

ANY_LANE = "*"


class Turns:
    """Which workspace each lane served last, so that the next claim goes on with the one after it."""

    def __init__(self) -> None:
        self.last: dict[str, str] = {}


def claim(
    connection: sqlite3.Connection,
    room: Mapping[str, int],
    now: datetime,
    deadlines: Mapping[str, float],
    turns: Turns,
) -> list[Claimed]:
    """Take due intents, workspaces by turns; what `deadlines` does not name gets none."""
    at = to_microseconds(now)
    connection.execute(_COME_DUE, (at,))
    connection.execute(_STEP_BACK, (at,))
    claimed = [_issue(intent, now, deadlines) for intent in _choose(connection, room, turns)]
    for intent in claimed:
        taken = (intent.issue, to_microseconds_or_none(intent.deadline_at), intent.id)
        connection.execute(_TAKE, taken)
    return [Claimed(intent) for intent in claimed]


def release(connection: sqlite3.Connection, intent_id: str, issue: int) -> None:
    """Make a running intent claimable again, remove a cancelled one."""
    connection.execute(_RELEASE, (intent_id, issue))
    connection.execute(_END, (intent_id, issue))


def end(connection: sqlite3.Connection, intent_id: str, issue: int) -> None:
    """Remove a cancelled intent; nothing when it is not there or not cancelled."""
    connection.execute(_END, (intent_id, issue))


def recover(connection: sqlite3.Connection) -> int:
    """Take every execution back, with fresh time for its steps; how many become claimable again."""
    connection.execute(_END_ALL)
    connection.execute(_FORGET_DEADLINES)
    return connection.execute(_TAKE_ALL_BACK).rowcount


def _choose(connection: sqlite3.Connection, room: Mapping[str, int], turns: Turns) -> list[Intent]:
    """Fill the lanes one by one; of a subject that two of them would take the older one goes, in the order of making."""
    chosen: list[tuple[int, Intent]] = []
    for (lane,) in rows(connection, _LANES):
        left = room.get(lane, room.get(ANY_LANE, 0))
        if left > 0:
            with ExitStack() as cursors:
                chosen += islice(_by_turns(cursors, connection, lane, turns), left)
    oldest: dict[tuple[str, str], Intent] = {}
    for _, intent in sorted(chosen, key=itemgetter(0)):
        oldest.setdefault(_subject(intent), intent)
    return list(oldest.values())


def _by_turns(
    cursors: ExitStack, connection: sqlite3.Connection, lane: str, turns: Turns
) -> Iterator[tuple[int, Intent]]:
    """What may be taken of a lane, one of each workspace and then again; one execution of a subject."""
    subjects: set[tuple[str, str]] = set()
    waiting = deque[tuple[str, Iterator[tuple[int, Intent]]]]()
    names = _workspaces(connection, lane, turns.last.get(lane, ""))
    while True:
        if (name := next(names, None)) is not None:
            candidates = connection.execute(CANDIDATES, (lane, name))
            stream = _free(cursors.enter_context(closing(candidates)), subjects)
        elif waiting:
            name, stream = waiting.popleft()
        else:
            return
        if (found := next(stream, None)) is not None:
            turns.last[lane] = name
            waiting.append((name, stream))
            yield found


def _workspaces(connection: sqlite3.Connection, lane: str, last: str) -> Iterator[str]:
    """The workspaces that wait in a lane, from the one after `last` around to it; one look into the index each."""
    name = _one(connection, _WORKSPACE_AFTER, lane, last)
    while name is not None:
        yield name
        name = _one(connection, _WORKSPACE_AFTER, lane, name)
    name = _one(connection, _FIRST_WORKSPACE, lane)
    while name is not None and name <= last:
        yield name
        name = _one(connection, _WORKSPACE_AFTER, lane, name)


def _one(connection: sqlite3.Connection, statement: str, *parameters: str) -> str | None:
    found: str | None = connection.execute(statement, parameters).fetchone()[0]
    return found


def _free(candidates: sqlite3.Cursor, subjects: set[tuple[str, str]]) -> Iterator[tuple[int, Intent]]:
    for seq, *columns in candidates:
        intent = _readable(columns)
        if intent is not None and _subject(intent) not in subjects:
            subjects.add(_subject(intent))
            yield seq, intent


def _subject(intent: Intent) -> tuple[str, str]:
    return (intent.boundary, intent.subject)


def _readable(columns: list[Any]) -> Intent | None:
    try:
        return read_intent(columns)
    except SchemaMismatch:
        return None


def _issue(intent: Intent, now: datetime, deadlines: Mapping[str, float]) -> Intent:
    seconds = deadlines.get(type(intent.body).__name__)
    deadline_at = intent.deadline_at
    if deadline_at is None and seconds is not None:
        deadline_at = now + timedelta(seconds=seconds)
    return evolve(intent, issue=intent.issue + 1, deadline_at=deadline_at)
