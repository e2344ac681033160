"""SIGKILL in each window of a remote create, with a fault in it: no box is lost, none is made twice, and none of others touched.

TASKDOCK_REMOTE_ROUNDS says how many kills there are, TASKDOCK_SOAK_SEED where the dice begin. `make soak` runs many.
"""

import os
import random
import sys
from pathlib import Path

import pytest

from e2e.remote import remote
from stand_in import running_stand_in

ROUNDS_OF_A_WORLD = 10
ROUNDS = int(os.environ.get("TASKDOCK_REMOTE_ROUNDS") or 30)
SEED = int(os.environ.get("TASKDOCK_SOAK_SEED") or random.SystemRandom().randrange(1_000_000))
"""A fresh one is not part of a test's name: every worker that collects these tests must find the same names."""
WORLDS = range(-(-ROUNDS // ROUNDS_OF_A_WORLD))


@pytest.fixture
def anyio_backend() -> str:
    """The client's side; the process under test runs on asyncio."""
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize("world", WORLDS)
async def test_kills_in_a_remote_create_leave_one_box_or_none(
    tmp_path: Path, world: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The boxes are the current generations of the tasks that are alive; the reaper leaves none besides."""
    rounds = min(ROUNDS_OF_A_WORLD, ROUNDS - world * ROUNDS_OF_A_WORLD)
    with running_stand_in() as stand_in:
        monkeypatch.setenv("DAYTONA_API_KEY", stand_in.key)
        seed = f"{SEED + world}/remote"
        sys.stdout.write(f"TASKDOCK_SOAK_SEED={SEED + world}\n")
        async with remote(tmp_path, stand_in, seed) as one:
            await one.run(rounds)
            sys.stdout.write(one.report())
    assert sum(one.rounds.values()) == rounds
