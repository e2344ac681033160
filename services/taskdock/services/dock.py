"""Dock: the facade that a backend embeds: the commands, reads and feed of one store.

Owns: `Dock`, `TaskView`.
Never: a wait for a provider in a command, a write in a read.
Reads as: `taskdock.app.open` -> Dock -> Workbench (commands), reads, feed.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from taskdock.core import task_boundary
from taskdock.core.errors import NotFound
from taskdock.core.message import Message
from taskdock.core.repo import Repo
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from taskdock.ports.store import Item, Store, StoredEvent
from taskdock.services import feed
from taskdock.services.workbench import DEFAULT_WORKSPACE, Workbench


@frozen
class TaskView:
    """A task with its tabs, and what may be asked of each of them now, by record id."""

    task: Task
    tabs: tuple[Tab, ...]
    version: int
    available_actions: Mapping[str, tuple[str, ...]]
    waits_for: str | None
    """What the step under way waits for when that is not its own work: a named thing, or a place in a lane."""


@frozen
class Dock(Workbench):
    """One store with everything around it."""

    store: Store
    hub: feed.Hub
    home: Path
    schedules_now: Callable[[], bool]

    @property
    def schedules(self) -> bool:
        """Whether this process runs the background work now; it may begin to when another one ends."""
        return self.schedules_now()

    async def task(self, task_id: str, *, workspace: str = DEFAULT_WORKSPACE) -> TaskView:
        """One task with its tabs; NotFound when the workspace has none of this id."""
        slice_ = await self.store.load(task_id)
        task = next((record for record in slice_.records if isinstance(record, Task)), None)
        if task is None or task.workspace != workspace:
            raise NotFound(f"There is no task {task_id!r} in the workspace {workspace!r}.")
        waits_for = task.step.waits_for if task.step else None
        unclaimed = [one for one in slice_.intents if one.issue == 0 and one.not_before is None]
        if waits_for is None and task.step is not None and unclaimed:
            waits_for = f"lane {unclaimed[0].lane}"
        return TaskView(
            task=task,
            tabs=tuple(record for record in slice_.records if isinstance(record, Tab)),
            version=slice_.version,
            available_actions=task_boundary.available_actions(slice_),
            waits_for=waits_for,
        )

    async def tasks(
        self, *, limit: int = 100, before: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> Sequence[Task]:
        """The newest tasks first, at most `limit`; the next page begins before the last id of this one."""
        found = await self.reads.tasks(workspace, limit=limit, before=before)
        return [one.record for one in found if isinstance(one.record, Task)]

    async def repos(self, *, workspace: str = DEFAULT_WORKSPACE) -> Sequence[Repo]:
        """Every repo, by name."""
        return [one.record for one in await self.reads.repos(workspace) if isinstance(one.record, Repo)]

    async def repo(self, repo: str, *, workspace: str = DEFAULT_WORKSPACE) -> Repo:
        """One repo by id, name or remote; NotFound when it is not registered."""
        found = await self._resolve(repo, workspace)
        if not isinstance(found, Repo):
            raise NotFound(f"There is no repo {repo!r}: add it first.")
        return found

    async def messages(self, tab_id: str, *, workspace: str = DEFAULT_WORKSPACE) -> Sequence[Message]:
        """Every message of a tab, in order; NotFound when the workspace has no such tab."""
        await self._tab_must_be_in(tab_id, workspace)
        return await self.reads.messages(tab_id)

    async def transcript(
        self, tab_id: str, *, after: int = 0, limit: int = 500, workspace: str = DEFAULT_WORKSPACE
    ) -> Sequence[Item]:
        """Items of a tab after a position, in order; NotFound when the workspace has no such tab."""
        await self._tab_must_be_in(tab_id, workspace)
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
        workspace: str = DEFAULT_WORKSPACE,
    ) -> feed.Watch:
        """A snapshot, then every change as it is committed, also by other processes; of one task or repo, or of all.

        With `after`, the position of a receipt, it goes on from exactly there and without a snapshot.
        """
        return feed.Watch(self.reads, self.hub, workspace, task or repo, after)
