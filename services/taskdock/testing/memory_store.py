"""Memory store: a store for tests, under the same promises as one on a disk, and gone with its process.

Owns: `MemoryStore`, which is `Store`, `Reads`, `IntentQueue` and `Upkeep` over `MemoryData`.
Never: a wait while something is written, so each commit is whole; and no record that did not go through the codec.
Reads as: a test -> this -> memory_data.py; tests/conformance/ holds it to the promises of the ports.

    store = MemoryStore()
    await store.commit(Commit((change,)))
    next_process = MemoryStore(store.data)
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import anyio.lowlevel
from attrs import evolve

from taskdock.core.branches import Branches
from taskdock.core.change import Change, Record, Slice
from taskdock.core.codec import decode, encode, plain_json
from taskdock.core.errors import InvariantViolated
from taskdock.core.job import FINAL as OVER
from taskdock.core.job import Job
from taskdock.core.message import Message, MessageText
from taskdock.core.reader import DraftText
from taskdock.core.repo import REMOVED, Repo
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from taskdock.core.task_record import ARCHIVED, KILLED
from taskdock.ports.store import (
    NEEDED_MAX,
    BranchHeld,
    Commit,
    CommitResult,
    Committed,
    Item,
    KeyUsed,
    NewItem,
    RepoGone,
    RepoNeeded,
    Stale,
)
from taskdock.testing.boundary import FINAL
from taskdock.testing.memory_data import KINDS, Event, Lying, MemoryData, Root, Row
from taskdock.testing.memory_queue import MemoryQueue
from taskdock.testing.memory_reads import MemoryReads
from taskdock.testing.memory_upkeep import MemoryUpkeep

_OVER = (ARCHIVED, KILLED)
_NAMES = {kind: name for name, kind in KINDS.items()}


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryStore(MemoryReads, MemoryQueue, MemoryUpkeep):
    """One store in memory. Several on one `data` are as several processes on one file, within one event loop."""

    def __init__(
        self,
        data: MemoryData | None = None,
        *,
        clock_now: Callable[[], datetime] = _utc_now,
        on_commit: Callable[[int], None] | None = None,
    ) -> None:
        """`on_commit` is called with the last feed position after what may have changed what is to be done."""
        self.data = data or MemoryData()
        self._clock_now = clock_now
        self._on_commit = on_commit

    async def load(self, boundary: str) -> Slice:
        """Load a boundary; one that does not exist has version 0."""
        await anyio.lowlevel.checkpoint()
        root = self.data.roots.get(boundary)
        if root is None:
            return Slice(boundary, workspace="")
        tabs = sorted((tab for tab, _ in self.data.of(Tab, boundary)), key=lambda tab: tab.number)
        place = {tab.id: number for number, tab in enumerate(tabs)}
        messages = [message for message, _ in self.data.of(Message, boundary) if message.status not in FINAL]
        messages.sort(key=lambda message: (place[message.tab_id], message.number))
        records: list[Record] = [task for task, _ in self.data.of(Task, boundary)]
        records += [repo for repo, _ in self.data.of(Repo, boundary)]
        jobs = [job for job, _ in self.data.of(Job, boundary) if job.at not in OVER]
        jobs.sort(key=lambda job: job.number)
        records += jobs
        lying = (one for one in self.data.outbox.values() if one.status != "cancelled")
        intents = [intent for intent in (one.intent for one in lying) if intent.boundary == boundary]
        return Slice(
            boundary, root.workspace, root.version, root.runs, (*records, *tabs, *messages), tuple(intents)
        )

    async def commit(self, commit: Commit) -> CommitResult:
        """Write all of it or nothing."""
        await anyio.lowlevel.checkpoint()
        rows = [_rows(change) for change in commit.changes]
        self._demand_own(rows)
        if (refused := self._refusal(commit)) is not None:
            return refused
        for change, written in zip(commit.changes, rows, strict=True):
            self._write(change, written)
        if commit.key is not None:
            key = commit.key
            answer = KeyUsed(key.body_digest, key.answer, self.data.position)
            self.data.keys[key.workspace, key.key] = (answer, self._clock_now())
        self._committed()
        return Committed(self.data.position)

    async def append(self, items: Sequence[NewItem]) -> int:
        """Append items that are new, in order; the last feed position."""
        await anyio.lowlevel.checkpoint()
        grown: dict[tuple[str, str], int] = {}
        for item in items:
            kept = self.data.transcripts.setdefault(item.tab_id, [])
            if not any((item.source, item.event) == (one.source, event) for event, one in kept):
                body = _as_json(item.body)
                kept.append(
                    (item.event, Item(item.tab_id, len(kept) + 1, item.source, item.kind, body, item.at))
                )
                grown[item.tab_id, item.task_id] = len(kept)
        for (tab_id, task_id), end in grown.items():
            root = self.data.roots.get(task_id)
            self.data.tell("transcript", tab_id, end, root.workspace if root else "", task_id)
        self._committed()
        return self.data.position

    def _committed(self) -> None:
        if self._on_commit is not None:
            self._on_commit(self.data.position)

    def _demand_own(self, rows: Sequence[Sequence[Row | MessageText]]) -> None:
        for row in (one for written in rows for one in written):
            if isinstance(row, Row):
                there = self.data.rows[row.kind].get(row.record.id)
                if there is not None and there.boundary != row.boundary:
                    raise InvariantViolated(f"{row.record.id!r} belongs to another boundary")

    def _refusal(self, commit: Commit) -> CommitResult | None:
        """Why nothing of it can be written, looked at in the order in which it would be."""
        if commit.key is not None:
            used = self.data.keys.get((commit.key.workspace, commit.key.key))
            if used is not None:
                return used[0]
        holds, versions = dict(self.data.holds), dict[str, int]()
        for change in commit.changes:
            root = self.data.roots.get(change.boundary)
            version = versions.get(change.boundary, root.version if root else 0)
            if version != change.expect_version:
                return Stale(change.boundary)
            versions[change.boundary] = change.version
            if (holder := _move_holds(holds, change)) is not None:
                assert change.hold is not None
                return BranchHeld(change.hold.branch, holder)
        return self._repo_refusal(commit)

    def _repo_refusal(self, commit: Commit) -> CommitResult | None:
        """What a change needs of a repo and does not find, once all of the commit is written."""
        written = [record for change in commit.changes for record in change.records]
        for change in commit.changes:
            if (repo_id := change.needs_repo) is not None:
                repos = {repo.id: repo for repo, _ in self.data.of(Repo, repo_id)}
                repos |= {record.id: record for record in written if isinstance(record, Repo)}
                if repo_id in repos and repos[repo_id].at == REMOVED:
                    return RepoGone(repo_id)
            if (repo_id := change.needs_no_task_of) is not None:
                tasks = {task.id: task for task, _ in self.data.of(Task)}
                tasks |= {record.id: record for record in written if isinstance(record, Task)}
                live = sorted(
                    one.id for one in tasks.values() if one.repo_id == repo_id and one.at not in _OVER
                )
                if live:
                    return RepoNeeded(repo_id, tuple(live[:NEEDED_MAX]))
        return None

    def _write(self, change: Change, rows: Sequence[Row | MessageText]) -> None:
        data = self.data
        data.roots[change.boundary] = Root(change.workspace, change.version, change.runs)
        _move_holds(data.holds, change)
        told = [(row.kind, row.record.id) for row in rows if isinstance(row, Row)]
        for row in rows:
            self._put(row)
        self._write_outbox(change)
        for event in change.history:
            number = data.note(Event(change.boundary, change.workspace, event.at, encode(event)))
            told.append(("history", str(number)))
        for kind, id_ in told:
            data.tell(kind, id_, change.version, change.workspace, change.boundary)

    def _put(self, row: Row | MessageText) -> None:
        if isinstance(row, MessageText):
            self.data.texts[row.id] = row.text
        elif isinstance(record := row.record, DraftText) and not record.text:
            self.data.rows[row.kind].pop(record.id, None)
        else:
            self.data.rows[row.kind][record.id] = row

    def _write_outbox(self, change: Change) -> None:
        outbox = self.data.outbox
        for id_ in change.marked_started:
            if id_ in outbox:
                outbox[id_].text = encode(evolve(outbox[id_].intent, started=True))
        for id_ in change.closed:
            outbox.pop(id_, None)
        for id_ in change.cancelled:
            if id_ in outbox and outbox[id_].status == "open":
                del outbox[id_]
            elif id_ in outbox:
                outbox[id_].status = "cancelled"
        for intent in change.ordered:
            if intent.id in outbox:
                raise InvariantViolated(f"the intent {intent.id!r} was ordered before")
            outbox[intent.id] = Lying(encode(intent))


def _rows(change: Change) -> list[Row | MessageText]:
    """The records of a change as they are written; InvariantViolated for what no store may write."""
    if change.ignored is not None:
        raise InvariantViolated(f"a change that was ignored ({change.ignored}) is nothing to commit")
    rows: list[Row | MessageText] = []
    for record in change.records:
        if isinstance(record, MessageText):
            rows.append(decode(MessageText, encode(record)))
            continue
        owner = _owner_of(record)
        if owner != change.boundary:
            raise InvariantViolated(f"{change.boundary!r} cannot write {record.id!r} of {owner!r}")
        rows.append(Row(_NAMES[type(record)], change.boundary, change.version, encode(record)))
    return rows


def _owner_of(record: Record) -> object:
    """Which boundary a record belongs to."""
    if isinstance(record, Task | Repo | Branches):
        return record.id
    return getattr(record, "repo_id" if isinstance(record, Job) else "task_id", None)


def _move_holds(holds: dict[tuple[str, str], str], change: Change) -> str | None:
    """Release and take what the change says; who else holds it, then nothing was taken."""
    release = change.release
    if release is not None and holds.get((release.repo_id, release.branch)) == release.task_id:
        del holds[release.repo_id, release.branch]
    if (hold := change.hold) is None:
        return None
    holder = holds.setdefault((hold.repo_id, hold.branch), hold.task_id)
    return None if holder == hold.task_id else holder


def _as_json(body: Mapping[str, object]) -> dict[str, object]:
    """The body after a trip through JSON, as from a disk."""
    read: dict[str, object] = json.loads(plain_json(dict(body)))
    return read
