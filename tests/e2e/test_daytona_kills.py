"""SIGKILL of the whole process in steps of a task on Daytona: cells of the shipped kill matrix, counted at the stand-in besides."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from anyio import to_thread

from agent_server import CACHE
from stand_in import StandIn
from taskdock.app import TaskView
from taskdock.core import task_record as at
from taskdock.testing.kill_matrix.cells import chosen
from taskdock.testing.kill_matrix.matrix import KillMatrix
from taskdock.testing.kill_matrix.process import Patience

CONFIG = """\
cache = "{cache}"
drain_seconds = 2.0
[provider.daytona]
api_url = "{url}/api"
create_window_seconds = 4.0
[figures]
backoff_seconds = 0.05
settle_seconds = 2.0
closing_seconds = 1.0
absent_seconds = 0.5
call_seconds = 1.0
"""
CELLS = [
    "create/provider.ensure.after",
    "create/access.ensure_service.after",
    "stop/provider.stop.before",
    "resume/provider.start.after",
    "heal/provider.destroy.after",
    "kill/provider.destroy.before",
]
SECONDS_MAX = 240.0


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("cell", CELLS)
async def test_it_goes_on_at_daytona(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str
) -> None:
    """Every promise holds after the kill, and the boxes at the provider are those that the task is to have."""
    monkeypatch.setenv("DAYTONA_API_KEY", stand_in.key)
    config = tmp_path / "taskdock.toml"
    config.write_text('providers = ["daytona"]\n' + CONFIG.format(cache=CACHE, url=stand_in.url))

    def counted(view: TaskView) -> Sequence[str]:
        task = view.task
        names = [box["name"] for box in stand_in.boxes_of(task.id)]
        wanted = [] if task.at in (at.ARCHIVED, at.KILLED) else [task.sandbox.name]
        wrong = [] if names == wanted else [f"the boxes of a task that is {task.at} are {names}"]
        servers = [line for line in stand_in.processes(task.sandbox.name) if "sandbox-agent server" in line]
        if len(servers) != (task.at == at.RUNNING):
            wrong.append(f"{len(servers)} servers of a task that is {task.at}")
        return wrong

    async def witness(_home: Path, view: TaskView) -> Sequence[str]:
        return await to_thread.run_sync(counted, view)

    matrix = KillMatrix(
        config, "daytona", folder=tmp_path / "kills", patience=Patience(SECONDS_MAX), witness=witness
    )
    (verdict,) = await matrix.run(chosen([cell]))
    assert verdict.is_fine, verdict.story()
    assert verdict.reason is None
