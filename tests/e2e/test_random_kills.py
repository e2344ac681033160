"""Random kills: SIGKILL at random instants while three tasks live, then everything rests where it should.

TASKDOCK_KILL_ROUNDS sets how many rounds run; each prints its seed, and TASKDOCK_KILL_SEED begins with that one.
"""

import os
import random
from pathlib import Path

import anyio
import pytest

from e2e.world import World
from git_repos import make_remote
from taskdock.app import Dock, TaskView
from taskdock.core.message import MessageStatus

ROUNDS = int(os.environ.get("TASKDOCK_KILL_ROUNDS", "4"))
FIRST_SEED = int(os.environ.get("TASKDOCK_KILL_SEED", str(random.SystemRandom().randrange(1_000_000))))
FINAL = (MessageStatus.DELIVERED, MessageStatus.WITHDRAWN)


@pytest.fixture
def anyio_backend() -> str:
    """The client's side; the process under test runs on asyncio."""
    return "asyncio"


def at_rest(view: TaskView) -> bool:
    """Whether nothing of the task is on its way."""
    turns = all(tab.turn.at == "none" for tab in view.tabs)
    if view.task.status.value == "killed":
        return turns
    ended = all(tab.last_end is not None and tab.status.value == "ready" for tab in view.tabs)
    return view.task.status.value == "running" and turns and ended


async def _kill_at_random(world: World, dock: Dock, doomed: str, dice: random.Random) -> None:
    for number in range(dice.randint(2, 6)):
        await anyio.sleep(dice.uniform(0.0, 1.2))
        world.kill()
        if number == 1:
            await dock.kill_task(doomed)
        world.start()


@pytest.mark.anyio
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + ROUNDS))
async def test_kills_at_random_instants_lose_and_double_nothing(
    world: World, tmp_path: Path, seed: int
) -> None:
    """Every live task ends running with its turn done, a killed one leaves nothing, and no prompt is seen twice."""
    dice = random.Random(seed)  # noqa: S311 - a test's dice, not a secret
    remote = make_remote(tmp_path / "remote")
    world.start()
    async with world.client() as dock:
        receipts = [
            await dock.create_task(repo=str(remote), prompt=f"Write note {number}") for number in range(3)
        ]
        await dock.open_tab(receipts[0].task_id, prompt="demo: echo extra")
        await _kill_at_random(world, dock, receipts[2].task_id, dice)
        views = [await world.see(dock, receipt.task_id, at_rest, "rest") for receipt in receipts]
        tabs = [tab for view in views for tab in view.tabs]
        messages = [message for tab in tabs for message in await dock.messages(tab.id)]
    live = [view for view in views if view.task.status.value == "running"]
    seen = [prompt["request"] for prompt in world.prompts_seen()]
    assert len(world.sandboxes()) == len(live)
    assert len(world.servers()) == len(live)
    assert len(seen) == len(set(seen))
    for message in messages:
        assert message.status in FINAL or message.reason == "delivery_unknown"
