"""Soak: SIGKILL at random instants while a script gives every command on twenty tasks; then the invariants, from outside.

TASKDOCK_SOAK_ROUNDS says how many kills there are, TASKDOCK_SOAK_SEED where the dice begin. `make soak` runs many; a world
lasts for 30 of them, and the next one has the next seed. A violation prints the seed and the task's story, and the command that
plays the same dice again.
"""

import os
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from e2e.chaos import Chaos
from e2e.ledger import Ledger
from e2e.outside import Outside
from e2e.referee import Referee
from e2e.script import COMMANDS, TASKS, Script
from e2e.timeline import story
from e2e.world import World
from git_repos import make_remote
from taskdock.app import Dock
from taskdock.core.errors import CommandRejected
from taskdock.services.message_requests import MessageRequests
from taskdock.services.repo_requests import RepoRequests

ROUNDS_OF_A_WORLD = 30
ROUNDS = int(os.environ.get("TASKDOCK_SOAK_ROUNDS", str(ROUNDS_OF_A_WORLD)))
SEED = int(os.environ.get("TASKDOCK_SOAK_SEED") or random.SystemRandom().randrange(1_000_000))
WORLDS = [
    (SEED + number, min(ROUNDS_OF_A_WORLD, ROUNDS - number * ROUNDS_OF_A_WORLD))
    for number in range(-(-ROUNDS // ROUNDS_OF_A_WORLD))
]
PACE_SECONDS = 0.12
REST_SECONDS_MAX = 180.0
LOOK_SECONDS = 0.25

SETTINGS = """\
reap_seconds = 3.0
reap_age_seconds = 1.0
[lanes]
"sandbox:local" = 8
"""
FIGURES = {
    "backoff_seconds_max": 2.0,
    "settle_seconds": 1.5,
    "cancel_seconds": 3.0,
    "permission_seconds": 20.0,
    "call_seconds": 3.0,
    "absent_seconds": 0.3,
}


@pytest.fixture
def anyio_backend() -> str:
    """The client's side; the process under test runs on asyncio."""
    return "asyncio"


async def rest(dock: Dock, outside: Outside, ledger: Ledger) -> None:
    """Wait until nothing is left to happen; turns that would go on for ever are cancelled."""
    with anyio.move_on_after(REST_SECONDS_MAX):
        while outside.rows("SELECT 1 FROM intent LIMIT 1"):
            for (tab_id,) in outside.rows(
                "SELECT id FROM tab WHERE json_extract(body, '$.turn.at') = 'running'"
            ):
                try:
                    await dock.cancel_turn(tab_id)
                except CommandRejected as refusal:
                    ledger.note(f"cancel_turn {tab_id}: {refusal}")
            await anyio.sleep(LOOK_SECONDS)


async def all_together(script: Script, chaos: Chaos, rounds: int) -> None:
    """The script goes on as long as there is chaos."""
    async with anyio.create_task_group() as group:

        async def act() -> None:
            while True:
                await script.act()
                await anyio.sleep(PACE_SECONDS * script.dice.random())

        group.start_soon(act)
        await chaos.run(rounds)
        group.cancel_scope.cancel()


async def end_all(dock: Dock, ledger: Ledger, ask: Callable[[str], Awaitable[object]]) -> None:
    """Ask the same of every task."""
    for task_id in ledger.tasks:
        try:
            await ask(task_id)
        except CommandRejected as refusal:
            ledger.note(f"the end: {refusal}", task_id)


def verdict(referee: Referee, seed: int, rounds: int) -> None:
    """Fail with the seed, the stories of the tasks concerned and the way to see it again."""
    if not referee.found:
        return
    lines = [f"{finding.task_id}: {finding.words}" for finding in dict.fromkeys(referee.found)]
    stories = [
        story(referee.outside, referee.ledger, task_id)
        for task_id in dict.fromkeys(finding.task_id for finding in referee.found)
    ]
    again = f"make soak SEED={seed} ROUNDS={rounds}"
    raise AssertionError("\n".join([f"seed {seed}", *lines, *stories, *lines, f"again: {again}"]))


@pytest.mark.anyio
@pytest.mark.parametrize(("seed", "rounds"), WORLDS)
async def test_kills_at_random_instants_break_no_invariant(tmp_path: Path, seed: int, rounds: int) -> None:
    """Whatever is asked and whatever is lost, the invariants hold at each kill, at rest, and when all is ended."""
    began = time.monotonic()
    world = World(tmp_path, wrap="e2e.witness:install", settings=SETTINGS, **FIGURES)
    remotes = [make_remote(tmp_path / name) for name in ("one", "two")]
    ledger, outside = Ledger(), Outside(world.home)
    try:
        world.start()
        async with world.client() as dock:
            referee = Referee(dock, outside, ledger)
            script = Script(dock, random.Random(f"{seed}/script"), remotes, ledger)
            chaos = Chaos(world, random.Random(f"{seed}/chaos"), ledger, referee.look)
            await script.begin()
            await all_together(script, chaos, rounds)
            states = dict(sorted(referee.seen_in.items()))
            chaotic = time.monotonic() - began
            await rest(dock, outside, ledger)
            await referee.judge()
            verdict(referee, seed, rounds)
            rested = time.monotonic() - began
            await end_all(dock, ledger, dock.archive_task)
            await rest(dock, outside, ledger)
            await referee.judge()
            verdict(referee, seed, rounds)
            await end_all(dock, ledger, lambda task_id: dock.kill_task(task_id, force=True))
            ledger.killed.update(ledger.tasks)
            await rest(dock, outside, ledger)
            await referee.judge()
            verdict(referee, seed, rounds)
            assert [view.task.at for view in [await dock.task(one) for one in ledger.tasks]] == [
                "killed"
            ] * len(ledger.tasks)
    finally:
        world.close()
    print(
        f"seed {seed}: {chaos.rounds} rounds, {chaos.losses} losses, {referee.looks} looks, {len(ledger.tasks)} tasks,"
        f" {len(ledger.messages)} messages, {sum(ledger.asked.values())} commands"
        f" ({sum(ledger.accepted.values())} accepted), {len(outside.seen())} prompts seen;"
        f" {chaotic:.0f} s of chaos, rest at {rested:.0f} s, {time.monotonic() - began:.0f} s in all"
    )
    print(" ".join(f"{name} {ledger.accepted[name]}/{ledger.asked[name]}" for name in COMMANDS))
    print(" ".join(f"{state} {count}" for state, count in states.items()))
    assert chaos.rounds == rounds
    assert len(ledger.tasks) >= TASKS


def test_the_script_gives_every_command() -> None:
    """A command that a dock learns is one that the script gives."""
    requests = {name for name in dir(MessageRequests) if not name.startswith("_")}
    of_repos = {name for name in dir(RepoRequests) if not name.startswith("_")}
    assert set(COMMANDS) == requests - of_repos
