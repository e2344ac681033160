"""Memory reads: the questions, answered from a store in memory.

Owns: `MemoryReads`.
Never: a write.
Reads as: memory_store.py -> these -> memory_data.py.
"""

from collections.abc import Mapping, Sequence

import anyio.lowlevel

from taskdock.core.branches import Branches
from taskdock.core.errors import PositionLost
from taskdock.core.job import FINAL as OVER
from taskdock.core.job import Job
from taskdock.core.message import Message
from taskdock.core.reader import DraftText, ReadMarker, reader_id
from taskdock.core.repo import REMOVED, Repo
from taskdock.core.tab import Tab, TabStatus
from taskdock.core.task import Task
from taskdock.ports.store import FeedEntry, Item, KeyUsed, Snapshot, StoredEvent, Versioned
from taskdock.testing.boundary import FINAL
from taskdock.testing.memory_data import MemoryData


class MemoryReads:
    """Implements `taskdock.ports.store.Reads`; the promises stand there."""

    data: MemoryData

    async def owner(self) -> str:
        """The id of this installation."""
        await anyio.lowlevel.checkpoint()
        return self.data.owner

    async def tasks(self, workspace: str, *, limit: int, before: str | None = None) -> Sequence[Versioned]:
        """The newest tasks first; none when `before` is no task."""
        await anyio.lowlevel.checkpoint()
        tasks = self._tasks(workspace)
        if before is not None:
            end = self.data.versioned("task", before)
            place = (end.record.created_at, end.record.id) if end and isinstance(end.record, Task) else None
            tasks = [one for one in tasks if place is not None and _place(one) < place]
        return tasks[:limit]

    async def repos(self, workspace: str) -> Sequence[Versioned]:
        """Every repo, by name; removed ones, too."""
        await anyio.lowlevel.checkpoint()
        return self._repos(workspace)

    async def repo_named(self, workspace: str, name: str) -> Repo | None:
        """The oldest repo of that name that was not removed, else the oldest."""
        found = [one.record for one in await self.repos(workspace)]
        named = [repo for repo in found if isinstance(repo, Repo) and repo.name == name]
        return min(named, key=lambda repo: repo.at == REMOVED, default=None)

    async def jobs(self, repo_id: str, *, limit: int, before: int | None = None) -> Sequence[Versioned]:
        """The newest jobs of a repo first."""
        await anyio.lowlevel.checkpoint()
        found = [one for one in self.data.of(Job, repo_id) if before is None or one[0].number < before]
        found.sort(key=lambda one: one[0].number, reverse=True)
        return [Versioned(*one) for one in found[:limit]]

    async def repo_of(self, job_id: str) -> str | None:
        """The repo of a job."""
        await anyio.lowlevel.checkpoint()
        row = self.data.rows["job"].get(job_id)
        return None if row is None else row.boundary

    async def holders(self, repo_id: str, branches: Sequence[str]) -> Mapping[str, str]:
        """Which task holds each branch."""
        await anyio.lowlevel.checkpoint()
        holds = self.data.holds
        return {branch: holds[repo_id, branch] for branch in branches if (repo_id, branch) in holds}

    async def task_of(self, record_id: str) -> str | None:
        """The task of a tab or a message."""
        await anyio.lowlevel.checkpoint()
        rows = (self.data.rows[kind].get(record_id) for kind in ("tab", "message"))
        return next((row.boundary for row in rows if row is not None), None)

    async def record(self, kind: str, record_id: str) -> Versioned | None:
        """One record; None also for a kind that has no records."""
        await anyio.lowlevel.checkpoint()
        return self.data.versioned(kind, record_id)

    async def messages(self, tab_id: str) -> Sequence[Message]:
        """Every message of a tab, in order."""
        await anyio.lowlevel.checkpoint()
        found = [message for message, _ in self.data.of(Message) if message.tab_id == tab_id]
        return sorted(found, key=lambda message: message.number)

    async def message_text(self, message_id: str) -> str | None:
        """The text of a message."""
        await anyio.lowlevel.checkpoint()
        return self.data.texts.get(message_id)

    async def transcript(self, tab_id: str, *, after: int = 0, limit: int = 500) -> Sequence[Item]:
        """Items of a tab after a position."""
        await anyio.lowlevel.checkpoint()
        return [item for _, item in self.data.transcripts.get(tab_id, [])][after : after + limit]

    async def last_event(self, tab_id: str, source: str) -> str | None:
        """The event of the newest item of this source."""
        await anyio.lowlevel.checkpoint()
        kept = reversed(self.data.transcripts.get(tab_id, []))
        return next((event for event, item in kept if item.source == source), None)

    async def history(
        self, boundary: str | None, *, workspace: str, after: int = 0, limit: int = 500
    ) -> Sequence[StoredEvent]:
        """Events of a boundary, or of the workspace, after a number."""
        await anyio.lowlevel.checkpoint()
        wanted = [
            number
            for number, event in self.data.history.items()
            if number > after and event.workspace == workspace and boundary in (None, event.boundary)
        ]
        found = (self.data.event(number) for number in wanted[:limit])
        return [event for event in found if event is not None]

    async def event(self, number: int) -> StoredEvent | None:
        """One event."""
        await anyio.lowlevel.checkpoint()
        return self.data.event(number)

    async def feed(self, after: int, *, limit: int = 500) -> Sequence[FeedEntry]:
        """Entries after a position."""
        await anyio.lowlevel.checkpoint()
        if not self.data.pruned_to <= after <= self.data.position:
            raise PositionLost(f"The feed goes from {self.data.pruned_to} to {self.data.position}.")
        return [entry for entry in self.data.feed.values() if entry.position > after][:limit]

    async def position(self) -> int:
        """The last position."""
        await anyio.lowlevel.checkpoint()
        return self.data.position

    async def snapshot(self, workspace: str, boundary: str | None = None) -> Snapshot:
        """Repos by name, tasks newest first; for one boundary of this workspace only it, with its tabs and open messages."""
        await anyio.lowlevel.checkpoint()
        records = self._repos(workspace)
        records += [one for one in self._tasks(workspace) if boundary in (None, one.record.id)]
        if boundary is not None and any(one.record.id == boundary for one in records):
            tabs = sorted(self.data.of(Tab, boundary), key=lambda found: found[0].number)
            place = {tab.id: number for number, (tab, _) in enumerate(tabs)}
            messages = [one for one in self.data.of(Message, boundary) if one[0].status not in FINAL]
            messages.sort(key=lambda found: (place[found[0].tab_id], found[0].number))
            records += [Versioned(*tab) for tab in tabs]
            records += [Versioned(*message) for message in messages]
            jobs = [one for one in self.data.of(Job, boundary) if one[0].at not in OVER]
            records += [Versioned(*one) for one in sorted(jobs, key=lambda one: one[0].number)]
            records += [Versioned(*one) for one in self.data.of(Branches, boundary)]
        return Snapshot(self.data.position, tuple(records))

    async def key(self, workspace: str, key: str) -> KeyUsed | None:
        """The answer that a key has."""
        await anyio.lowlevel.checkpoint()
        used = self.data.keys.get((workspace, key))
        return None if used is None else used[0]

    async def read_marker(self, tab_id: str, principal: str) -> int:
        """Up to which turn a principal has read a tab."""
        return (await self.read_markers(principal, [tab_id])).get(tab_id, 0)

    async def read_markers(self, principal: str, tab_ids: Sequence[str]) -> Mapping[str, int]:
        """The same for many tabs."""
        await anyio.lowlevel.checkpoint()
        found = (self.data.versioned("marker", reader_id(tab_id, principal)) for tab_id in tab_ids)
        markers = [one.record for one in found if one is not None]
        return {marker.tab_id: marker.turns for marker in markers if isinstance(marker, ReadMarker)}

    async def draft(self, tab_id: str, principal: str) -> str | None:
        """What a principal is writing in a tab."""
        await anyio.lowlevel.checkpoint()
        found = self.data.versioned("draft", reader_id(tab_id, principal))
        return found.record.text if found and isinstance(found.record, DraftText) else None

    async def open_intents(self, workspace: str, at_most: int) -> int:
        """How many intents of a workspace lie in the outbox."""
        await anyio.lowlevel.checkpoint()
        lying = (one.intent for one in self.data.outbox.values())
        return min(at_most, sum(intent.workspace == workspace for intent in lying))

    async def ready_tabs(self) -> Sequence[tuple[Task, Tab]]:
        """Every tab that is ready, with its task, by task and number."""
        await anyio.lowlevel.checkpoint()
        tasks = {task.id: task for task, _ in self.data.of(Task)}
        ready = [tab for tab, _ in self.data.of(Tab) if tab.status is TabStatus.READY]
        ready.sort(key=lambda tab: (tab.task_id, tab.number))
        return [(tasks[tab.task_id], tab) for tab in ready]

    def _tasks(self, workspace: str) -> list[Versioned]:
        found = [Versioned(*one) for one in self.data.of(Task) if one[0].workspace == workspace]
        return sorted(found, key=_place, reverse=True)

    def _repos(self, workspace: str) -> list[Versioned]:
        found = [one for one in self.data.of(Repo) if one[0].workspace == workspace]
        found.sort(key=lambda one: (one[0].name, one[0].created_at, one[0].id))
        return [Versioned(*one) for one in found]


def _place(versioned: Versioned) -> tuple[object, ...]:
    """Where a task stands in a list."""
    assert isinstance(versioned.record, Task)
    return (versioned.record.created_at, versioned.record.id)
