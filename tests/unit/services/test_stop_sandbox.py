"""Stop sandbox: a stop is asked for until something that it can end was there, and seen to be over."""

from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest
from attrs import evolve, field, frozen, mutable

from taskdock.core.intents import StopSandbox
from taskdock.ports.sandbox import Capabilities, Observation, Phase, SandboxRef
from taskdock.services.executors.stop_sandbox import stop_sandbox
from taskdock.services.sites import Site, Sites
from taskdock.testing.virtual_time import EPOCH
from unit.services.scripted import BOX

if TYPE_CHECKING:
    from datetime import datetime

    from taskdock.services.execution import Execution
    from taskdock.services.tools import Tools

pytestmark = pytest.mark.anyio


@mutable
class Shy:
    """A provider whose sandbox is pending for so many looks, and takes no stop until it runs."""

    pending: int
    asked: int = 0
    phase: Phase = Phase.PENDING
    capabilities: Capabilities = field(factory=lambda: Capabilities(None, "", 60.0, stop_keeps_files=True))

    async def observe(self, ref: SandboxRef) -> Observation:
        """Come up by and by."""
        if self.phase is Phase.PENDING:
            self.pending -= 1
            self.phase = Phase.PENDING if self.pending else Phase.RUNNING
        return Observation(ref, self.phase, EPOCH)

    async def stop(self, ref: SandboxRef, _owner: str) -> Observation:
        """End what runs."""
        self.asked += 1
        if self.phase is Phase.RUNNING:
            self.phase = Phase.STOPPED
        return Observation(ref, self.phase, EPOCH)


@frozen
class Creates:
    """Whose clock is the provider's."""

    def time_of(self, seen: Observation) -> "datetime":
        """When it was seen."""
        return seen.read_at


@frozen
class Outside:
    """What the executor needs of its tools."""

    sites: Sites
    creates: Creates = field(factory=Creates)


@frozen
class Heard:
    """An execution of which only the progress is told."""

    async def progress(self, _sentence: str) -> None:
        """Tell nobody."""


async def stopped(provider: Shy) -> bool:
    """Carry out one stop; whether the sandbox was seen absent."""
    tools = Outside(Sites({BOX.provider: Site(cast("Any", provider), cast("Any", provider))}))
    with anyio.fail_after(30):
        told = await stop_sandbox(StopSandbox(BOX), cast("Execution", Heard()), cast("Tools", tools))
    return told.is_absent


async def test_one_that_is_coming_up_is_stopped_once_it_runs() -> None:
    """A stop that came too early is asked for once more, instead of watching the sandbox run until the deadline."""
    provider = Shy(pending=3)
    assert not await stopped(provider)
    assert (provider.asked, provider.phase) == (2, Phase.STOPPED)


async def test_one_that_runs_is_asked_once() -> None:
    """Nothing is asked twice where the first answer says that it is over."""
    provider = evolve(Shy(pending=0), phase=Phase.RUNNING)
    assert not await stopped(provider)
    assert provider.asked == 1


@pytest.mark.parametrize("phase", [Phase.ABSENT, Phase.FAILED])
async def test_what_is_not_there_does_not_run(phase: Phase) -> None:
    """One that failed or is gone needs no stop, and only the latter is told as absent."""
    assert await stopped(evolve(Shy(pending=0), phase=phase)) is (phase is Phase.ABSENT)
