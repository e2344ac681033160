"""Work survives kills: SIGKILL of the process at every call of a stop, an archive and a heal, one after the other.

Each test kills the process at the first of its gates, starts it again, kills it at the next one, and so on; what an
earlier kill left half-done is what the next process begins with.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from e2e.work import COMMITTED, Work, do_work
from e2e.world import World
from git_repos import make_remote
from taskdock.app import Dock, ports_of
from taskdock.services.receipts import TaskReceipt
from taskdock.services.sandboxes import ref_of

pytestmark = pytest.mark.anyio

COLLECTED = (
    "access.stop_service.before",
    "access.stop_service.after",
    "clones.take_in.before",
    "clones.take_in.after",
)
DESTROYED = ("provider.destroy.before", "provider.destroy.after")
CREATED = (
    "provider.ensure.before",
    "provider.ensure.after",
    "clones.checkout.after",
    "access.put_files.after",
)


@pytest.fixture
def anyio_backend() -> str:
    """The client's side; the process under test runs on asyncio."""
    return "asyncio"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world that believes soon that a sandbox is gone, though not before a test has set its gate."""
    world = World(tmp_path, wrap="e2e.odd_provider:install", call_seconds=1.0, absent_seconds=1.5)
    yield world
    world.close()


@asynccontextmanager
async def at_work(world: World, folder: Path) -> AsyncIterator[tuple[Dock, TaskReceipt, Work]]:
    """A running task with a commit and edits of which the service clone has nothing: its copies have failed."""
    remote = make_remote(folder / "remote")
    world.fail("clones.take_in", "permanent no copy", "permanent no copy")
    world.start()
    async with world.client() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt=COMMITTED)
        work = await do_work(dock, receipt)
        await world.copies_failed(dock, receipt.task_id, 2)
        assert (await dock.task(receipt.task_id)).task.head is None
        yield dock, receipt, work


async def killed_at(world: World, gates: Sequence[str]) -> None:
    """Kill the process at each of these gates, which all but the first it reaches in its next life."""
    for number, name in enumerate(gates):
        gate = world.gates / name
        if number == 0:
            assert gate.exists(), "the first gate is set before what leads to it"
        await world.reached(gate)
        world.kill()
        world.open_gate(gate)
        if number + 1 < len(gates):
            world.gate(gates[number + 1])
        world.start()


async def test_killed_in_every_call_of_an_archive(world: World, tmp_path: Path) -> None:
    """Nothing of the sandbox is left, and the clone holds the commit and the edits that only the archive brought out."""
    gates = (*COLLECTED, *DESTROYED)
    async with at_work(world, tmp_path) as (dock, receipt, work):
        world.gate(gates[0])
        await dock.archive_task(receipt.task_id)
        await killed_at(world, gates)
        archived = await world.rest(dock, receipt.task_id, "archived")
        work.is_in_clone(1)
        assert (archived.task.head, archived.task.kept) == (work.commit, 2)
        assert (world.sandboxes(), world.processes()) == ([], [])
        await dock.unarchive_task(receipt.task_id)
        await world.rest(dock, receipt.task_id, "running")
    work.is_in_checkout(2)


async def test_killed_in_every_call_of_a_stop(world: World, tmp_path: Path) -> None:
    """The turn is ended, nothing runs, and commit and edits are in the sandbox and in the clone."""
    gates = ("gateway.cancel.before", *COLLECTED, "provider.stop.before", "provider.stop.after")
    async with at_work(world, tmp_path) as (dock, receipt, work):
        await dock.send(receipt.tab_id or "", "demo: hang")
        await world.see(dock, receipt.task_id, lambda view: view.tabs[0].turn.at == "running", "a turn")
        world.gate(gates[0])
        await dock.stop_task(receipt.task_id)
        await killed_at(world, gates)
        stopped = await world.rest(dock, receipt.task_id, "stopped")
        work.is_in_clone(1)
        work.is_in_checkout(1)
        assert (stopped.task.head, stopped.task.kept) == (work.commit, 2)
        assert world.processes() == []
        await dock.resume_task(receipt.task_id)
        await world.rest(dock, receipt.task_id, "running")
    work.is_in_checkout(1)
    assert len(world.servers()) == 1


async def test_killed_in_every_call_of_a_heal(world: World, tmp_path: Path) -> None:
    """A sandbox that has failed is emptied before it is replaced; the next one has the commit and the edits."""
    gates = ("provider.observe.before", "provider.observe.after", *COLLECTED, *DESTROYED, *CREATED)
    async with at_work(world, tmp_path) as (dock, receipt, work):
        sandbox = (await dock.task(receipt.task_id)).task.sandbox
        world.gate(gates[0])
        (world.gates / f"{sandbox.name}.failed").touch()
        world.end_servers()
        await killed_at(world, gates)
        healed = await world.rest(dock, receipt.task_id, "running")
    work.is_in_clone(1)
    work.is_in_checkout(2)
    assert (healed.task.generation, healed.task.head, healed.task.kept) == (2, work.commit, 2)
    assert (len(world.sandboxes()), len(world.servers())) == (1, 1)


async def test_killed_in_every_call_of_a_heal_of_what_is_gone(world: World, tmp_path: Path) -> None:
    """Destroyed behind our back: the next sandbox has what was collected last, and the history says what it was."""
    remote = make_remote(tmp_path / "remote")
    gates = ("provider.observe.before", "provider.observe.after", *DESTROYED)
    world.start()
    async with world.client() as dock, ports_of(world.config()) as ports:
        receipt = await dock.create_task(repo=str(remote), prompt=COMMITTED)
        work = await do_work(dock, receipt, late=False)
        await world.see(dock, receipt.task_id, lambda view: view.task.kept == 1, "a copy of the edit")
        sandbox = (await dock.task(receipt.task_id)).task.sandbox
        await ports.sites.of(sandbox).provider.destroy(ref_of(sandbox), sandbox.owner)
        await world.see(dock, receipt.task_id, lambda view: view.task.at == "running/observe", "a look")
        world.gate(gates[0])
        await killed_at(world, gates)
        await world.rest(dock, receipt.task_id, "running")
        history = [event.event for event in await dock.history(receipt.task_id)]
    work.is_in_checkout(2)
    lost = [event.data["head"] for event in history if event.kind.value == "sandbox.lost"]
    assert lost == [work.commit]
    assert (len(world.sandboxes()), len(world.servers())) == (1, 1)
