"""Calls: the way from one process to everything outside it, call by call; where it can be killed, delayed or told lies.

Owns: `Calls`, `Died`.
Never: an effect of a dead process; an effect in two halves.
Reads as: a simulated port -> `Calls.make` -> (a fault, a delay, the end of the process) -> the effect in nature.

Every port of a simulated process goes through here, the store included. So between any two effects of a process there is
a place where it can be killed, and killing it needs no help from the code under test.
"""

from collections.abc import Callable
from contextvars import ContextVar
from random import Random
from typing import TypeVar

import anyio
from attrs import field, mutable

from taskdock.core.errors import StoreError
from taskdock.testing.simulation.faults import Faults, Kind

T = TypeVar("T")

REQUEST: ContextVar[int | None] = ContextVar("request", default=None)
"""The id of the task in which a client waits for an answer; what a request leaves behind runs in others."""

_DELAYS_SECONDS = (0.0, 0.0, 0.0, 0.001, 0.01, 0.1, 1.0)
_SLOW_SECONDS = 20.0
_HANG_SECONDS = 100_000.0
_GIVES_UP = {"gateway.attach": 60.0}
"""Calls that promise to end by themselves, and after how many seconds."""


class Died(BaseException):
    """The process was killed in this call. Not an Exception, so that nothing under test can take it for one."""


@mutable(eq=False)
class Calls:
    """The calls of one process."""

    dice: Random
    faults: Faults
    on_death: Callable[[], None]
    is_alive: bool = True
    count: int = 0
    dies_at: int | None = None
    """The number of the half-call at which it is killed: each call has one before its effect and one after."""
    trace: Callable[[str], None] = field(default=lambda _: None)
    broken: Callable[[int, str], None] = field(default=lambda *_: None)

    async def make(self, name: str, effect: Callable[[], T]) -> T:
        """One call outside: `effect` happens at one instant, or not at all."""
        if REQUEST.get() == anyio.get_current_task().id:
            self.broken(8, f"a request calls {name}")
        self._point(name, "before")
        fault = self.faults.take(name)
        await anyio.sleep(self.dice.choice(_DELAYS_SECONDS))
        self._must_live()
        if fault is not None:
            self.trace(f"{name}: {fault.value}")
            await self._before(name, fault)
        answer = effect()
        self._point(name, "after")
        if fault is Kind.SLOW:
            await anyio.sleep(_SLOW_SECONDS)
            self._must_live()
        if fault is Kind.LOST:
            raise fault.error(name)
        return answer

    async def store(self, name: str) -> Kind | None:
        """Before a call of the store: it is near, so it takes no time; the fault that it has."""
        self._point(name, "before")
        await anyio.lowlevel.checkpoint()
        self._must_live()
        fault = self.faults.take(name)
        if fault is Kind.REFUSED:
            self.trace(f"{name}: {fault.value}")
            raise StoreError(f"the simulated store refuses {name}")
        return fault

    def stored(self, name: str, fault: Kind | None) -> None:
        """After it: the process may die here, or never learn what became of it."""
        self._point(name, "after")
        if fault is Kind.LOST:
            self.trace(f"{name}: {fault.value}")
            raise StoreError(f"the simulated store took {name} and could not say so")

    async def _before(self, name: str, fault: Kind) -> None:
        if fault is Kind.HANG:
            await anyio.sleep(_GIVES_UP.get(name, _HANG_SECONDS))
            self._must_live()
        if fault is Kind.HANG and name in _GIVES_UP:
            raise Kind.REFUSED.error(name)
        if fault not in (Kind.LOST, Kind.SLOW, Kind.HANG):
            raise fault.error(name)

    def _point(self, name: str, half: str) -> None:
        """A place between two effects, where the process can be killed."""
        self._must_live()
        self.count += 1
        if self.count == self.dies_at:
            self.trace(f"killed {half} {name}")
            self.is_alive = False
            self.on_death()
            raise Died

    def _must_live(self) -> None:
        if not self.is_alive:
            raise Died
