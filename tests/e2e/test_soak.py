"""Soak: SIGKILL at random instants while a script gives every command on twenty tasks; then the invariants, from outside.

TASKDOCK_SOAK_ROUNDS says how many kills there are, TASKDOCK_SOAK_SEED where the dice begin, TASKDOCK_SOAK_PROVIDER in which
kind of sandbox. A world lasts for 30 rounds, and the next one has the next seed: `make soak` runs many. A violation prints
the seed, the stories of the tasks concerned, and the command that throws the same dice again.
"""

import os
import random
import sys
from pathlib import Path

import pytest

from e2e.providers import only_on_local
from e2e.script import COMMANDS, TASKS
from e2e.soak import soak
from taskdock.services.job_requests import JobRequests
from taskdock.services.message_requests import MessageRequests

ROUNDS_OF_A_WORLD = 30
ROUNDS = int(os.environ.get("TASKDOCK_SOAK_ROUNDS") or ROUNDS_OF_A_WORLD)
SEED = int(os.environ.get("TASKDOCK_SOAK_SEED") or random.SystemRandom().randrange(1_000_000))
"""A fresh one is not part of a test's name: every worker that collects these tests must find the same names."""
WORLDS = range(-(-ROUNDS // ROUNDS_OF_A_WORLD))


@pytest.fixture
def anyio_backend() -> str:
    """The client's side; the process under test runs on asyncio."""
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize("world", WORLDS)
async def test_kills_at_random_instants_break_no_invariant(tmp_path: Path, world: int) -> None:
    """Whatever is asked and whatever is lost, the invariants hold at each kill, at rest, and when all is ended."""
    only_on_local("its chaos and its witness move and link folders of the host")
    rounds = min(ROUNDS_OF_A_WORLD, ROUNDS - world * ROUNDS_OF_A_WORLD)
    async with soak(tmp_path, SEED + world, rounds) as one:
        await one.run()
        sys.stdout.write(one.report())
    assert one.chaos.rounds == rounds
    assert len(one.ledger.tasks) >= TASKS
    assert rounds < ROUNDS_OF_A_WORLD or one.ledger.asked.keys() == COMMANDS.keys()


def test_the_script_gives_every_command() -> None:
    """A command that a dock learns is one that the script gives."""
    requests = {name for name in dir(MessageRequests) if not name.startswith("_")}
    of_repos = {name for name in dir(JobRequests) if not name.startswith("_")}
    assert set(COMMANDS) == requests - of_repos
