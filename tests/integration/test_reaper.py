"""The reaper on real sandboxes of this machine and a real store: what it ends, what it leaves, and what it says."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve, frozen

from local_process import processes, until
from taskdock.adapters.sandbox.local.provider import LocalSandboxes
from taskdock.app import Config, Dock, ports_of
from taskdock.app import open as open_dock
from taskdock.core import inputs
from taskdock.core.change import Change
from taskdock.core.errors import Transient
from taskdock.core.history import HistoryKind
from taskdock.core.machine import NEW
from taskdock.core.task import STATES, Task
from taskdock.core.task_record import KILLED
from taskdock.core.values import sandbox_name
from taskdock.ports.sandbox import Exec, Observation, Phase, SandboxRef, SandboxSpec
from taskdock.ports.store import Commit, Committed
from taskdock.services.reaper import Fate, Found, Reaper, Round
from taskdock.services.sites import Site, Sites
from taskdock.services.stepping import Decision, Stepper

pytestmark = pytest.mark.anyio

UNKNOWN = "task-00000000000000000000"


@frozen
class Place:
    """A store with one task, a provider with sandboxes, and the reaper between them."""

    dock: Dock
    sites: Sites
    reaper: Reaper
    root: Path

    @property
    def local(self) -> LocalSandboxes:
        """The provider itself."""
        provider = self.sites.by_provider["local"].provider
        assert isinstance(provider, LocalSandboxes)
        return provider

    async def task(self, at: str = "running", generation: int = 1) -> str:
        """A task in this state, at this generation."""
        receipt = await self.dock.create_task(repo="https://git.example.org/a/b", prompt="Do it")
        await self.change(receipt.task_id, at=at, generation=generation, step=None)
        return receipt.task_id

    async def change(self, task_id: str, **changes: Any) -> None:
        """Let the store hold the task with these changes; again when the reaper was faster."""
        while True:
            slice_ = await self.dock.store.load(task_id)
            (task,) = (one for one in slice_.records if isinstance(one, Task))
            changed = (evolve(task, **changes),)
            change = Change(task_id, slice_.workspace, slice_.version, slice_.runs, records=changed)
            if isinstance(await self.dock.store.commit(Commit((change,))), Committed):
                return

    def spec(self, task_id: str, generation: int = 1, owner: str | None = None) -> SandboxSpec:
        """What the sandbox of a task is called and labelled."""
        owner = owner or self.dock.owner
        return SandboxSpec(
            SandboxRef("local", sandbox_name(owner, task_id, generation)), owner, task_id, generation
        )

    async def make(self, task_id: str, generation: int = 1, owner: str | None = None) -> SandboxRef:
        """Make a sandbox."""
        spec = self.spec(task_id, generation, owner)
        assert (await self.local.ensure(spec)).phase is Phase.RUNNING
        return spec.ref

    async def is_there(self, ref: SandboxRef) -> bool:
        """Whether the provider has it."""
        return (await self.local.observe(ref)).phase is not Phase.ABSENT

    async def reaped_events(self, task_id: str) -> list[tuple[object, object]]:
        """What the task's history says of the reaper."""
        history = await self.dock.history(task_id)
        return [
            (one.event.data["sandbox"], one.event.data["reason"])
            for one in history
            if one.event.kind is HistoryKind.SANDBOX_REAPED
        ]


@asynccontextmanager
async def place(folder: Path, age_seconds_min: float = 0.0) -> AsyncIterator[Place]:
    """Open one; its sandboxes are ended with it."""
    config = Config(home=folder / "home")
    async with ports_of(config) as ports, open_dock(config, schedule=False, outside=ports) as dock:
        reaper = Reaper(ports.sites, dock.stepper, dock.reads, dock.clock, dock.owner, age_seconds_min)
        made = Place(dock, ports.sites, reaper, config.home / "sandboxes")
        try:
            yield made
        finally:
            with anyio.CancelScope(shield=True):
                for owner in (dock.owner, "another"):
                    async for one in made.local.list_owned(owner):
                        await made.local.destroy(one.ref, owner)


def fates(found: Round) -> dict[str, Fate]:
    """What became of each sandbox, by name."""
    return {one.ref.name: one.fate for one in found.found}


@pytest.mark.parametrize(
    ("at", "of_task", "of_box", "reason"),
    [
        ("running", 2, 1, "it is generation 1 of a task that is at 2"),
        ("stopped", 3, 1, "it is generation 1 of a task that is at 3"),
        ("archived", 2, 1, "it is generation 1 of a task that is at 2"),
        ("killed", 1, 1, "its task is killed"),
        ("killed", 2, 1, "it is generation 1 of a task that is at 2"),
    ],
)
async def test_what_no_task_needs_is_ended_and_stands_in_the_history(
    tmp_path: Path, at: str, of_task: int, of_box: int, reason: str
) -> None:
    """An older generation, and a box of a task that is over: no process and no file is left, and the task's history says why."""
    async with place(tmp_path) as here:
        task = await here.task(at, of_task)
        ref = await here.make(task, of_box)
        await here.local.exec(ref, Exec(("sh", "-c", "sleep 1000 >/dev/null 2>&1 &")))
        ended = await here.reaper.reap()
        assert ended.found == (
            Found(ref, Fate.REAPED, reason, task, of_box, created_at=ended.found[0].created_at),
        )
        assert not await here.is_there(ref)
        assert processes(here.root, ref.name) == set()
        assert await here.reaped_events(task) == [(ref.name, reason)]
        assert (await here.reaper.reap()).found == ()


async def test_a_box_of_no_task_is_ended_and_stands_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no history to write it into, so the log says which and why."""
    async with place(tmp_path) as here:
        ref = await here.make(UNKNOWN)
        with caplog.at_level(logging.WARNING, "taskdock"):
            ended = await here.reaper.reap()
        assert fates(ended) == {ref.name: Fate.REAPED}
        assert not await here.is_there(ref)
    assert f"reaper: sandbox {ref.name} is ended: there is no such task" in caplog.messages


async def test_the_current_generation_is_left_in_every_state(tmp_path: Path) -> None:
    """Whatever the task does, short of having been killed, its own sandbox stays; one state after the other."""
    async with place(tmp_path) as here:
        task = await here.task()
        ref = await here.make(task, 1)
        left = [at for at in STATES if at not in (NEW, KILLED)]
        for at in left:
            await here.change(task, at=at)
            assert fates(await here.reaper.reap()) == {ref.name: Fate.KEPT}, at
        assert len(left) > 40
        assert await here.is_there(ref)
        assert await here.reaped_events(task) == []


async def test_a_generation_that_the_task_never_had_is_left(tmp_path: Path) -> None:
    """Also where the task is over: a store put back from a backup knows less than the provider."""
    async with place(tmp_path) as here:
        task = await here.task("killed", generation=1)
        ref = await here.make(task, 2)
        assert fates(await here.reaper.reap()) == {ref.name: Fate.KEPT}
        assert await here.is_there(ref)


async def test_what_is_not_ours_is_not_even_seen(tmp_path: Path) -> None:
    """A box of another installation on the same machine stays, though no task of ours has it."""
    async with place(tmp_path) as here:
        ref = await here.make(UNKNOWN, owner="another")
        assert (await here.reaper.reap()).found == ()
        assert await here.is_there(ref)


class Loose(LocalSandboxes):
    """A provider whose list says more than it should."""

    async def list_owned(self, owner: str) -> AsyncIterator[Observation]:
        for other in (owner, "another"):
            async for one in super().list_owned(other):
                yield one


async def test_a_list_alone_proves_nothing(tmp_path: Path) -> None:
    """What a list says is ours is left where its own labels say that it is not."""
    async with place(tmp_path) as here:
        ref = await here.make(UNKNOWN, owner="another")
        loose = Loose(here.root, "here", here.dock.clock.now)
        here.reaper.sites = Sites({"local": Site(loose, loose)})
        assert fates(await here.reaper.reap()) == {ref.name: Fate.KEPT}
        assert await here.is_there(ref)


async def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    """It says what would be ended and why; boxes, history and positions stay as they were."""
    async with place(tmp_path) as here:
        task = await here.task("killed")
        boxes = [await here.make(task), await here.make(UNKNOWN)]
        before = await here.dock.reads.position()
        planned = await here.reaper.plan()
        assert fates(planned) == {ref.name: Fate.TO_REAP for ref in boxes}
        assert {one.reason for one in planned.found} == {"its task is killed", "there is no such task"}
        assert [await here.is_there(ref) for ref in boxes] == [True, True]
        assert await here.dock.reads.position() == before


async def test_a_young_box_is_left_until_it_is_old_enough(tmp_path: Path) -> None:
    """Age counts from when the box was made, in whatever process it is asked."""
    async with place(tmp_path, age_seconds_min=3600) as here:
        ref = await here.make(UNKNOWN)
        ended = await here.reaper.reap()
        assert fates(ended) == {ref.name: Fate.TOO_YOUNG}
        assert "not before 3" in ended.found[0].reason
        assert await here.is_there(ref)
        later = LocalSandboxes(here.root, "here", lambda: here.dock.clock.now() + timedelta(hours=2))
        here.reaper.sites = Sites({"local": Site(later, later)})
        assert fates(await here.reaper.reap()) == {ref.name: Fate.REAPED}


class Ageless(LocalSandboxes):
    """A provider that does not say when a box was made; it is `late` by so much."""

    late = timedelta(0)

    async def observe(self, ref: SandboxRef) -> Observation:
        seen = await super().observe(ref)
        return evolve(seen, created_at=None, read_at=seen.read_at + self.late)


async def test_where_the_provider_does_not_say_age_counts_from_the_first_look(tmp_path: Path) -> None:
    """The first look only remembers it; after the least age the box is ended."""
    async with place(tmp_path, age_seconds_min=60) as here:
        ref = await here.make(UNKNOWN)
        ageless = Ageless(here.root, "here", here.dock.clock.now)
        here.reaper.sites = Sites({"local": Site(ageless, ageless)})
        assert fates(await here.reaper.reap()) == {ref.name: Fate.TOO_YOUNG}
        ageless.late = timedelta(seconds=61)
        assert fates(await here.reaper.reap()) == {ref.name: Fate.REAPED}


async def test_a_task_that_comes_to_want_its_box_keeps_it(tmp_path: Path) -> None:
    """Unarchived between the plan and the end, or between the last look and the commit: the box stays."""
    async with place(tmp_path) as here:
        task = await here.task("killed")
        ref = await here.make(task)

        class Waking(Stepper):
            """The task wakes after the last look, right before its boundary is asked."""

            async def _decide(self, boundary: str, input_: inputs.Input) -> Decision:
                await here.change(task, at="init_create_sandbox/create")
                return await super()._decide(boundary, input_)

        reaper = evolve(
            here.reaper, stepper=Waking(here.dock.store, here.dock.clock, here.dock.stepper.figures)
        )
        ended = await reaper.reap()
        assert [(one.fate, one.reason) for one in ended.found] == [
            (Fate.KEPT, "the task is init_create_sandbox, and this is its sandbox")
        ]
        assert await here.is_there(ref)
        assert await here.reaped_events(task) == []


async def test_racing_with_creates_no_wanted_box_is_ended(tmp_path: Path) -> None:
    """While tasks go from generation to generation as fast as they can, each box that its task wants is still there."""
    async with place(tmp_path) as here:
        over = anyio.Event()
        rounds: list[Round] = []

        async def reap() -> None:
            while not over.is_set():
                rounds.append(await here.reaper.reap())

        async def live(task: str) -> None:
            # Each generation is committed before its box is made, as the task's boundary does it; releases are left out.
            for generation in range(1, 9):
                await here.change(task, at="init_create_sandbox/create", generation=generation)
                ref = await here.make(task, generation)
                await anyio.sleep(0.01)
                assert await here.is_there(ref)

        tasks = [await here.task("init_create_sandbox/create") for _ in range(3)]
        async with anyio.create_task_group() as group:
            group.start_soon(reap)
            async with anyio.create_task_group() as lives:
                for task in tasks:
                    lives.start_soon(live, task)
            over.set()
        await here.reaper.reap()
        left = {one.ref.name async for one in here.local.list_owned(here.dock.owner)}
        reaped = [one for found in rounds for one in found.of(Fate.REAPED)]
        assert left == {sandbox_name(here.dock.owner, task, 8) for task in tasks}
        assert {one.generation for one in reaped} <= set(range(1, 8))


class Shy(LocalSandboxes):
    """A provider that fails where it is told to."""

    fails = ""

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        if self.fails == "destroy":
            raise Transient("not now")
        return await super().destroy(ref, owner)

    async def list_owned(self, owner: str) -> AsyncIterator[Observation]:
        if self.fails == "list":
            raise Transient("not now")
        async for one in super().list_owned(owner):
            yield one


async def test_a_provider_that_fails_is_told_and_holds_up_no_other(tmp_path: Path) -> None:
    """Its reason is in the round; the boxes of the other provider are ended all the same, its own in a later round."""
    async with place(tmp_path) as here:
        ref = await here.make(UNKNOWN)
        shy = Shy(here.root, "here", here.dock.clock.now)
        shy.fails = "list"
        here.reaper.sites = Sites({"shy": Site(shy, shy), **here.sites.by_provider})
        ended = await here.reaper.reap()
        assert (fates(ended), ended.failures) == ({ref.name: Fate.REAPED}, {"shy": "not now"})
        ref = await here.make(UNKNOWN)
        here.reaper.sites = Sites({"local": Site(shy, shy)})
        shy.fails = "destroy"
        assert [(one.fate, one.reason) for one in (await here.reaper.reap()).found] == [
            (Fate.FAILED, "not now")
        ]
        assert await here.is_there(ref)
        shy.fails = ""
        assert fates(await here.reaper.reap()) == {ref.name: Fate.REAPED}


async def test_the_background_announces_a_box_before_it_ends_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One round says in the log what the next one ends, and why."""
    async with place(tmp_path) as here:
        ref = await here.make(UNKNOWN)
        planned: list[bool] = []

        class Watched(Reaper):
            async def plan(self) -> Round:
                planned.append(await here.is_there(ref))
                return await super().plan()

        reaper = Watched(
            here.sites, here.reaper.stepper, here.dock.reads, here.dock.clock, here.dock.owner, 0.0
        )
        with caplog.at_level(logging.WARNING, "taskdock"):
            async with anyio.create_task_group() as group:
                group.start_soon(reaper.run, 0.01)
                await until(lambda: planned[-1:] == [False])
                group.cancel_scope.cancel()
        assert planned[:2] == [True, True]
    assert f"reaper: sandbox {ref.name} is ended in the next round: there is no such task" in caplog.messages


async def test_the_process_that_schedules_reaps(tmp_path: Path) -> None:
    """With an interval in its config, a box that nobody needs goes away by itself."""
    config = Config(home=tmp_path / "home", reap_seconds=0.01, reap_age_seconds=0.0)
    async with ports_of(config) as ports, open_dock(config, outside=ports) as dock:
        ref = SandboxRef("local", sandbox_name(dock.owner, UNKNOWN, 1))
        await ports.sites.by_provider["local"].provider.ensure(SandboxSpec(ref, dock.owner, UNKNOWN, 1))
        await until(lambda: not (config.home / "sandboxes" / ref.name).exists())
