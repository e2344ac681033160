"""Intent queue: the port through which a scheduler takes intents out of the outbox.

Owns: `IntentQueue`, `Claimed`, `Taken` and `QueueReport`.
Never: a retry, a deadline or a backoff of its own; those are decided by the core and lie in the intents.
Reads as: services/scheduler.py -> this Protocol -> the store's own adapter.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from taskdock.core.intents import Intent


@frozen
class Claimed:
    """An intent taken for execution; its `issue` was raised and its `deadline_at` set by the claim."""

    intent: Intent


@frozen
class Taken:
    """A claim that has not ended, as the outbox knows it."""

    intent_id: str
    issue: int


@frozen
class QueueReport:
    """What lies in the outbox: open intents by lane, those running, and when the next one is due."""

    open_by_lane: Mapping[str, int]
    running: int
    next_due_at: datetime | None


class IntentQueue(Protocol):
    """Hands out open intents, each to one execution at a time."""

    async def recover(self) -> int:
        """At the start of the only scheduler: no execution runs any more. Returns how many were taken back.

        Running intents become claimable again (their issue rises with the next claim, `started` stays); cancelled ones
        are removed. Every deadline is forgotten, and set anew by the next claim: time in which nobody worked does not
        count, else work would fail after a long pause without one attempt.
        """
        ...

    async def claim(
        self, room: Mapping[str, int], now: datetime, deadlines: Mapping[str, float]
    ) -> Sequence[Claimed]:
        """Take due intents, at most `room[lane]` of each lane (a lane that is not named has the room of '*').

        Within a lane workspaces take turns, each with its oldest; whose turn it is goes on from the last claim. So one
        that has ten thousand waiting delays another by one execution at most. What is taken comes in the order of making.

        Skips an intent while another of the same boundary and subject is running or cancelled-but-running. Raises the
        issue by one, and sets `deadline_at` to now + `deadlines[body type name]` seconds where it is not set yet.
        Durable before it returns.
        """
        ...

    async def release(self, intent_id: str, issue: int) -> None:
        """Hand back an execution that ended without an outcome (drain): claimable again; removed when cancelled."""
        ...

    async def ended(self, intent_id: str, issue: int) -> None:
        """The execution of a cancelled intent has really ended: remove it, and so free its subject. Idempotent."""
        ...

    async def cancelled(self) -> Sequence[str]:
        """The ids of intents that were cancelled while an execution of them runs: whose executions must end now."""
        ...

    async def taken(self) -> Sequence[Taken]:
        """Every claim that has not ended, also the cancelled ones: what a rescuer compares with what really runs."""
        ...

    async def next_due_at(self, now: datetime) -> datetime | None:
        """When the earliest open intent with a later `not_before` is due; None when there is none."""
        ...

    async def report(self, now: datetime) -> QueueReport:
        """For people and metrics."""
        ...
