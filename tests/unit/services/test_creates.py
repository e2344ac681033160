"""Creates: how late a look was after a create, whatever becomes of the wall clock in between."""

from datetime import datetime, timedelta

import anyio
import pytest
from attrs import mutable

from taskdock.ports.sandbox import Observation, Phase, SandboxRef
from taskdock.services.creates import Creates
from taskdock.testing.virtual_time import VirtualClock

pytestmark = pytest.mark.anyio

REF = SandboxRef("far", "td-1")
OTHER = SandboxRef("far", "td-2")


@mutable
class SetClock:
    """A wall clock that somebody sets."""

    set_by: timedelta = timedelta()

    def now(self) -> datetime:
        """The time, and how far it was set."""
        return VirtualClock().now() + self.set_by

    def new_id(self, kind: str) -> str:
        """Nobody needs one."""
        raise NotImplementedError(kind)

    def look(self, ref: SandboxRef = REF) -> Observation:
        """Nothing is there, says a provider by this clock."""
        return Observation(ref, Phase.ABSENT, self.now())


async def test_look_is_as_late_as_it_says() -> None:
    """While nobody sets the clock, a look was when it says that it was, also some time ago."""
    clock = SetClock()
    creates = Creates(clock)
    creates.begin(REF)
    await anyio.sleep(5)
    seen = clock.look()
    await anyio.sleep(5)
    assert creates.time_of(seen) == seen.read_at


async def test_clock_that_is_set_forward_makes_no_look_later() -> None:
    """A look ten seconds after a create counts as that, although the clock says that it was an hour."""
    clock = SetClock()
    creates, began = Creates(clock), clock.now()
    creates.begin(REF)
    clock.set_by = timedelta(hours=1)
    await anyio.sleep(10)
    assert creates.time_of(clock.look()) == began + timedelta(seconds=10)


async def test_clock_that_is_set_back_is_believed() -> None:
    """A look that seems to be before the create stays so: waiting too long does no harm."""
    clock = SetClock()
    creates = Creates(clock)
    creates.begin(REF)
    clock.set_by = timedelta(hours=-1)
    seen = clock.look()
    assert creates.time_of(seen) == seen.read_at


async def test_create_of_nobody_here_goes_by_the_wall_clock() -> None:
    """What an earlier process began, or this one more than an hour ago, is not known here any more."""
    clock = SetClock()
    creates = Creates(clock)
    creates.begin(REF)
    clock.set_by = timedelta(hours=1)
    await anyio.sleep(3_600)
    creates.begin(OTHER)
    for ref in (REF, SandboxRef("far", "td-3")):
        seen = clock.look(ref)
        assert creates.time_of(seen) == seen.read_at


async def test_last_attempt_counts() -> None:
    """A create that is called again may land from then on."""
    clock = SetClock()
    creates = Creates(clock)
    creates.begin(REF)
    await anyio.sleep(30)
    creates.begin(REF)
    again = clock.now()
    clock.set_by = timedelta(hours=1)
    assert creates.time_of(clock.look()) == again
