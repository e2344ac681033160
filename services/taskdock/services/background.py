"""Background: what runs beside a Dock in its process, how it starts and ends, and how it takes the seat over.

Owns: `Background`, and `Work`, what the process with the seat does.
Never: the durable state; a process that dies without any of this loses nothing.
Reads as: wiring makes one -> the store tells it of commits -> hub, seat and scheduler are woken.

A process without the seat follows the one that has it. The end of that stream is the news that the holder left or died; of
all who wait, the one that gets the seat's lock schedules from then on, and the others follow it.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
from attrs import field, frozen, mutable

from taskdock.core.errors import PortError, Unreachable
from taskdock.ports.intent_queue import IntentQueue
from taskdock.ports.seat import Seat
from taskdock.ports.store import Reads
from taskdock.services.feed import Hub
from taskdock.services.reaper import Reaper
from taskdock.services.rescuer import Rescuer
from taskdock.services.retention import Retention
from taskdock.services.scheduler import Lanes, Scheduler
from taskdock.services.tools import Tools

_LOG = logging.getLogger(__name__)
_LOOK_AGAIN_SECONDS = 0.02
_LOOK_AGAIN_SECONDS_MAX = 0.5
"""Between two looks for a scheduler in another process: between its taking the seat and its listening there is no sign."""


@frozen
class Work:
    """What the process with the seat runs."""

    queue: IntentQueue
    tools: Tools
    lanes: Lanes
    retention: Retention
    reaper: Reaper
    reap_seconds: float
    """Between two rounds of the reaper; 0 means never."""


@mutable(eq=False)
class Background:
    """The tasks beside one Dock. In the process with the seat they schedule; in others they follow who does."""

    hub: Hub
    seat: Seat
    drain_seconds: float
    _scheduler: Scheduler | None = field(default=None, init=False)
    _over: anyio.Event = field(factory=anyio.Event, init=False)
    _waiting: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)

    @property
    def schedules(self) -> bool:
        """Whether this process runs the scheduler now."""
        return self._scheduler is not None

    def committed(self, position: int) -> None:
        """A commit of this process: watchers are woken, and a scheduler elsewhere.

        One in this process hears of what is to be done from its stepper, so a commit that orders nothing costs it nothing.
        """
        self.hub.announce(position)
        if self._scheduler is None:
            self.seat.poke(position)
        else:
            self.seat.publish(position)

    def _poked(self, position: int) -> None:
        """Another process committed."""
        self.hub.announce(position)
        self.seat.publish(position)
        if self._scheduler is not None:
            self._scheduler.wake()

    @asynccontextmanager
    async def running(self, reads: Reads, work: Work | None) -> AsyncIterator[None]:
        """Do the work once this process has the seat; without any, only follow. All of it ends with the block, in order.

        The block begins when it is known who schedules, and that, if it is this process, it has begun to. An error of the
        block comes out as it is, not in a group.
        """
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            await group.start(self._attend, reads, work)
            try:
                yield
            except Exception as error:  # noqa: BLE001 - raised again below, outside the group that would wrap it
                failure = error
            finally:
                self._over.set()
                self._waiting.cancel()
        if failure is not None:
            raise failure

    async def _attend(
        self, reads: Reads, work: Work | None, *, task_status: anyio.abc.TaskStatus[None]
    ) -> None:
        """Wait for the seat as long as it takes, then schedule until the block is over."""
        told = work is None or not await self.seat.take()
        if told:
            task_status.started()
            with self._waiting:
                await self._wait_for_seat(reads, wanted=work is not None)
        if work is None or self._over.is_set():
            return
        with anyio.CancelScope(shield=True):
            # Also a host that is cancelled drains; how long that takes is bounded.
            await self._schedule(work, anyio.TASK_STATUS_IGNORED if told else task_status)

    async def _wait_for_seat(self, reads: Reads, *, wanted: bool) -> None:
        """Follow whoever schedules; return with the seat if it is wanted, as soon as it is free."""
        pause = _LOOK_AGAIN_SECONDS
        while True:
            heard = self.hub.position
            try:
                await self.seat.follow(self.hub.announce)
            except Unreachable:
                # Nobody schedules, so nobody tells what other processes commit: the store is all there is to ask.
                self.hub.announce(await reads.position())
            if wanted and await self._take():
                return
            pause = (
                _LOOK_AGAIN_SECONDS if self.hub.position > heard else min(pause * 2, _LOOK_AGAIN_SECONDS_MAX)
            )
            await anyio.sleep(pause)

    async def _take(self) -> bool:
        try:
            return await self.seat.take()
        except PortError:
            _LOG.exception("the seat cannot be taken; looking again")
            return False

    async def _schedule(self, work: Work, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Run everything that the seat's holder runs, and drain it when the block is over."""
        scheduler = Scheduler(work.queue, work.tools, work.lanes)
        rescuer = Rescuer(work.queue, scheduler)
        scheduler.on_doubt = rescuer.wake
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self.seat.serve, self._poked, name="seat")
                await group.start(work.tools.links.run, name="links")
                self._scheduler = scheduler
                await group.start(scheduler.run, name="scheduler")
                group.start_soon(rescuer.run, name="rescuer")
                group.start_soon(work.retention.run, name="retention")
                if work.reap_seconds:
                    group.start_soon(work.reaper.run, work.reap_seconds, name="reaper")
                task_status.started()
                await self._over.wait()
                await scheduler.drain(self.drain_seconds)
                group.cancel_scope.cancel()
        finally:
            self._scheduler = None
