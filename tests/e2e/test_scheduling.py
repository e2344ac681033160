"""Scheduling: lanes, deadlines, pre-emption, draining and several processes on one store."""

import time
from pathlib import Path

import anyio
import pytest
from attrs import evolve

from e2e.installation import QUICK, Installation, rest, see, until_happened
from e2e.providers import under_test
from e2e.world import World
from taskdock import app
from taskdock.app import ports_of
from taskdock.core.intents import Figure, Figures
from taskdock.ports.sandbox import Observation, SandboxSpec
from taskdock.services.scheduler import Lanes
from taskdock.services.sites import Site, Sites

pytestmark = pytest.mark.anyio


class Slow:
    """The real provider, whose `ensure` first waits for a sign and counts who waits."""

    def __init__(self, provider: object) -> None:
        self._provider = provider
        self.go = anyio.Event()
        self.inside = 0
        self.most = 0
        self.ended = 0
        self._entered = anyio.Condition()

    def __getattr__(self, name: str) -> object:
        return getattr(self._provider, name)

    async def ensure(self, spec: SandboxSpec) -> Observation:
        """Wait, then ensure for real."""
        async with self._entered:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self._entered.notify_all()
        try:
            await self.go.wait()
        finally:
            self.inside -= 1
            self.ended += 1
        return await self._provider.ensure(spec)  # type: ignore[attr-defined, no-any-return]

    async def has_inside(self, count: int) -> None:
        """Wait until so many calls wait for the sign."""
        with anyio.fail_after(30):
            async with self._entered:
                while self.inside < count:
                    await self._entered.wait()


async def test_a_lane_runs_so_many_and_shows_who_waits_for_it(place: Installation, remote: Path) -> None:
    """With two places for sandboxes, two of four creates run; the others say what they wait for, and all come up."""
    config = evolve(place.config(), lanes=Lanes({**Lanes().limits, "*": 2}))
    async with ports_of(config) as ports:
        site = ports.sites.by_provider[under_test().name]
        slow = Slow(site.provider)
        outside = evolve(ports, sites=Sites({under_test().name: Site(slow, site.access)}))  # type: ignore[arg-type]
        async with app.open(config, outside=outside) as dock:
            receipts = [await dock.create_task(repo=str(remote), prompt=f"demo: echo {n}") for n in range(4)]
            for receipt in receipts:
                await rest(dock, receipt.task_id, "init_create_sandbox")
            await slow.has_inside(2)
            waiting = [(await dock.task(receipt.task_id)).waits_for for receipt in receipts]
            slow.go.set()
            for receipt in receipts:
                await rest(dock, receipt.task_id, "running")
    waits = f"the scheduler to make the sandbox (lane sandbox:{under_test().name})"
    assert sorted(map(str, waiting)) == ["None", "None", waits, waits]
    assert slow.most == 2


async def test_a_step_that_hangs_ends_at_its_deadline(place: Installation, remote: Path) -> None:
    """A provider that never answers fails the step when its time is up, and its call was cancelled."""
    limits = {**Figures().intents, "CreateSandbox": Figure(0.5, 5)}
    config = evolve(place.config(), figures=evolve(QUICK, intents=limits))
    async with ports_of(config) as ports:
        site = ports.sites.by_provider[under_test().name]
        slow = Slow(site.provider)
        outside = evolve(ports, sites=Sites({under_test().name: Site(slow, site.access)}))  # type: ignore[arg-type]
        async with app.open(config, outside=outside) as dock:
            receipt = await dock.create_task(repo=str(remote), prompt="Add a note")
            failed = await rest(dock, receipt.task_id, "error")
    assert failed.task.failure is not None
    assert failed.task.failure.failure_class.value == "deadline"
    assert (slow.inside, slow.ended) == (0, 1)


async def test_a_kill_pre_empts_a_create_that_hangs(place: Installation, remote: Path) -> None:
    """A kill is done at once although every place for creating is taken, and the hanging call is cancelled first."""
    config = evolve(place.config(), lanes=Lanes({**Lanes().limits, "*": 1}))
    async with ports_of(config) as ports:
        site = ports.sites.by_provider[under_test().name]
        slow = Slow(site.provider)
        outside = evolve(ports, sites=Sites({under_test().name: Site(slow, site.access)}))  # type: ignore[arg-type]
        async with app.open(config, outside=outside) as dock:
            first = await dock.create_task(repo=str(remote), prompt="One")
            second = await dock.create_task(repo=str(remote), prompt="Two")
            for receipt in (first, second):
                await rest(dock, receipt.task_id, "init_create_sandbox")
            for receipt in (second, first):
                await dock.kill_task(receipt.task_id)
                await rest(dock, receipt.task_id, "killed")
    assert slow.inside == 0
    assert place.sandboxes() == []


async def test_progress_is_shown_while_a_step_works(place: Installation, remote: Path) -> None:
    """The step record carries the executor's sentence and when it came."""
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Add a note")
        view = await see(
            dock,
            receipt.task_id,
            lambda view: view.task.step is not None and view.task.step.progress is not None,
            "a progress sentence",
        )
    assert view.task.step is not None
    assert view.task.step.last_progress_at is not None


async def test_a_process_that_is_told_to_stop_hands_its_turn_on(world: World, remote: Path) -> None:
    """SIGTERM in a turn exits with 0 within the drain time; the next process follows the same turn to its end."""
    world.start()
    async with world.client() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="demo: crawl 4")
        await world.see(
            dock, receipt.task_id, lambda view: view.tabs[0].turn.at == "running", "a running turn"
        )
        began = time.monotonic()
        code = world.stop()
        took_seconds = time.monotonic() - began
        world.start()
        view = await world.see(
            dock, receipt.task_id, lambda view: view.tabs[0].last_end is not None, "the end of the turn"
        )
    assert code == 0
    assert took_seconds < 10
    assert view.tabs[0].last_end is not None
    assert view.tabs[0].last_end.value == "completed"
    assert len(world.prompts_seen()) == 1


async def test_other_processes_submit_and_watch_while_one_schedules(world: World, remote: Path) -> None:
    """A client process commits, the scheduler's process carries it out, and the client hears of it; a second one watches."""
    world.start()
    async with world.client() as dock, app.open(world.config(), schedule=False) as reader:
        assert reader.schedules is False
        receipt = await dock.create_task(repo=str(remote), prompt="demo: echo hello")
        await world.rest(dock, receipt.task_id, "running")
        await until_happened(reader, receipt.task_id, "turn.ended")
        await dock.kill_task(receipt.task_id)
        await world.rest(reader, receipt.task_id, "killed")
    assert world.processes() == []


async def test_a_second_scheduler_finds_the_seat_taken(world: World) -> None:
    """A process that asks for the seat while another holds it just submits and watches."""
    world.start()
    async with app.open(world.config()) as dock:
        assert dock.schedules is False
    world.kill()
    async with app.open(world.config()) as dock:
        assert dock.schedules is True
