"""Following: watch one task until it comes to rest, and show what is new as it comes.

Owns: `follow`, and what a view is.
Never: a view on the event loop: a terminal that does not take more must not keep the scheduler of this process.
Reads as: a command -> `follow(dock, wanted, view)` -> feed -> live.py -> the view.
"""

import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Protocol

import anyio
import anyio.to_thread
from attrs import evolve, field, frozen, mutable

from taskdock.adapters.entry.cli import past
from taskdock.adapters.entry.cli.live import Line, Live, Taken, take
from taskdock.adapters.entry.cli.rests import Rest, Rule
from taskdock.core.history import HistoryKind
from taskdock.core.intents import CollectWork
from taskdock.core.task_record import WAIT_REPO, TaskStatus
from taskdock.ports.store import Item, Snapshot, StoredEvent
from taskdock.services.dock import Dock
from taskdock.services.feed import Happened, Seen, Spoken

TICK_SECONDS = 0.1
"""Between two looks of a screen at its clock while nothing happens."""

COLLECTION_SECONDS_MAX = 60.0
"""How long a command waits for the commits of a turn that has ended."""

_ASK_SECONDS_MAX = 1.0
_WAITS_SECONDS = 0.5
_CLOSE_SECONDS_MAX = 1.0
_UP = (
    TaskStatus.RUNNING, TaskStatus.STOPPING, TaskStatus.STOPPED, TaskStatus.ARCHIVING, TaskStatus.ARCHIVED,
    TaskStatus.KILLING, TaskStatus.KILLED,
)  # fmt: skip
"""Where how the task came up is of no interest to a command that was given later."""


@frozen
class Wanted:
    """What is followed: a task, until when, and what of it is shown."""

    task_id: str
    rule: Rule
    workspace: str
    since: datetime | None = None
    """When the command was given: what was before is not shown; None shows everything."""
    from_message: str | None = None
    """With `since`: the user's message with which the transcript begins, else it begins with the command."""
    silent: bool = False
    """Whether the transcript is left out: what is said meanwhile is no part of what was asked for."""
    until_collected: bool = False
    """Whether rest begins only when the commits of the turn that ended are in the service clone."""


@frozen
class Shown:
    """One moment: what is new in it, and the whole as it is now. `seen` is None for a tick and for the past."""

    live: Live
    now: datetime
    lines: tuple[Line, ...] = ()
    items: tuple[Item, ...] = ()
    seen: Seen | None = None


class View(Protocol):
    """Where moments are shown. Called in a thread, one moment after the other."""

    ticks: bool
    """Whether it wants to be shown moments in which nothing is new."""

    def show(self, shown: Shown) -> None:
        """Show a moment."""
        ...

    def close(self) -> None:
        """Leave the cursor at the start of a line, visible; idempotent."""
        ...


async def follow(dock: Dock, wanted: Wanted, view: View) -> Rest:
    """Watch until the rule says that it came to rest; NotFound when the workspace has no such task."""
    task = (await dock.task(wanted.task_id, workspace=wanted.workspace)).task
    shielded = Shielded(view)
    changes = dock.watch(task=task.id, workspace=wanted.workspace)
    try:
        return await _Watch(dock, wanted, shielded).until_rest(changes)
    finally:
        await shielded.close()


async def next_change(changes: AsyncIterator[Seen], seconds: float) -> Seen | None:
    """The next change, or None when nothing has come for so long; then nothing is lost, the next call goes on."""
    with anyio.move_on_after(seconds):
        return await anext(changes)
    return None


@mutable(eq=False)
class Shielded:
    """A view behind threads: one moment at a time, and a terminal that takes no more is left behind in the end."""

    view: View
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    async def show(self, shown: Shown) -> None:
        """Show a moment, unless nothing is new and the view does not care."""
        if shown.lines or shown.items or shown.seen is not None or self.view.ticks:
            await anyio.to_thread.run_sync(self._locked, self.view.show, shown, abandon_on_cancel=True)

    async def close(self) -> None:
        """Close the view, unless a terminal keeps it from that."""
        with anyio.move_on_after(_CLOSE_SECONDS_MAX, shield=True):
            await anyio.to_thread.run_sync(self._locked, self.view.close, abandon_on_cancel=True)

    def _locked(self, call: Callable[..., None], *arguments: Shown) -> None:
        with self._lock:
            call(*arguments)


@mutable(eq=False)
class _Watch:
    """One task being watched."""

    dock: Dock
    wanted: Wanted
    view: Shielded
    _live: Live = field(init=False)
    _speaks: bool = field(default=False, init=False)
    _begun: bool = field(default=False, init=False)
    _asked_at: float = field(default=float("-inf"), init=False)

    def __attrs_post_init__(self) -> None:
        self._live = Live(self.wanted.task_id)

    async def until_rest(self, changes: AsyncIterator[Seen]) -> Rest:
        """Take what comes until the rule is content and, where it is wanted, the work is collected."""
        pause, give_up_at = TICK_SECONDS, float("inf")
        while True:
            await self._take(await next_change(changes, pause))
            rest = self.wanted.rule(self._live) if self._begun else None
            if rest is None:
                pause, give_up_at = TICK_SECONDS, anyio.current_time() + COLLECTION_SECONDS_MAX
            elif await self._is_over():
                return rest
            elif anyio.current_time() > give_up_at:
                await self._show(Taken(self._live, (Line("the commits are still being collected"),)))
                return rest
            else:
                # The end of a collection that brought nothing changes no record: it can only be asked for.
                pause = min(pause * 2, _ASK_SECONDS_MAX)

    async def _is_over(self) -> bool:
        """Whether the work is collected where that is wanted, and everything that happened has been seen."""
        if self.wanted.until_collected and not await self._is_collected():
            return False
        return not await self.dock.history(
            self.wanted.task_id,
            after=self._live.event_number,
            limit=1,
            workspace=self.wanted.workspace,
        )

    async def _is_collected(self) -> bool:
        slice_ = await self.dock.store.load(self.wanted.task_id)
        return not any(isinstance(intent.body, CollectWork) for intent in slice_.intents)

    async def _take(self, seen: Seen | None) -> None:
        """One change, or a tick; the first snapshot brings the past with it."""
        if seen is None:
            await self._ask_what_it_waits_for()
            await self._show(Taken(self._live))
            return
        taken = take(self._live, seen)
        self._live = taken.live
        await self._show(taken, seen)
        if isinstance(seen, Snapshot):
            await self._take_past()
            self._begun = True

    async def _ask_what_it_waits_for(self) -> None:
        """What no change of the task tells: how far the clone is that it waits for, or that its lane is full."""
        task, now = self._live.task, anyio.current_time()
        if task is None or task.step is None or now - self._asked_at < _WAITS_SECONDS:
            return
        self._asked_at = now
        if task.step.name == WAIT_REPO:
            repo = await self.dock.repo(task.repo_id, workspace=self.wanted.workspace)
            self._live = evolve(self._live, repo=repo)
        else:
            waits_for = (await self.dock.task(task.id, workspace=self.wanted.workspace)).waits_for
            self._live = evolve(self._live, waits_for=waits_for)

    async def _take_past(self) -> None:
        """What happened before the snapshot; of what is older than the command only the rows of a task on its way up."""
        task = self._live.task
        assert task is not None
        lines: list[Line] = []
        spoken = self.wanted.since is not None
        async for page in past.events(self.dock, task.id, self.wanted.workspace):
            for event in page:
                if event.event.kind is HistoryKind.TURN_STARTED and not spoken:
                    await self._show(Taken(self._live, tuple(lines)))
                    await self._take_past_items()
                    lines, spoken = [], True
                taken = take(self._live, Happened(0, event))
                self._live = taken.live
                if not self._is_old(event):
                    lines += taken.lines
                elif task.status in _UP:
                    self._live = evolve(self._live, rows=())
        await self._show(Taken(self._live, tuple(lines)))

    def _is_old(self, stored: StoredEvent) -> bool:
        return self.wanted.since is not None and stored.event.at < self.wanted.since

    async def _take_past_items(self) -> None:
        """What was said so far, tab by tab; it stands between how the task came up and what has come of it."""
        for tab_id in list(self._live.tabs):
            async for items in past.items(self.dock, tab_id, self.wanted.workspace):
                taken = take(self._live, Spoken(0, tab_id, items))
                self._live = taken.live
                await self._show(taken)

    async def _show(self, taken: Taken, seen: Seen | None = None) -> None:
        items = tuple(item for item in taken.items if self._is_wanted(item))
        await self.view.show(Shown(self._live, datetime.now(UTC), taken.lines, items, seen))

    def _is_wanted(self, item: Item) -> bool:
        """Everything, or everything from the wanted message or the command on."""
        if self.wanted.since is None:
            return True
        if self.wanted.from_message is None:
            return not self.wanted.silent and item.at >= self.wanted.since
        self._speaks = self._speaks or item.body.get("message") == self.wanted.from_message
        return self._speaks
