"""Late create: a sandbox that its provider makes after we have asked for its end, as remote ones may.

The real provider, with a window in which a create that began may still land. One loop is enough: only the core and
its executors decide here.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve

from e2e.installation import SOON, Installation, ended, rest, see, until_happened
from e2e.odd_provider import with_provider
from taskdock.app import Dock, TaskView, ports_of
from taskdock.core.errors import OutcomeUnknown
from taskdock.ports.sandbox import Observation, SandboxProvider, SandboxRef, SandboxSpec

pytestmark = pytest.mark.anyio

WINDOW_SECONDS_MIN = 3.0
"""The window; a provider that has one of its own keeps it, since its creates may take that long."""
GREET = "demo: echo hello"


@pytest.fixture
def anyio_backend() -> str:
    """One loop, see above."""
    return "asyncio"


class Late:
    """A provider whose first create lands when the test says so: it hangs until then, or its answer is lost.

    With `lands_at_once` only the answer is lost.
    """

    def __init__(self, provider: SandboxProvider, *, answer_is_lost: bool, lands_at_once: bool) -> None:
        self._provider = provider
        self._answer_is_lost = answer_is_lost
        self._lands_at_once = lands_at_once
        self._spec: SandboxSpec | None = None
        self.began = anyio.Event()
        self.destroyed = anyio.Event()
        window = max(WINDOW_SECONDS_MIN, provider.capabilities.create_window_seconds)
        self.capabilities = evolve(provider.capabilities, create_window_seconds=window)
        self.sure = timedelta(seconds=window + SOON.call_seconds)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the provider has
        return getattr(self._provider, name)

    async def ensure(self, spec: SandboxSpec) -> Observation:
        """The first is taken over and not answered; later ones are as they should be."""
        if self._spec is not None:
            return await self._provider.ensure(spec)
        self._spec = spec
        self.began.set()
        if self._lands_at_once:
            await self.land()
        if not self._answer_is_lost:
            await anyio.sleep_forever()
        raise OutcomeUnknown("the answer was lost")

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        """Destroy for real, and say that it was asked for."""
        seen = await self._provider.destroy(ref, owner)
        self.destroyed.set()
        return seen

    async def land(self) -> None:
        """Now the first create lands."""
        assert self._spec is not None
        await self._provider.ensure(self._spec)


@asynccontextmanager
async def opened(place: Installation, late: Late) -> AsyncIterator[Dock]:
    """A dock with this provider."""
    async with ports_of(place.config()) as ports:
        sites = with_provider(ports, lambda _: late).sites
        async with place.open({"sites": sites}) as dock:
            yield dock


@asynccontextmanager
async def a_late_one(
    place: Installation, *, answer_is_lost: bool = False, lands_at_once: bool = False
) -> AsyncIterator[Late]:
    """A late provider, whose sandboxes are the real ones of this installation."""
    async with ports_of(place.config()) as ports:
        (site,) = ports.sites.by_provider.values()
        yield Late(site.provider, answer_is_lost=answer_is_lost, lands_at_once=lands_at_once)


def boxes(place: Installation) -> list[str]:
    """The sandboxes that are there, by generation."""
    return sorted(box.generation for box in place.sandboxes())


async def until_it_waits(dock: Dock, task_id: str) -> TaskView:
    """Wait until the task says that it waits for a create that may still land."""
    return await see(
        dock,
        task_id,
        lambda view: (
            view.task.step is not None and view.task.step.waits_for == "a create that may still land"
        ),
        "a task that waits for the window",
    )


async def released_after(dock: Dock, task_id: str, began: TaskView) -> timedelta:
    """How long after its create began the sandbox of the first generation counted as released."""
    (released, *_) = [
        one.event for one in await dock.history(task_id) if one.event.kind.value == "sandbox.released"
    ]
    assert began.task.create_began is not None
    return released.at - began.task.create_began


@pytest.mark.parametrize("ending", ["archived", "killed"])
@pytest.mark.parametrize("is_restarted", [False, True])
async def test_landed_after_it_was_ended(
    soon: Installation, remote: Path, ending: str, is_restarted: bool
) -> None:
    """Archived or killed while its create hangs: the box that lands after the destroy is destroyed as well."""
    async with a_late_one(soon) as late:
        async with opened(soon, late) as dock:
            receipt = await dock.create_task(repo=str(remote), prompt=GREET)
            await late.began.wait()
            await (dock.archive_task if ending == "archived" else dock.kill_task)(receipt.task_id)
            await late.destroyed.wait()
            began = await until_it_waits(dock, receipt.task_id)
            await late.land()
            landed = boxes(soon)
            if not is_restarted:
                await rest(dock, receipt.task_id, ending)
        async with opened(soon, late) as dock:
            view = await rest(dock, receipt.task_id, ending)
            passed = await released_after(dock, receipt.task_id, began)
    assert (landed, boxes(soon)) == (["g1"], [])
    assert passed >= late.sure
    assert (view.task.box_ordered, view.task.create_began, view.task.generation) == (False, None, 2)


async def test_landed_in_the_middle_of_a_heal(soon: Installation, remote: Path) -> None:
    """The create's answer was lost and nothing was there: the next generation is made only when the first cannot land."""
    async with a_late_one(soon, answer_is_lost=True) as late, opened(soon, late) as dock:
        receipt = await dock.create_task(repo=str(remote), prompt=GREET)
        began = await until_it_waits(dock, receipt.task_id)
        await late.land()
        landed = boxes(soon)
        view = await ended(dock, receipt.task_id, 1)
        passed = await released_after(dock, receipt.task_id, began)
    assert (landed, boxes(soon)) == (["g1"], ["g2"])
    assert passed >= late.sure
    assert (view.task.status.value, view.task.generation) == ("running", 2)


async def test_landed_before_it_was_looked_for(soon: Installation, remote: Path) -> None:
    """The create's answer was lost and the box is there at the next look: it is adopted, and there is no other."""
    late_one = a_late_one(soon, answer_is_lost=True, lands_at_once=True)
    async with late_one as late, opened(soon, late) as dock:
        receipt = await dock.create_task(repo=str(remote), prompt=GREET)
        view = await ended(dock, receipt.task_id, 1)
        kinds = [one.event.kind.value for one in await dock.history(receipt.task_id)]
    assert boxes(soon) == [f"g{view.task.generation}"] == ["g1"]
    assert "sandbox.adopted" in kinds


async def test_stopped_while_its_create_hangs(soon: Installation, remote: Path) -> None:
    """Stopped while its create hangs: nothing runs, what landed meanwhile is stopped, and a resume adopts it."""
    async with a_late_one(soon) as late, opened(soon, late) as dock:
        receipt = await dock.create_task(repo=str(remote), prompt=GREET)
        await late.began.wait()
        await dock.stop_task(receipt.task_id)
        await until_it_waits(dock, receipt.task_id)
        await late.land()
        await until_happened(dock, receipt.task_id, "task.stopped")
        sandbox = (await dock.task(receipt.task_id)).task.sandbox
        seen = await late.observe(SandboxRef(sandbox.provider, sandbox.name))
        await dock.resume_task(receipt.task_id)
        view = await ended(dock, receipt.task_id, 1)
    assert seen.phase.value == "stopped"
    assert (boxes(soon), view.task.generation) == (["g1"], 1)
