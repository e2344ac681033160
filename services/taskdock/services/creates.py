"""Creates: when this process began each create, by a clock that nobody sets, so that no jump of the wall clock ends a window.

Owns: `Creates`.
Never: a time later than the wall clock's; what an earlier process began is not known here.
Reads as: create_sandbox.py notes the create -> stop_sandbox.py, destroy_sandbox.py ask how late their look was after it.
"""

from datetime import datetime, timedelta

import anyio
from attrs import field, mutable

from taskdock.ports.clock import Clock
from taskdock.ports.sandbox import Observation, SandboxRef

_KEPT_SECONDS = 3600.0
"""Longer than any provider's window for a create."""


@mutable(eq=False)
class Creates:
    """The creates of the last hour, each with its time on the wall and on the process's own clock."""

    clock: Clock
    _began: dict[SandboxRef, tuple[datetime, float]] = field(factory=dict, init=False)

    def begin(self, ref: SandboxRef) -> None:
        """An attempt to make it follows."""
        moment = anyio.current_time()
        self._began = {of: one for of, one in self._began.items() if moment - one[1] < _KEPT_SECONDS}
        self._began[ref] = (self.clock.now(), moment)

    def time_of(self, seen: Observation) -> datetime:
        """When a look was, counted from the create: before what it says itself where the wall clock was set forward since."""
        if seen.ref not in self._began:
            return seen.read_at
        began_at, moment = self._began[seen.ref]
        return min(seen.read_at, began_at + timedelta(seconds=anyio.current_time() - moment))
