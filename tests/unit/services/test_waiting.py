"""Waiting for the outside: an executor shows how far it is, looks seldomer and seldomer, and gives up in time."""

from datetime import timedelta
from itertools import pairwise
from typing import Any, cast

import anyio
import pytest
from attrs import field, mutable

from taskdock.core import inputs
from taskdock.core.errors import Permanent, Transient, Unreachable
from taskdock.core.inputs import Value
from taskdock.core.intents import Body, CreateSandbox, EnsureAgent, SendPrompt, SessionSettings
from taskdock.core.task import Task
from taskdock.ports.sandbox import Observation, Phase, SandboxRef
from taskdock.services.execution import Execution
from taskdock.services.executors.send_prompt import send_prompt
from taskdock.services.sandboxes import until
from taskdock.services.stepping import Decision
from taskdock.services.tools import Tools
from taskdock.testing.virtual_time import EPOCH
from unit.services.bench import HOUR, MINUTE, Bench, hang
from unit.services.scripted import BOX, Scripted, scripted_links

pytestmark = pytest.mark.anyio

REF = SandboxRef("local", "td-1")


@mutable
class Slow:
    """A provider whose sandbox comes up, or fails, at its time."""

    changes_at: float
    then: Phase = Phase.RUNNING
    retry_after_seconds: float | None = None
    looks: list[float] = field(factory=list)

    async def observe(self, ref: SandboxRef) -> Observation:
        """What it is at."""
        now = anyio.current_time()
        self.looks.append(now)
        phase = self.then if now >= self.changes_at else Phase.PENDING
        return Observation(
            ref, phase, EPOCH + timedelta(seconds=now), retry_after_seconds=self.retry_after_seconds
        )


async def wait(provider: Slow) -> list[str]:
    """Wait until it runs; what was said meanwhile."""
    said: list[str] = []

    async def say(sentence: str) -> None:
        said.append(sentence)

    port: Any = provider
    with anyio.fail_after(HOUR):
        await until(port, await provider.observe(REF), (Phase.RUNNING,), say)
    return said


async def test_looks_grow_seldom() -> None:
    """The first looks follow within a second, later ones every five; one that comes up is seen five seconds later at most."""
    provider = Slow(10 * MINUTE)
    said = await wait(provider)
    pauses = [later - earlier for earlier, later in pairwise(provider.looks)]
    assert pauses[:3] == pytest.approx([0.1, 0.15, 0.225])
    assert pauses[-1] == pytest.approx(5)
    assert pauses == sorted(pauses)
    assert 10 * MINUTE <= anyio.current_time() <= 10 * MINUTE + 5
    assert set(said) == {"the sandbox is pending"}


async def test_a_provider_that_says_when_is_looked_at_then() -> None:
    """A provider that asks for thirty seconds between looks gets them."""
    provider = Slow(2 * MINUTE, retry_after_seconds=30)
    await wait(provider)
    assert provider.looks == [0, 30, 60, 90, 120]


async def test_one_that_fails_on_its_way_is_an_error_then() -> None:
    """A sandbox that fails after minutes is an error at the next look, not at the deadline."""
    provider = Slow(2 * MINUTE, then=Phase.FAILED)
    with pytest.raises(Permanent, match="The sandbox failed"):
        await wait(provider)
    assert anyio.current_time() <= 2 * MINUTE + 5


async def test_progress_is_written_twice_a_second(bench: Bench) -> None:
    """Of a sentence every hundredth of a second, for ten seconds, one in half a second is kept, the first among them."""
    task = await bench.task()
    kept: list[tuple[float, str]] = []

    def note(decision: Decision) -> None:
        step = decision.record(Task, task).step
        said = "" if step is None else step.progress
        if said and said not in {sentence for _, sentence in kept}:
            kept.append((anyio.current_time(), said))

    async def tell(_body: Body, execution: Execution) -> Value:
        for number in range(1_000):
            await execution.progress(f"{number} of 1000")
            await anyio.sleep(0.01)
        return inputs.SandboxReady(adopted=False)

    bench.stepper.listeners.append(note)
    bench.goes_well(CreateSandbox=tell, EnsureAgent=hang)
    async with bench.running():
        await bench.begun(EnsureAgent)
    assert kept[0] == (0.0, "0 of 1000")
    assert len(kept) == pytest.approx(20, abs=2)
    assert min(later - earlier for (earlier, _), (later, _) in pairwise(kept)) >= 0.5
    assert bench.ran(CreateSandbox) == [0]


PROMPT = SendPrompt(BOX, "demo", "tab-1", 1, "id-of-tab-1", "p1", "msg-1", SessionSettings(None, None))


def tools_of(scripted: Scripted) -> Tools:
    """What `send_prompt` works with."""
    links, nobody = scripted.links, cast("Any", None)
    return Tools(
        sites=links.sites,
        gateway=links.gateway,
        stepper=links.stepper,
        store=links.store,
        reads=links.reads,
        clock=links.clock,
        links=links,
        clones=nobody,
        namer=nobody,
        fallback_namer=nobody,
        carrier=nobody,
        stack=nobody,
    )


class Quiet:
    """An execution whose intent is open and was not started before."""

    class intent:  # noqa: N801 - stands in for a record
        """What is looked at."""

        started = False

    async def start(self) -> None:
        """Say that the call follows."""


async def test_a_session_that_nobody_can_reach_is_given_up_after_ten_seconds() -> None:
    """A prompt whose session cannot be followed within ten seconds was not sent, and says so."""
    async with scripted_links({"tab-1": [[]]}) as scripted:
        quiet: Any = Quiet()
        scripted.gateway.silent = True
        with pytest.raises(Transient, match=r"not_called: .* nothing was sent"):
            await send_prompt(PROMPT, quiet, tools_of(scripted))
        assert anyio.current_time() == 10


async def test_a_session_that_is_lost_meanwhile_is_unreachable() -> None:
    """A prompt whose session turns out to be lost before that is told as not sent, without waiting for the rest."""
    async with scripted_links({"tab-1": []}) as scripted:
        quiet: Any = Quiet()
        scripted.gateway.refusal = Transient("there is nobody")
        with pytest.raises(Unreachable, match="there is nobody"):
            await send_prompt(PROMPT, quiet, tools_of(scripted))
        assert anyio.current_time() == pytest.approx(0.2 + 0.4 + 0.8)
