"""Retention: how long history, feed and idempotency keys are kept.

Owns: `Keep` (the periods) and `Retention`, which prunes by them.
Never: a record, a transcript, a ref in a service clone: what a task made stays until somebody deletes it by name.
Reads as: app starts it beside the scheduler -> `Upkeep.prune`, batch after batch, with pauses for the other writers.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

import anyio
from attrs import frozen, mutable

from taskdock.core.errors import StoreError
from taskdock.ports.clock import Clock
from taskdock.ports.upkeep import Horizon, Prunable, Upkeep

_LOG = logging.getLogger(__name__)
INTERVAL_SECONDS = 3600.0
_BATCH = 500
_PAUSE_SECONDS = 0.02
"""Between two batches, so that commits which wait get their turn."""


@frozen
class Keep:
    """For how long what may be pruned is kept."""

    history_days: float = 90.0
    """Of a task that is archived or killed, counted from its last event; other history stays."""
    feed_days: float = 7.0
    feed_rows_max: int = 1_000_000
    keys_hours: float = 48.0

    def horizon(self, now: datetime) -> Horizon:
        """What it comes to now."""
        return Horizon(
            history_before=now - timedelta(days=self.history_days),
            feed_before=now - timedelta(days=self.feed_days),
            feed_rows_max=self.feed_rows_max,
            keys_before=now - timedelta(hours=self.keys_hours),
        )


@mutable(eq=False)
class Retention:
    """Prunes one store. Start `run` in a task group."""

    store: Upkeep
    clock: Clock
    keep: Keep
    interval_seconds: float = INTERVAL_SECONDS

    async def run(self) -> None:
        """Prune now and at each interval, until cancelled; what the store refuses waits for the next time."""
        while True:
            try:
                await self.prune()
            except StoreError:
                _LOG.exception("the store could not be pruned; trying again in %g s", self.interval_seconds)
            await anyio.sleep(self.interval_seconds)

    async def plan(self) -> Mapping[str, int]:
        """How many of each kind `prune` would take away; writes nothing."""
        found = await self.store.prunable(self.keep.horizon(self.clock.now()))
        return {kind.value: found[kind] for kind in Prunable}

    async def prune(self) -> Mapping[str, int]:
        """Take away what is too old; how much of each kind it was."""
        now = self.clock.now()
        await self.store.note_position(now)
        counts = {kind.value: await self._prune(kind, self.keep.horizon(now)) for kind in Prunable}
        if any(counts.values()):
            _LOG.info("pruned %s", counts)
        return counts

    async def _prune(self, kind: Prunable, horizon: Horizon) -> int:
        total, after = 0, 0
        while True:
            pruned = await self.store.prune(kind, horizon, after=after, limit=_BATCH)
            total += pruned.count
            if pruned.after is None:
                return total
            after = pruned.after
            await anyio.sleep(_PAUSE_SECONDS)
