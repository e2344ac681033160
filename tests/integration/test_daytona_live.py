"""Daytona itself: one sandbox in the real cloud, for a few minutes. It costs money, so it needs a key to run.

DAYTONA_API_KEY is the key, DAYTONA_API_URL another address than the cloud's.
"""

import os
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from attrs import evolve

from agent_server import CACHE
from e2e.installation import ended, rest
from git_repos import make_remote
from taskdock import app
from taskdock.adapters.sandbox.daytona.provider import DaytonaSandboxes
from taskdock.adapters.sandbox.daytona.settings import DaytonaConfig
from taskdock.app import Config
from taskdock.core.errors import Foreign
from taskdock.ports.sandbox import Exec, Phase, SandboxRef, SandboxSpec

KEY = os.environ.get("DAYTONA_API_KEY", "")
OWNER = "taskdock-live"
SECONDS_MAX = 300.0

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not KEY, reason="DAYTONA_API_KEY is not set, and the real cloud costs money"),
]


@pytest.fixture
def anyio_backend() -> str:
    """Once is enough, and half the price."""
    return "asyncio"


def settings() -> DaytonaConfig:
    """The cloud's, with an end of everything within the hour should we die."""
    url = os.environ.get("DAYTONA_API_URL", DaytonaConfig().api_url)
    return DaytonaConfig(url, auto_stop_minutes=15, ttl_minutes=60)


@pytest.fixture
async def boxes() -> AsyncIterator[DaytonaSandboxes]:
    """The provider on the real cloud."""
    adapter = DaytonaSandboxes(settings(), KEY, lambda: datetime.now(UTC))
    yield adapter
    await adapter.aclose()


async def test_a_sandbox_in_the_cloud(boxes: DaytonaSandboxes) -> None:
    """Made, found by its name, refused to others, used, stopped, started with its files, and gone."""
    ref = SandboxRef("daytona", f"taskdock-live-{secrets.token_hex(4)}")
    spec = SandboxSpec(ref, OWNER, "task-live", 1)

    async def until(phase: Phase) -> None:
        with anyio.fail_after(SECONDS_MAX):
            while (await boxes.observe(ref)).phase is not phase:  # noqa: ASYNC110 - only asking tells
                await anyio.sleep(1)

    try:
        await boxes.ensure(spec)
        await boxes.ensure(spec)
        await until(Phase.RUNNING)
        with pytest.raises(Foreign):
            await boxes.ensure(evolve(spec, owner=f"{OWNER}-other"))
        done = await boxes.exec(ref, Exec(("sh", "-c", "echo kept > kept; echo $HOME; exit 3")))
        assert (done.exit_code, done.stdout.startswith(b"/")) == (3, True)
        await boxes.stop(ref, OWNER)
        await until(Phase.STOPPED)
        await boxes.start(ref, OWNER)
        await until(Phase.RUNNING)
        assert await boxes.get_file(ref, "kept") == b"kept\n"
        assert ref.name in [one.ref.name async for one in boxes.list_owned(OWNER)]
    finally:
        await boxes.destroy(ref, OWNER)
        await until(Phase.ABSENT)


async def test_a_task_in_the_cloud(tmp_path: Path) -> None:
    """A task comes up there, its agent answers and commits, and a kill leaves nothing."""
    remote = make_remote(tmp_path / "remote")
    config = Config(
        home=tmp_path / "home", cache=CACHE, providers=("daytona",), provider={"daytona": settings()}
    )
    async with app.open(config) as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Add a note about herons")
        try:
            await ended(dock, receipt.task_id, 1)
        finally:
            await dock.kill_task(receipt.task_id, force=True)
            await rest(dock, receipt.task_id, "killed")
