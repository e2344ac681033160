"""SIGKILL of the whole process in each step: nothing is lost, nothing is made twice, and no client retries."""

from pathlib import Path

import pytest

from e2e.world import World, until
from git_repos import make_remote
from taskdock.core.message import MessageStatus

GATES = [
    "clones.clone.before",
    "clones.clone.after",
    "namer.propose.before",
    "namer.propose.after",
    "provider.ensure.before",
    "provider.ensure.after",
    "clones.checkout.after",
    "access.ensure_service.before",
    "access.ensure_service.after",
    "gateway.open_session.before",
    "gateway.open_session.after",
    "gateway.prompt.before",
    "gateway.prompt.after",
    "clones.take_in.before",
    "clones.take_in.after",
]


@pytest.fixture
def anyio_backend() -> str:
    """The client's side; the process under test runs on asyncio."""
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize("gate_name", GATES)
async def test_a_killed_process_goes_on_after_its_restart(
    world: World, tmp_path: Path, gate_name: str
) -> None:
    """The task comes up, its one prompt was seen once or says that nobody can tell, and there is one sandbox."""
    remote = make_remote(tmp_path / "remote")
    gate = world.gate(gate_name)
    world.start()
    async with world.client() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Add a note about cursor pagination")
        await world.reached(gate)
        world.kill()
        world.open_gate(gate)
        world.start()
        view = await world.see(
            dock,
            receipt.task_id,
            lambda view: view.task.head is not None or view.tabs[0].held,
            "the end of the turn",
        )
        message = (await dock.messages(receipt.tab_id or ""))[0]
    prompts = world.prompts_seen()
    assert view.task.status.value == "running"
    assert len(world.sandboxes()) == 1
    assert len(world.servers()) == 1
    if message.status is MessageStatus.FAILED:
        assert message.reason == "delivery_unknown"
        assert len(prompts) <= 1
    else:
        assert message.status is MessageStatus.DELIVERED
        assert len(prompts) == 1


@pytest.mark.anyio
async def test_a_killed_process_finds_the_running_turn_again(world: World, tmp_path: Path) -> None:
    """A turn that goes on while nobody watches is followed to its end, without a second prompt and without a gap."""
    remote = make_remote(tmp_path / "remote")
    world.start()
    async with world.client() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Count slowly\ndemo: crawl 3")
        await world.see(
            dock, receipt.task_id, lambda view: view.tabs[0].turn.at == "running", "a running turn"
        )
        await until(lambda: bool(world.prompts_seen()), "the prompt is seen", world.log)
        world.kill()
        world.start()
        view = await world.see(
            dock, receipt.task_id, lambda view: view.tabs[0].last_end is not None, "the end of the turn"
        )
        message = (await dock.messages(receipt.tab_id or ""))[0]
    assert view.tabs[0].last_end is not None
    assert view.tabs[0].last_end.value == "completed"
    assert message.status is MessageStatus.DELIVERED
    assert len(world.prompts_seen()) == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    "gate_name", ["provider.destroy.before", "provider.destroy.after", "clones.take_in.after"]
)
async def test_a_kill_goes_on_after_a_restart(world: World, tmp_path: Path, gate_name: str) -> None:
    """A task that was being killed ends killed, with no process and no folder left and its commit in the clone."""
    remote = make_remote(tmp_path / "remote")
    world.start()
    async with world.client() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Write something down")
        view = await world.see(
            dock, receipt.task_id, lambda view: view.task.head is not None, "collected work"
        )
        gate = world.gate(gate_name)
        await dock.kill_task(receipt.task_id)
        await world.reached(gate)
        world.kill()
        world.open_gate(gate)
        world.start()
        killed = await world.rest(dock, receipt.task_id, "killed")
    assert killed.task.head == view.task.head
    assert world.sandboxes() == []
    assert world.processes() == []
