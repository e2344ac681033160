"""Dock: the facade that a backend embeds: the commands, reads and feed of one store.

Owns: `Dock`, `TaskView`, `BranchesView`.
Never: a wait for a provider in a command, a write in a read.
Reads as: `taskdock.app.open` -> Dock -> message_requests.py and those below it (commands), reads, feed.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import field, frozen

from taskdock.core import message as messages
from taskdock.core import permission as permissions
from taskdock.core import task_boundary
from taskdock.core.branches import Branches
from taskdock.core.change import Slice
from taskdock.core.errors import NotFound
from taskdock.core.job import Job
from taskdock.core.message import Message
from taskdock.core.repo import Repo, RepoStatus
from taskdock.core.tab import Permission, Tab
from taskdock.core.task import Task
from taskdock.ports.store import Item, Store, StoredEvent
from taskdock.services import feed
from taskdock.services.message_requests import MessageRequests
from taskdock.services.waiting import waits_for
from taskdock.services.workbench import DEFAULT_WORKSPACE


@frozen
class TaskView:
    """A task with its tabs, and what may be asked of each of them now, by record id."""

    task: Task
    tabs: tuple[Tab, ...]
    version: int
    available_actions: Mapping[str, tuple[str, ...]]
    waits_for: str | None
    """What the step under way waits for when that is not its own work: a named thing, or the scheduler."""
    queued: tuple[Message, ...] = ()
    """Messages that wait to be sent, tab by tab in their order; those of a `Tab.held` queue wait for the user."""
    unread: Mapping[str, int] = field(factory=dict)
    """By tab: how many ended turns the principal that was asked for has not read; empty when none was."""

    @property
    def permissions(self) -> tuple[Permission, ...]:
        """What agents ask now, and wait for an answer to."""
        asked = (one for tab in self.tabs for one in tab.turn.permissions)
        return tuple(one for one in asked if one.at == permissions.ASKED)

    @property
    def held(self) -> tuple[str, ...]:
        """The tabs whose queue holds messages that wait for the user: a send, or `resume_queue`."""
        waiting = {message.tab_id for message in self.queued}
        return tuple(tab.id for tab in self.tabs if tab.held and tab.id in waiting)


@frozen
class BranchesView:
    """A repo's branches as they were last seen (`seen.read_at`; nothing before the first job), and its open jobs."""

    repo: Repo
    seen: Branches
    jobs: tuple[Job, ...]


@frozen
class Dock(MessageRequests):
    """One store with everything around it."""

    store: Store
    hub: feed.Hub
    home: Path
    schedules_now: Callable[[], bool]

    @property
    def schedules(self) -> bool:
        """Whether this process runs the background work now; it may begin to when another one ends."""
        return self.schedules_now()

    async def task(
        self, task_id: str, *, principal: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> TaskView:
        """One task with its tabs; NotFound when the workspace has none of this id. `principal` is whose unread is told."""
        slice_ = await self.store.load(task_id)
        task = next((record for record in slice_.records if isinstance(record, Task)), None)
        if task is None or task.workspace != workspace:
            raise NotFound(f"There is no task {task_id!r} in the workspace {workspace!r}.")
        return TaskView(
            task=task,
            tabs=tuple(record for record in slice_.records if isinstance(record, Tab)),
            version=slice_.version,
            available_actions=task_boundary.available_actions(slice_),
            waits_for=waits_for(task, slice_),
            unread={} if principal is None else await self._unread(slice_, principal),
            queued=tuple(
                record
                for record in slice_.records
                if isinstance(record, Message) and record.at == messages.QUEUED
            ),
        )

    async def _unread(self, slice_: Slice, principal: str) -> Mapping[str, int]:
        tabs = [record for record in slice_.records if isinstance(record, Tab)]
        read = await self.reads.read_markers(principal, [tab.id for tab in tabs])
        return {tab.id: max(tab.turns_ended - read.get(tab.id, 0), 0) for tab in tabs}

    async def draft(self, tab_id: str, principal: str, *, workspace: str = DEFAULT_WORKSPACE) -> str | None:
        """What a principal is writing in a tab; NotFound when the workspace has no such tab."""
        await self._tab_in(workspace, tab_id)
        return await self.reads.draft(tab_id, principal)

    async def tasks(
        self, *, limit: int = 100, before: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> Sequence[Task]:
        """The newest tasks first, at most `limit`; the next page begins before the last id of this one."""
        found = await self.reads.tasks(workspace, limit=limit, before=before)
        return [one.record for one in found if isinstance(one.record, Task)]

    async def repos(self, *, removed: bool = False, workspace: str = DEFAULT_WORKSPACE) -> Sequence[Repo]:
        """Every repo, by name; with `removed` also those that are not worked on any more."""
        found = [one.record for one in await self.reads.repos(workspace) if isinstance(one.record, Repo)]
        return [repo for repo in found if removed or repo.status is not RepoStatus.REMOVED]

    async def repo(self, repo: str, *, workspace: str = DEFAULT_WORKSPACE) -> Repo:
        """One repo by id, name or remote; NotFound when it is not registered."""
        found = await self._resolve(repo, workspace)
        if not isinstance(found, Repo):
            raise NotFound(f"There is no repo {repo!r}: add it first.")
        return found

    async def jobs(
        self, repo: str, *, limit: int = 50, before: int | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> Sequence[Job]:
        """The newest jobs of a repo first, at most `limit`; the next page begins before the last number of this one."""
        found = await self._repo_in(repo, workspace)
        jobs = await self.reads.jobs(found.id, limit=limit, before=before)
        return [one.record for one in jobs if isinstance(one.record, Job)]

    async def job(self, job_id: str, *, workspace: str = DEFAULT_WORKSPACE) -> Job:
        """One job; NotFound when the workspace has none of this id."""
        return await self._job_in(workspace, job_id)

    async def branches(self, repo: str, *, workspace: str = DEFAULT_WORKSPACE) -> BranchesView:
        """How a repo's branches stood when its clone was last read, and which jobs are queued or running on them."""
        found = await self._repo_in(repo, workspace)
        snapshot = await self.reads.snapshot(workspace, found.id)
        records = [one.record for one in snapshot.records]
        known = next((one for one in records if isinstance(one, Branches)), Branches(found.id))
        return BranchesView(found, known, tuple(one for one in records if isinstance(one, Job)))

    async def messages(self, tab_id: str, *, workspace: str = DEFAULT_WORKSPACE) -> Sequence[Message]:
        """Every message of a tab, in order; NotFound when the workspace has no such tab."""
        await self._tab_in(workspace, tab_id)
        return await self.reads.messages(tab_id)

    async def transcript(
        self, tab_id: str, *, after: int = 0, limit: int = 500, workspace: str = DEFAULT_WORKSPACE
    ) -> Sequence[Item]:
        """Items of a tab after a position, in order; NotFound when the workspace has no such tab."""
        await self._tab_in(workspace, tab_id)
        return await self.reads.transcript(tab_id, after=after, limit=limit)

    async def history(
        self,
        boundary: str | None = None,
        *,
        after: int = 0,
        limit: int = 500,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> Sequence[StoredEvent]:
        """Events of one task or repo (or of the workspace) after a number, in order."""
        return await self.reads.history(boundary, workspace=workspace, after=after, limit=limit)

    def watch(
        self,
        *,
        task: str | None = None,
        repo: str | None = None,
        after: int | None = None,
        principal: str | None = None,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> feed.Watch:
        """A snapshot, then every change as it is committed, also by other processes; of one task or repo, or of all.

        With `after`, the position of a receipt, it goes on from exactly there and without a snapshot. `principal` is who
        watches: it is told its own read markers and drafts too.
        """
        return feed.Watch(self.reads, self.hub, workspace, task or repo, after, principal=principal)
