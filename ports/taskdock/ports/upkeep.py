"""Upkeep: the port through which a store forgets what nobody needs any more.

Owns: `Upkeep`, `Horizon`, `Pruned` and the kinds of what may be pruned.
Never: a record, a text, a transcript, an open intent, or anything of a task that can still change.
Reads as: services/retention.py -> this Protocol -> adapters/store/<technology>.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Protocol

from attrs import frozen


class Prunable(Enum):
    """What a store keeps only for a while."""

    HISTORY = "history"
    """Events of tasks that are archived or killed, once the last of them is old enough."""
    FEED = "feed"
    """Feed entries; who stood before them gets PositionLost and begins again with a snapshot."""
    KEYS = "keys"
    """Idempotency keys; a request sent again after that counts as a new one."""


@frozen
class Horizon:
    """How far back each kind is kept. Of the feed, whatever is older or beyond the newest `feed_rows_max` goes."""

    history_before: datetime
    feed_before: datetime
    feed_rows_max: int
    keys_before: datetime


@frozen
class Pruned:
    """One batch: how many went, and from where the next one goes on; None when nothing is left to look at."""

    count: int
    after: int | None


class Upkeep(Protocol):
    """Prunes in batches, so that no commit waits for long."""

    async def note_position(self, now: datetime) -> None:
        """Remember how far the feed has got by now: its entries carry no time of their own. Idempotent."""
        ...

    async def prunable(self, horizon: Horizon) -> Mapping[Prunable, int]:
        """How many of each kind `prune` would take away. Writes nothing."""
        ...

    async def prune(self, kind: Prunable, horizon: Horizon, *, after: int, limit: int) -> Pruned:
        """Take away a batch, looking at no more than `limit` of a kind, from `after` (0 at first) on. Safe to repeat."""
        ...
