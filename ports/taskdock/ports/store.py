"""Store: the port to the durable state: boundaries, history, outbox, feed, keys and transcripts.

Owns: `Store` (what decides and commits), `Reads` (what shows), and their shapes.
Never: a decision; compare-and-set, uniqueness and order are all that a store knows of the domain.
Reads as: services/stepping.py and services/reads.py -> these Protocols -> adapters/store/<technology>.

Rules that every store keeps (each is a check in `taskdock.testing.conformance.store`):
one `Commit` is written whole or not at all; what `commit` has acknowledged survives kill -9; a boundary's version rises by
one with each change and a change against another version is `Stale`; positions only grow, in the order in which commits
become visible; a branch is held by one task per repo; one key has one answer; what a change needs of a repo holds when all
of its commit is written.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from taskdock.core.change import Change, Record, Slice
from taskdock.core.history import HistoryEvent
from taskdock.core.message import Message
from taskdock.core.repo import Repo
from taskdock.core.tab import Tab
from taskdock.core.task import Task


@frozen
class IdempotencyKey:
    """A client's key with the digest of the request's body, and the answer to repeat (JSON text)."""

    workspace: str
    key: str
    body_digest: str
    answer: str


@frozen
class Commit:
    """What is written in one transaction. Several changes only where one request touches two boundaries."""

    changes: tuple[Change, ...]
    key: IdempotencyKey | None = None


@frozen
class Committed:
    """It is durable; `position` is that of its last feed entry."""

    position: int


@frozen
class Stale:
    """A boundary has another version than the change expects: load, decide and commit again. Nothing was written."""

    boundary: str


@frozen
class BranchHeld:
    """Another task holds the branch. Nothing was written."""

    branch: str
    task_id: str


@frozen
class RepoGone:
    """A change needs a repo that was removed. Nothing was written."""

    repo_id: str


@frozen
class RepoNeeded:
    """Live tasks of a repo (at most `NEEDED_MAX` of them are named) are in the way of a change. Nothing was written."""

    repo_id: str
    task_ids: tuple[str, ...]


@frozen
class KeyUsed:
    """The key has an answer already, perhaps to another body. Nothing was written."""

    body_digest: str
    answer: str
    position: int


CommitResult = Committed | Stale | BranchHeld | RepoGone | RepoNeeded | KeyUsed

NEEDED_MAX = 10
"""Of so many live tasks a refused removal tells the ids."""


@frozen
class NewItem:
    """A transcript item to append: unique by (tab, source, event), where `source` is an agent process or 'taskdock'."""

    tab_id: str
    task_id: str
    source: str
    event: str
    kind: str
    body: Mapping[str, object]
    at: datetime


@frozen
class Item:
    """A transcript item as it is stored; `position` counts from 1 in its tab."""

    tab_id: str
    position: int
    source: str
    kind: str
    body: Mapping[str, object]
    at: datetime


@frozen
class FeedEntry:
    """Something changed: which record, at which version of its boundary. Its content is read when it is sent.

    `kind` is task, tab, message, repo, job, branches, marker, draft, history or transcript; for history `id` is the number of the event,
    for transcript the tab's id and `version` the position of its last item.
    """

    position: int
    kind: str
    id: str
    version: int
    workspace: str
    boundary: str


@frozen
class StoredEvent:
    """A history event with its number (grows over the whole store) and its boundary."""

    number: int
    boundary: str
    event: HistoryEvent


@frozen
class Versioned:
    """A record with the version of its boundary at its last change."""

    record: Record
    version: int


@frozen
class Snapshot:
    """What there was at `position`, read in one transaction."""

    position: int
    records: tuple[Versioned, ...]


class Store(Protocol):
    """Loads boundaries and commits changes."""

    async def load(self, boundary: str) -> Slice:
        """The boundary as it stands: its root record, its tabs, its messages and jobs that are not final, its open intents.

        A boundary that does not exist is a Slice of version 0 with an empty workspace and no records.
        """
        ...

    async def commit(self, commit: Commit) -> CommitResult:
        """Write all of it durably or nothing of it. A cancelled caller's commit may still be written.

        Records are upserted (an empty `DraftText` removes the draft), history and feed appended (in the order: records,
        then history), ordered intents added,
        closed ones removed, cancelled ones removed unless they are being executed: those stay, cancelled, and block
        their subject until `IntentQueue.ended`. Raises StoreError when the store cannot take it now.
        """
        ...

    async def append(self, items: Sequence[NewItem]) -> int:
        """Append transcript items, leaving out those it has (by tab, source and event); the last feed position."""
        ...


class Reads(Protocol):
    """Answers questions. Never writes, never refreshes, never waits for a writer."""

    async def owner(self) -> str:
        """The id of this installation, made once with the store; labels every sandbox that is ours."""
        ...

    async def tasks(self, workspace: str, *, limit: int, before: str | None = None) -> Sequence[Versioned]:
        """The newest tasks first, from before this task id; no prompts, no transcripts."""
        ...

    async def repos(self, workspace: str) -> Sequence[Versioned]:
        """Every repo, by name; removed ones, too."""
        ...

    async def repo_named(self, workspace: str, name: str) -> Repo | None:
        """The repo of that name; the oldest when several have it, and a removed one only when no other has it."""
        ...

    async def jobs(self, repo_id: str, *, limit: int, before: int | None = None) -> Sequence[Versioned]:
        """The newest jobs of a repo first, from before this number."""
        ...

    async def repo_of(self, job_id: str) -> str | None:
        """The repo that a job belongs to."""
        ...

    async def holders(self, repo_id: str, branches: Sequence[str]) -> Mapping[str, str]:
        """Which task holds each of these branches of a repo; those that nobody holds are left out."""
        ...

    async def task_of(self, record_id: str) -> str | None:
        """The task that a tab or a message belongs to."""
        ...

    async def record(self, kind: str, record_id: str) -> Versioned | None:
        """One record (task, tab, message, repo, job, branches, marker or draft) by feed kind and id; branches have their repo's."""
        ...

    async def messages(self, tab_id: str) -> Sequence[Message]:
        """Every message of a tab, in order, also the final ones; without texts."""
        ...

    async def message_text(self, message_id: str) -> str | None:
        """The text of a message."""
        ...

    async def transcript(self, tab_id: str, *, after: int = 0, limit: int = 500) -> Sequence[Item]:
        """Items of a tab after a position, in order."""
        ...

    async def last_event(self, tab_id: str, source: str) -> str | None:
        """The event of the newest item of this source; where a reader of the agent's ring goes on."""
        ...

    async def history(
        self, boundary: str | None, *, workspace: str, after: int = 0, limit: int = 500
    ) -> Sequence[StoredEvent]:
        """Events of a boundary (None: of the workspace) after a number, in order."""
        ...

    async def event(self, number: int) -> StoredEvent | None:
        """One event."""
        ...

    async def feed(self, after: int, *, limit: int = 500) -> Sequence[FeedEntry]:
        """Entries after a position, in order. PositionLost when some of them were pruned, or the feed never got so far."""
        ...

    async def position(self) -> int:
        """The last position; 0 in an empty store."""
        ...

    async def snapshot(self, workspace: str, boundary: str | None = None) -> Snapshot:
        """Repos and tasks in one transaction; with a boundary no other task, but also what belongs to it."""
        ...

    async def key(self, workspace: str, key: str) -> KeyUsed | None:
        """The answer that a key has already."""
        ...

    async def read_marker(self, tab_id: str, principal: str) -> int:
        """Up to which ended turn a principal has read a tab; 0 when it never said."""
        ...

    async def read_markers(self, principal: str, tab_ids: Sequence[str]) -> Mapping[str, int]:
        """The same for many tabs; those that it never marked are left out."""
        ...

    async def draft(self, tab_id: str, principal: str) -> str | None:
        """What a principal is writing in a tab."""
        ...

    async def open_intents(self, workspace: str, at_most: int) -> int:
        """How much of a workspace lies in the outbox, counted up to `at_most`, so that counting stays cheap."""
        ...

    async def ready_tabs(self) -> Sequence[tuple[Task, Tab]]:
        """Every tab that is ready, with its task: whose agents a starting scheduler has to follow again."""
        ...
