"""Capacity: how much one workspace may have waiting before the request path says come back later.

Owns: `Capacity`.
Never: a count per request; it counts once, and lets through half of what is left before it counts again.
Reads as: Stepper.submit -> this -> Reads.open_intents.

With several processes the bound is a soft one: each lets through by its own last count, for a second at most.
"""

from collections.abc import Callable

import anyio
from attrs import field, frozen, mutable

from taskdock.core.errors import CapacityExceeded
from taskdock.ports.store import Reads

OPEN_INTENTS_MAX = 20_000
RETRY_AFTER_SECONDS = 5.0
_TRUST_SECONDS = 1.0
_WORKSPACES_KNOWN_MAX = 10_000


@frozen
class _Left:
    requests: int
    until: float


@mutable(eq=False)
class Capacity:
    """Admits requests that add work to a workspace."""

    reads: Reads
    open_intents_max: int = OPEN_INTENTS_MAX
    monotonic: Callable[[], float] = anyio.current_time
    _left: dict[str, _Left] = field(factory=dict, init=False)

    async def admit(self, workspace: str) -> None:
        """Let one more request through; CapacityExceeded when too much of the workspace waits."""
        left = self._left.get(workspace)
        if left is None or left.requests <= 0 or left.until <= self.monotonic():
            left = await self._count(workspace)
        self._left[workspace] = _Left(left.requests - 1, left.until)

    async def _count(self, workspace: str) -> _Left:
        count = await self.reads.open_intents(workspace, self.open_intents_max)
        if count >= self.open_intents_max:
            raise CapacityExceeded(
                f"The workspace {workspace!r} has {count:,} intents waiting, as many as it may "
                f"(open_intents_max): come back in {RETRY_AFTER_SECONDS:g} s.",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        if len(self._left) >= _WORKSPACES_KNOWN_MAX:
            self._left.clear()
        return _Left(max(1, (self.open_intents_max - count) // 2), self.monotonic() + _TRUST_SECONDS)
