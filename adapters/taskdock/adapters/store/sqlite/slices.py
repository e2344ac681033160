"""Slices: a boundary read back as it was committed.

Owns: the one statement that loads a boundary, so that what it sees is one moment, and the order of what it returns.
Never: a message or a job that is final, a text, or an intent that was cancelled.
Reads as: store.py (load) -> readers.py -> `load_slice` -> documents.py -> core.codec.
"""

import json
import sqlite3
from collections import defaultdict

from taskdock.adapters.store.sqlite.documents import decode
from taskdock.adapters.store.sqlite.rows import INTENT_COLUMNS, read_intent
from taskdock.core.change import Record, Slice
from taskdock.core.job import Job
from taskdock.core.message import Message
from taskdock.core.repo import Repo
from taskdock.core.tab import Tab
from taskdock.core.task import Task

OPEN_MESSAGES = "at IN ('queued', 'sending')"
"""In the words of the index `message_open`, which is only used for a condition that repeats its own."""

OPEN_JOBS = "at IN ('queued', 'running')"
"""The same of the index `job_open`."""

_LOAD = f"""
SELECT 'boundary', 0, json_array(workspace, version, runs) FROM boundary WHERE id = :id
UNION ALL SELECT 'task', 0, body FROM task WHERE id = :id
UNION ALL SELECT 'repo', 0, body FROM repo WHERE id = :id
UNION ALL SELECT 'tab', number, body FROM tab WHERE task_id = :id
UNION ALL SELECT 'message', number, body FROM message WHERE task_id = :id AND {OPEN_MESSAGES}
UNION ALL SELECT 'job', number, body FROM job WHERE repo_id = :id AND {OPEN_JOBS}
UNION ALL SELECT 'intent', seq, json_array({INTENT_COLUMNS}) FROM intent WHERE boundary = :id AND status <> 'cancelled'
"""  # noqa: S608 - constants


def load_slice(connection: sqlite3.Connection, boundary: str) -> Slice:
    """The boundary: its root, tabs by number, open messages by tab and number, open and running intents by run."""
    found = defaultdict(list)
    for kind, number, body in connection.execute(_LOAD, {"id": boundary}).fetchall():
        found[kind].append((number, body))
    if not found["boundary"]:
        return Slice(boundary, workspace="")
    workspace, version, runs = json.loads(found["boundary"][0][1])
    intents = [read_intent(json.loads(body)) for _, body in sorted(found["intent"])]
    return Slice(boundary, workspace, version, runs, _records(found), tuple(intents))


def _records(found: dict[str, list[tuple[int, str]]]) -> tuple[Record, ...]:
    tabs = [decode(Tab, body) for _, body in sorted(found["tab"])]
    place = {tab.id: index for index, tab in enumerate(tabs)}
    messages = [decode(Message, body) for _, body in found["message"]]
    messages.sort(key=lambda message: (place[message.tab_id], message.number))
    roots: list[Record] = [decode(Task, body) for _, body in found["task"]]
    roots.extend(decode(Repo, body) for _, body in found["repo"])
    jobs = [decode(Job, body) for _, body in sorted(found["job"])]
    return (*roots, *jobs, *tabs, *messages)
