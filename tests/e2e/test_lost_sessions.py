"""Lost sessions: a tab whose agent or server goes comes back by itself, without a message that would wake it."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from e2e.world import World, until
from taskdock.app import TaskView

pytestmark = pytest.mark.anyio


def is_idle(view: TaskView) -> bool:
    """Whether every tab is ready with its first turn behind it."""
    return all(tab.status.value == "ready" and tab.last_end is not None for tab in view.tabs)


def agents(world: World) -> set[int]:
    """The demo agents themselves; their relays name them too."""
    return set(world.processes("demo_agent.py")) - set(world.processes("relay.py"))


def kill(pids: set[int]) -> None:
    """SIGKILL them all."""
    for pid in pids:
        with suppress(ProcessLookupError):  # it may have gone with another
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("what", ["agent", "server"])
async def test_a_session_that_dies_before_it_is_known_is_replaced(
    world: World, remote: Path, what: str
) -> None:
    """An agent or server that dies between the making of a session and its commit costs that session only."""
    world.start()
    async with world.client() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="demo: echo one")
        await world.see(dock, receipt.task_id, is_idle, "the first turn's end")
        first = agents(world)
        gate = world.gate("gateway.open_session.after")
        tab = await dock.open_tab(receipt.task_id, name="Quiet")
        await world.reached(gate)
        kill(agents(world) - first if what == "agent" else set(world.servers()))
        world.open_gate(gate)

        def is_back(view: TaskView) -> bool:
            [quiet] = [one for one in view.tabs if one.id == tab.tab_id]
            return quiet.status.value == "ready" and quiet.session > 1

        view = await world.see(dock, receipt.task_id, is_back, "another session of the quiet tab")
        assert view.task.status.value == "running"
        await until(lambda: len(agents(world)) == 2, "two live agents", world.log)


async def test_a_session_that_dies_while_nobody_schedules_is_replaced(world: World, remote: Path) -> None:
    """An agent that dies while no process of ours runs is missed at the next start, without a message."""
    world.start()
    async with world.client() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="demo: echo one")
        await world.see(dock, receipt.task_id, is_idle, "the first turn's end")
        world.kill()
        kill(agents(world))
        world.start()
        await world.see(
            dock, receipt.task_id, lambda view: view.tabs[0].session == 2 and is_idle(view), "another session"
        )
        await until(lambda: len(agents(world)) == 1, "a live agent", world.log)
