"""Rescuer: hands back claims that no execution of this process has.

Owns: `Rescuer`, a loop with a long interval, and with a hook for whoever has reason to doubt.
Never: an intent that is being executed, and no claim that is just being made.
Reads as: app starts it beside the scheduler -> queue.taken, compared with what the scheduler runs -> queue.release.

A claim can be durable without anybody to carry it out: its caller was cancelled, or the store's answer got lost, between the
commit and the scheduler's own note of it. Its subject would be busy until the next start.
"""

import logging

import anyio
from attrs import field, mutable

from taskdock.core.errors import StoreError
from taskdock.ports.intent_queue import IntentQueue
from taskdock.services.scheduler import Scheduler

_LOG = logging.getLogger(__name__)
INTERVAL_SECONDS = 60.0


@mutable(eq=False)
class Rescuer:
    """Compares the outbox with one scheduler. Start `run` in a task group beside it."""

    queue: IntentQueue
    scheduler: Scheduler
    interval_seconds: float = INTERVAL_SECONDS
    _woken: anyio.Event = field(factory=anyio.Event, init=False)

    def wake(self) -> None:
        """Something went wrong with a claim: look soon. Never blocks."""
        self._woken.set()

    async def run(self) -> None:
        """Look at each interval, and whenever woken, until cancelled."""
        while True:
            with anyio.move_on_after(self.interval_seconds):
                await self._woken.wait()
            self._woken = anyio.Event()
            try:
                await self.rescue()
            except StoreError:
                _LOG.exception(
                    "the outbox could not be looked at; trying again in %g s", self.interval_seconds
                )

    async def rescue(self) -> int:
        """Hand back what nobody executes; how much it was. No claim is made meanwhile, so none can be met half-way."""
        async with self.scheduler.claiming:
            if self.scheduler.is_draining:
                return 0
            taken = await self.queue.taken()
            lost = [one for one in taken if not self.scheduler.executes(one.intent_id, one.issue)]
            for one in lost:
                # One that ended since is not taken any more, and then this changes nothing.
                await self.queue.release(one.intent_id, one.issue)
        if lost:
            self.scheduler.wake()
            _LOG.warning("handed back %d claims that nobody carried out: %s", len(lost), lost)
        return len(lost)
