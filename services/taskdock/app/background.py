"""Background: what runs beside a Dock in its process, and how it starts and ends.

Owns: `Background`.
Never: the durable state; a process that dies without any of this loses nothing.
Reads as: wiring makes one -> the store tells it of commits -> hub, seat and scheduler are woken.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
from attrs import field, mutable

from taskdock.core.errors import Unreachable
from taskdock.ports.intent_queue import IntentQueue
from taskdock.ports.seat import Seat
from taskdock.ports.store import Reads
from taskdock.services.dock import Dock
from taskdock.services.feed import Hub
from taskdock.services.links import Links
from taskdock.services.reaper import Reaper
from taskdock.services.scheduler import Lanes, Scheduler
from taskdock.services.tools import Outside, Tools

_FOLLOW_AGAIN_SECONDS = 0.5
"""Between two looks for a scheduler in another process: a new one gives no sign of its own."""


@mutable(eq=False)
class Background:
    """The tasks beside one Dock. In the process with the seat they schedule; in others they follow who does."""

    hub: Hub
    seat: Seat
    drain_seconds: float
    _links: Links | None = field(default=None, init=False)
    _scheduler: Scheduler | None = field(default=None, init=False)
    _reaper: tuple[Reaper, float] | None = field(default=None, init=False)

    def reap(self, reaper: Reaper, interval_seconds: float) -> None:
        """Run the reaper beside the scheduler, a round every so often; 0 means never."""
        self._reaper = (reaper, interval_seconds) if interval_seconds else None

    def schedule(self, dock: Dock, queue: IntentQueue, ports: Outside, lanes: Lanes) -> None:
        """Run the scheduler here; this process has the seat."""
        links = Links(dock.stepper, dock.store, dock.reads, dock.clock, ports.sites, ports.gateway)
        tools = Tools(
            stepper=dock.stepper,
            store=dock.store,
            reads=dock.reads,
            clock=dock.clock,
            sites=ports.sites,
            gateway=ports.gateway,
            clones=ports.clones,
            namer=ports.namer,
            fallback_namer=ports.fallback_namer,
            links=links,
        )
        self._links = links
        self._scheduler = Scheduler(queue, tools, lanes)

    def committed(self, position: int) -> None:
        """A commit of this process: watchers here are woken, and the scheduler wherever it is."""
        self.hub.announce(position)
        if self._scheduler is None:
            self.seat.poke(position)
        else:
            self.seat.publish(position)
            self._scheduler.wake()

    def _poked(self, position: int) -> None:
        """Another process committed."""
        self.hub.announce(position)
        self.seat.publish(position)
        if self._scheduler is not None:
            self._scheduler.wake()

    @asynccontextmanager
    async def running(self, reads: Reads) -> AsyncIterator[None]:
        """Start everything, and end it in order. An error of the block comes out as it is, not in a group."""
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            await self._start(group, reads)
            try:
                yield
            except Exception as error:  # noqa: BLE001 - raised again below, outside the group that would wrap it
                failure = error
            finally:
                with anyio.CancelScope(shield=True):
                    if self._scheduler is not None:
                        await self._scheduler.drain(self.drain_seconds)
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _start(self, group: anyio.abc.TaskGroup, reads: Reads) -> None:
        if self._scheduler is None or self._links is None:
            group.start_soon(self._follow, reads, name="follow the scheduler")
            return
        group.start_soon(self.seat.serve, self._poked, name="seat")
        await group.start(self._links.run, name="links")
        await group.start(self._scheduler.run, name="scheduler")
        if self._reaper is not None:
            reaper, interval_seconds = self._reaper
            group.start_soon(reaper.run, interval_seconds, name="reaper")

    async def _follow(self, reads: Reads) -> None:
        """Hear from the scheduler's process what was committed, and find the next one when it ends."""
        while True:
            try:
                await self.seat.follow(self.hub.announce)
            except Unreachable:
                # Nobody schedules, so nobody tells what other processes commit: the store is all there is to ask.
                self.hub.announce(await reads.position())
                await anyio.sleep(_FOLLOW_AGAIN_SECONDS)
