"""Records: which table each kind of record goes to, with which columns beside its document.

Owns: the tables of records, their upserts, and the names that the feed calls them by.
Never: a record written into another boundary than its own.
Reads as: commits.py (a Change) -> `prepare` -> statements; reads.py, slices.py (a kind) -> `KINDS`.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen

from taskdock.adapters.store.sqlite.documents import encode
from taskdock.adapters.store.sqlite.rows import to_microseconds
from taskdock.core.branches import Branches
from taskdock.core.change import Change, Record
from taskdock.core.errors import InvariantViolated
from taskdock.core.job import Job
from taskdock.core.message import Message, MessageText
from taskdock.core.reader import DraftText, ReadMarker
from taskdock.core.repo import Repo
from taskdock.core.tab import Tab
from taskdock.core.task import Task

Documented = Task | Tab | Message | Repo | Job | Branches
KINDS: dict[str, type[Documented]] = {
    "task": Task,
    "tab": Tab,
    "message": Message,
    "repo": Repo,
    "job": Job,
    "branches": Branches,
}
"""What the feed and the tables call each kind of record that has a document."""

_UPSERT_TASK = """
INSERT INTO task (id, workspace, repo_id, at, created_at, version, body) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET at = excluded.at, version = excluded.version, body = excluded.body"""

_UPSERT_TAB = """
INSERT INTO tab (id, task_id, number, at, version, body) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET at = excluded.at, version = excluded.version, body = excluded.body
WHERE tab.task_id = excluded.task_id"""

_UPSERT_MESSAGE = """
INSERT INTO message (id, task_id, tab_id, number, at, version, body, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET at = excluded.at, version = excluded.version, body = excluded.body,
    text = coalesce(excluded.text, message.text)
WHERE message.task_id = excluded.task_id"""

_SET_TEXT = "UPDATE message SET text = ? WHERE id = ? AND task_id = ?"

_UPSERT_REPO = """
INSERT INTO repo (id, workspace, name, at, created_at, version, body) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, at = excluded.at, version = excluded.version, body = excluded.body"""

_UPSERT_JOB = """
INSERT INTO job (id, repo_id, number, at, version, body) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET at = excluded.at, version = excluded.version, body = excluded.body
WHERE job.repo_id = excluded.repo_id"""

_UPSERT_BRANCHES = """
INSERT INTO branches (id, version, body) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET version = excluded.version, body = excluded.body"""

_UPSERT_MARKER = """
INSERT INTO read_marker (tab_id, principal, task_id, turns, version) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (tab_id, principal) DO UPDATE SET turns = excluded.turns, version = excluded.version
WHERE read_marker.task_id = excluded.task_id"""

_UPSERT_DRAFT = """
INSERT INTO draft (tab_id, principal, task_id, text, version) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (tab_id, principal) DO UPDATE SET text = excluded.text, version = excluded.version
WHERE draft.task_id = excluded.task_id"""

_DROP_DRAFT = "DELETE FROM draft WHERE tab_id = ? AND principal = ? AND task_id = ?"


@frozen
class Upsert:
    """One record, ready to be written; `kind` is None for what the feed does not tell."""

    kind: str | None
    id: str
    statement: str
    parameters: tuple[Any, ...]
    may_be_gone: bool = False

    def write(self, connection: sqlite3.Connection) -> None:
        """Write it; InvariantViolated when a record of that id belongs to another boundary."""
        if connection.execute(self.statement, self.parameters).rowcount != 1 and not self.may_be_gone:
            raise InvariantViolated(f"{self.kind or 'text'} {self.id!r} belongs to another boundary")


def prepare(change: Change) -> list[Upsert]:
    """Encode the records of a change, in their order; a text goes with its message, wherever it stands."""
    texts = {record.id: record.text for record in change.records if isinstance(record, MessageText)}
    upserts = [
        _ROWS[type(record)](record, change, texts)
        for record in change.records
        if not isinstance(record, MessageText)
    ]
    upserts.extend(Upsert(None, id_, _SET_TEXT, (text, id_, change.boundary)) for id_, text in texts.items())
    return upserts


def _task(task: Task, change: Change, _: dict[str, str]) -> Upsert:
    _demand_own(task.id, change, task)
    created = to_microseconds(task.created_at)
    columns = (task.id, task.workspace, task.repo_id, task.at, created, change.version, encode(task))
    return Upsert("task", task.id, _UPSERT_TASK, columns)


def _tab(tab: Tab, change: Change, _: dict[str, str]) -> Upsert:
    _demand_own(tab.task_id, change, tab)
    columns = (tab.id, tab.task_id, tab.number, tab.at, change.version, encode(tab))
    return Upsert("tab", tab.id, _UPSERT_TAB, columns)


def _message(message: Message, change: Change, texts: dict[str, str]) -> Upsert:
    _demand_own(message.task_id, change, message)
    place = (message.id, message.task_id, message.tab_id, message.number)
    text = texts.pop(message.id, None)
    columns = (*place, message.at, change.version, encode(message), text)
    return Upsert("message", message.id, _UPSERT_MESSAGE, columns)


def _repo(repo: Repo, change: Change, _: dict[str, str]) -> Upsert:
    _demand_own(repo.id, change, repo)
    created = to_microseconds(repo.created_at)
    columns = (repo.id, repo.workspace, repo.name, repo.at, created, change.version, encode(repo))
    return Upsert("repo", repo.id, _UPSERT_REPO, columns)


def _job(job: Job, change: Change, _: dict[str, str]) -> Upsert:
    _demand_own(job.repo_id, change, job)
    columns = (job.id, job.repo_id, job.number, job.at, change.version, encode(job))
    return Upsert("job", job.id, _UPSERT_JOB, columns)


def _branches(branches: Branches, change: Change, _: dict[str, str]) -> Upsert:
    _demand_own(branches.id, change, branches)
    return Upsert("branches", branches.id, _UPSERT_BRANCHES, (branches.id, change.version, encode(branches)))


def _marker(marker: ReadMarker, change: Change, _: dict[str, str]) -> Upsert:
    _demand_own(marker.task_id, change, marker)
    columns = (marker.tab_id, marker.principal, marker.task_id, marker.turns, change.version)
    return Upsert("marker", marker.id, _UPSERT_MARKER, columns)


def _draft(draft: DraftText, change: Change, _: dict[str, str]) -> Upsert:
    _demand_own(draft.task_id, change, draft)
    place = (draft.tab_id, draft.principal, draft.task_id)
    if not draft.text:
        return Upsert("draft", draft.id, _DROP_DRAFT, place, may_be_gone=True)
    return Upsert("draft", draft.id, _UPSERT_DRAFT, (*place, draft.text, change.version))


def _demand_own(owner: str, change: Change, record: Record) -> None:
    if owner != change.boundary:
        raise InvariantViolated(f"{change.boundary!r} cannot write {record.id!r}, which belongs to {owner!r}")


_ROWS: dict[type, Callable[[Any, Change, dict[str, str]], Upsert]] = {
    Task: _task,
    Tab: _tab,
    Message: _message,
    Repo: _repo,
    Job: _job,
    Branches: _branches,
    ReadMarker: _marker,
    DraftText: _draft,
}


def many(insert: str, width: int, count: int) -> str:
    """Give the statement that inserts `count` rows of `width` values at once."""
    row = f"({', '.join('?' * width)})"
    return f"{insert} VALUES {', '.join([row] * count)}"


def flat(rows: Sequence[Sequence[object]]) -> list[object]:
    """Lay the values of rows end to end, as `many` wants them."""
    return [value for row in rows for value in row]
