"""A task on Daytona: the same journey as on any provider, with the real sandbox-agent in a sandbox of the stand-in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent_server import CACHE
from e2e.installation import SOON, ended, rest
from e2e.world import end_processes
from stand_in import StandIn
from taskdock import app
from taskdock.app import Config, Dock
from taskdock.core.message import MessageStatus
from taskdock.core.task import Task

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def dock_on(
    stand_in: StandIn, folder: Path, monkeypatch: pytest.MonkeyPatch, *providers: str
) -> AsyncIterator[Dock]:
    """A dock whose providers are these."""
    monkeypatch.setenv("DAYTONA_API_KEY", stand_in.key)
    config = Config(
        home=folder / "home",
        cache=CACHE,
        figures=SOON,
        drain_seconds=2.0,
        providers=providers or ("daytona",),
        provider={"daytona": stand_in.config},
    )
    async with app.open(config) as dock:
        yield dock


def of_task(stand_in: StandIn, task_id: str) -> list[str]:
    """The names of the boxes that are there for a task."""
    return [box["name"] for box in stand_in.boxes_of(task_id)]


async def two_turns(dock: Dock, stand_in: StandIn, remote: Path, between: str) -> tuple[Task, Task]:
    """Lead a task through two turns and end it, with something done to its box between them; the task after each turn."""
    receipt = await dock.create_task(repo=str(remote), prompt="demo: echo one")
    first = (await ended(dock, receipt.task_id, 1)).task
    stand_in.act(first.sandbox.name, between)
    await dock.send(receipt.tab_id or "", "demo: echo two")
    second = (await ended(dock, receipt.task_id, 2)).task
    await dock.kill_task(receipt.task_id)
    await rest(dock, receipt.task_id, "killed")
    return first, second


async def test_a_task_lives_and_ends(
    stand_in: StandIn, tmp_path: Path, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs, its agent works and commits, it is stopped and resumed with its files, and killed without a trace."""
    async with dock_on(stand_in, tmp_path, monkeypatch) as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Add a note about herons")
        view = await ended(dock, receipt.task_id, 1)
        (message,) = await dock.messages(receipt.tab_id or "")
        name, running = view.task.sandbox.name, of_task(stand_in, receipt.task_id)
        await dock.stop_task(receipt.task_id)
        head = (await rest(dock, receipt.task_id, "stopped")).task.head
        stopped = stand_in.seen(name)
        await dock.send(receipt.tab_id or "", "Add another one, about storks")
        await ended(dock, receipt.task_id, 2)
        await dock.kill_task(receipt.task_id)
        view = await rest(dock, receipt.task_id, "killed")
    assert message.status is MessageStatus.DELIVERED
    assert running == [name]
    assert head is not None
    assert stopped["processes"] == []
    assert (of_task(stand_in, receipt.task_id), stand_in.seen(name)["files"]) == ([], [])
    assert view.task.head not in (None, head)


async def test_local_and_remote_side_by_side(
    stand_in: StandIn, tmp_path: Path, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each task says where it runs, and stays there; the first of the config is for those that say nothing."""
    try:
        async with dock_on(stand_in, tmp_path, monkeypatch, "local-process", "daytona") as dock:
            here = await dock.create_task(repo=str(remote), prompt="demo: echo here")
            there = await dock.create_task(repo=str(remote), prompt="demo: echo there", provider="daytona")
            local, far = await ended(dock, here.task_id, 1), await ended(dock, there.task_id, 1)
            boxes = of_task(stand_in, here.task_id), of_task(stand_in, there.task_id)
            for task_id in (here.task_id, there.task_id):
                await dock.kill_task(task_id)
                await rest(dock, task_id, "killed")
    finally:
        end_processes(tmp_path)
    assert (local.task.provider, far.task.provider) == ("local-process", "daytona")
    assert boxes == ([], [far.task.sandbox.name])
    assert of_task(stand_in, there.task_id) == []


async def test_a_new_preview_token_is_fetched(
    stand_in: StandIn, tmp_path: Path, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is sent to the login page asks for the way anew: the next message arrives, in the same sandbox."""
    async with dock_on(stand_in, tmp_path, monkeypatch) as dock:
        first, second = await two_turns(dock, stand_in, remote, "rotate")
    assert second.sandbox == first.sandbox


async def test_what_daytona_stops_by_itself_is_started_again(
    stand_in: StandIn, tmp_path: Path, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A box that was stopped behind our back is the same box afterwards, and the task goes on."""
    async with dock_on(stand_in, tmp_path, monkeypatch) as dock:
        first, second = await two_turns(dock, stand_in, remote, "stop")
    assert second.generation == first.generation == 1
