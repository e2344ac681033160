"""Chaos: what happens to a world that nobody asked for: kills of its scheduling process, and losses behind its back.

Owns: `Chaos`, which counts one round for each kill and restart.
Never: a clean stop; a fault that the script knows of.
Reads as: a test -> `Chaos.run` beside the script -> World, /proc, the folders of sandboxes.
"""

import os
import random
import shutil
import signal
from collections.abc import Awaitable, Callable

import anyio
from anyio import to_thread
from attrs import field, mutable

from e2e.ledger import Ledger
from e2e.outside import Box, Outside
from e2e.world import World

UP_SECONDS = ((0.1, 1.5), (3.0, 7.0))
"""How long it may live between its start and the next kill: too short for most steps, or long enough for turns."""
DOWN_SECONDS = (0.0, 0.3)
EARLY_SECONDS = (0.1, 2.0)
"""After how long it is killed, when it is killed while it starts."""
EARLY = 0.25
LOSSES = 0.35
LOGINS = 0.3


@mutable
class Chaos:
    """Everything that goes wrong, by its own dice."""

    world: World
    outside: Outside
    dice: random.Random
    ledger: Ledger
    look: Callable[[], Awaitable[None]]
    """Called while nothing schedules."""
    rounds: int = field(default=0, init=False)
    losses: int = field(default=0, init=False)

    async def run(self, rounds: int) -> None:
        """Kill and start it again, so many times; it runs at the end."""
        while self.rounds < rounds:
            await anyio.sleep(self.dice.uniform(*self.dice.choice(UP_SECONDS)))
            if self.dice.random() < LOSSES:
                await to_thread.run_sync(self._lose_something)
            if self.dice.random() < LOGINS:
                self._log_in()
            await self._kill()
            await self.look()
            await anyio.sleep(self.dice.uniform(*DOWN_SECONDS))
            self.world.spawn()
            if self.dice.random() < EARLY and self.rounds < rounds:
                await anyio.sleep(self.dice.uniform(*EARLY_SECONDS))
                await self._kill()
                self.world.spawn()
            await to_thread.run_sync(self.world.await_serving)

    async def _kill(self) -> None:
        assert self.world.is_alive(), f"it ended by itself\n{self.world.log()}"
        await to_thread.run_sync(self.world.kill)
        self.rounds += 1
        self.ledger.note(f"====== round {self.rounds}: SIGKILL")

    def _log_in(self) -> None:
        """Give every agent its login back that lost it."""
        for mark in self.outside.sandboxes.glob("td-*/home/.taskdock/demo-logged-out"):
            mark.unlink(missing_ok=True)

    def _lose_something(self) -> None:
        """Take an agent, an agent server or a whole sandbox away."""
        boxes = [box for box in self.outside.boxes() if box.processes]
        if not boxes:
            return
        box = self.dice.choice(boxes)
        what = self.dice.choice(["agent", "server", "sandbox"])
        self.losses += 1
        self.ledger.note(f"====== {what} of {box.path.name} is lost", box.task_id)
        if what == "sandbox":
            self._take_away(box)
        else:
            pids = box.agents if what == "agent" else box.pids("sandbox-agent\0server")
            _end(pids[:1])

    def _take_away(self, box: Box) -> None:
        """The folder first, in one step, then what runs in it, then its content."""
        gone = self.world.home.parent / f"gone-{self.losses}"
        try:
            box.path.rename(gone)
        except FileNotFoundError:
            return
        _end(list(box.processes))
        again = [one for one in self.outside.boxes() if one.path == box.path]
        _end([pid for one in again for pid in one.processes])
        shutil.rmtree(gone)


def _end(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
