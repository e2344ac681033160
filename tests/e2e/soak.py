"""Soak: one world in which a script gives every command on twenty tasks while its scheduling process is killed again and again.

Owns: `Soak`, from the first create to the last kill, and the verdict with the way to see it again.
Never: a fault or a command of its own; it lets script and chaos loose and then waits.
Reads as: test_soak.py -> this -> script.py, chaos.py, referee.py.
"""

import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from attrs import field, mutable

from e2e.chaos import Chaos
from e2e.ledger import Ledger
from e2e.outside import Outside
from e2e.referee import Referee
from e2e.script import COMMANDS, TASKS, Script
from e2e.timeline import story
from e2e.world import World
from git_repos import make_remote
from taskdock.app import Dock
from taskdock.core import task_record as at
from taskdock.core.errors import CommandRejected

PACE_SECONDS = 0.12
REST_SECONDS_MAX = 180.0
UP_SECONDS_MAX = 60.0
LOOK_SECONDS = 0.25

PROVIDER = os.environ.get("TASKDOCK_SOAK_PROVIDER", "local-process")
SETTINGS = f"""\
providers = ["{PROVIDER}"]
reap_seconds = 3.0
reap_age_seconds = 1.0
[lanes]
"sandbox:{PROVIDER}" = 8
"""
FIGURES = {
    "backoff_seconds_max": 2.0,
    "settle_seconds": 1.5,
    "cancel_seconds": 3.0,
    "permission_seconds": 20.0,
    "call_seconds": 3.0,
    "absent_seconds": 0.3,
}


@mutable
class Soak:
    """One world, all dice from one seed."""

    seed: int
    rounds: int
    dock: Dock
    outside: Outside
    ledger: Ledger
    script: Script
    chaos: Chaos
    referee: Referee
    began: float = field(factory=time.monotonic, init=False)
    times: list[str] = field(factory=list, init=False)

    async def run(self) -> None:
        """Chaos, rest, an archive of every task, and a kill of every task; the referee looks at each of them."""
        await self.script.begin()
        await self._come_up()
        self._lap("begun")
        await self._all_together()
        self._lap("chaos")
        await self._rest_and_judge()
        self._lap("rest")
        await self._ask_all(self.dock.archive_task)
        await self._rest_and_judge(at.ARCHIVED, at.KILLED)
        self.ledger.killed.update(self.ledger.tasks)
        await self._ask_all(lambda task_id: self.dock.kill_task(task_id, force=True))
        await self._rest_and_judge(at.KILLED)
        self._lap("end")

    def report(self) -> str:
        """What was done and seen, in figures."""
        asked, accepted = self.ledger.asked, self.ledger.accepted
        seconds = time.monotonic() - self.began
        lines = [
            f"seed {self.seed}: {self.chaos.rounds} rounds, {self.chaos.rounds / seconds:.2f} a second,"
            f" {self.chaos.losses} losses, {self.referee.looks} looks; {', '.join(self.times)}",
            f"{len(self.ledger.tasks)} tasks, {len(self.ledger.messages)} messages, {len(self.outside.seen())} seen by agents,"
            f" {sum(accepted.values())} of {sum(asked.values())} commands accepted:",
            " ".join(f"{name} {accepted[name]}/{asked[name]}" for name in COMMANDS),
            "found while nothing scheduled: "
            + " ".join(f"{state} {count}" for state, count in sorted(self.referee.seen_in.items())),
        ]
        return "\n".join(lines) + "\n"

    def _lap(self, name: str) -> None:
        self.times.append(f"{name} {time.monotonic() - self.began:.0f} s")

    async def _come_up(self) -> None:
        """Half of the tasks run before the first kill, so that turns are there to be cut; the others are cut on their way."""
        with anyio.move_on_after(UP_SECONDS_MAX):
            query = "SELECT COUNT(*) FROM task WHERE at = 'running'"
            while self.outside.rows(query) < [(TASKS // 2,)]:  # noqa: ASYNC110 - rows are looked at from outside
                await anyio.sleep(LOOK_SECONDS)

    async def _all_together(self) -> None:
        """The script goes on as long as there is chaos, and ends between two commands."""
        over = anyio.Event()

        async def act() -> None:
            while not over.is_set():
                await self.script.act()
                await anyio.sleep(PACE_SECONDS * self.script.dice.random())

        async with anyio.create_task_group() as group:
            group.start_soon(act)
            await self.chaos.run(self.rounds)
            over.set()

    async def _rest_and_judge(self, *states: str) -> None:
        """Wait until nothing is left to happen, and look at everything; with `states` every task is in one of them."""
        with anyio.move_on_after(REST_SECONDS_MAX):
            while self.outside.rows("SELECT 1 FROM intent LIMIT 1"):
                await self._cancel_turns()
                await anyio.sleep(LOOK_SECONDS)
        await self.referee.judge()
        if states:
            await self.referee.ended_as(*states)
        self._verdict()

    async def _cancel_turns(self) -> None:
        """Those that hang or ask would go on for ever."""
        query = "SELECT id FROM tab WHERE json_extract(body, '$.turn.at') = 'running'"
        for (tab_id,) in self.outside.rows(query):
            try:
                await self.dock.cancel_turn(tab_id)
            except CommandRejected as refusal:
                self.ledger.note(f"cancel_turn {tab_id}: {refusal}")

    async def _ask_all(self, ask: Callable[[str], Awaitable[object]]) -> None:
        for task_id in self.ledger.tasks:
            try:
                await ask(task_id)
            except CommandRejected as refusal:
                self.ledger.note(f"the end: {refusal}", task_id)

    def _verdict(self) -> None:
        """Fail with the seed, the stories of the tasks concerned and the way to see it again."""
        found = list(dict.fromkeys(self.referee.found))
        if not found:
            return
        lines = [f"{finding.task_id}: {finding.words}" for finding in found]
        concerned = dict.fromkeys(finding.task_id for finding in found)
        stories = [story(self.outside, self.ledger, task_id) for task_id in concerned]
        again = f"again: make soak SEED={self.seed} ROUNDS={self.rounds}"
        raise AssertionError("\n".join([f"seed {self.seed}", *lines, *stories, *lines, again]))


@asynccontextmanager
async def soak(folder: Path, seed: int, rounds: int) -> AsyncIterator[Soak]:
    """A world with two remotes, and nothing left of it behind the block."""
    world = World(folder, wrap="e2e.witness:install", settings=SETTINGS, **FIGURES)
    remotes = [make_remote(folder / name) for name in ("one", "two")]
    ledger, outside = Ledger(), Outside(world.home, PROVIDER)
    try:
        world.start()
        async with world.client() as dock:
            referee = Referee(dock, outside, ledger)
            script = Script(dock, _dice(f"{seed}/script"), remotes, ledger)
            chaos = Chaos(world, outside, _dice(f"{seed}/chaos"), ledger, referee.look)
            yield Soak(seed, rounds, dock, outside, ledger, script, chaos, referee)
    finally:
        world.close()


def _dice(seed: str) -> random.Random:
    return random.Random(seed)  # noqa: S311 - a test's dice, not a secret
