"""Remote: rounds in which a create at a remote provider goes wrong and our process is killed in the middle of it.

Owns: `Remote`: one home on the stand-in, its rounds, and what must be true of the boxes afterwards.
Never: a look through the code under test; boxes are counted at the stand-in.
Reads as: test_remote_kills.py -> `Remote.run` -> World, StandIn.
"""

import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from attrs import field, mutable

from e2e.providers import Daytona, chosen
from e2e.world import World
from git_repos import make_remote
from stand_in import StandIn
from taskdock.app import Dock, TaskView
from taskdock.core.errors import Conflict
from taskdock.ports.sandbox import SandboxRef, SandboxSpec

WINDOW_SECONDS = 8.0
"""Far longer than what is late below, also on a machine that is busy: a create that lands after it breaks a promise."""
ALIVE_MAX = 5
SEEN_SECONDS_MAX = 30.0
REST_SECONDS_MAX = 180.0
_RESTS = ("running", "stopped", "archived", "killed", "error")
_ENDS = ("archived", "killed")
_REAPER = """\
reap_seconds = 2.0
reap_age_seconds = 1.0
"""

_FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "slow", "seconds": 1.0},
    {"kind": "drop"},
    {"kind": "drop-after"},
    {"kind": "refuse", "status": 503},
    {"kind": "refuse-after", "status": 504},
    {"kind": "late", "seconds": 0.7},
    {"kind": "failed"},
    {"kind": "stuck", "seconds": 2.0},
    {"kind": "refuse", "status": 409, "message": "Sandbox state change in progress"},
    {"kind": "refuse", "status": 429, "headers": {"Retry-After-sandbox-create": "1"}},
)
"""What goes wrong with a create; each round takes the next, so that every one meets kills."""
_WINDOWS = ("provider.ensure.before", "the request", "the request", "provider.ensure.after", "any time")
"""When the process is killed."""


@mutable(eq=False)
class Remote:
    """One home, one stand-in, one client."""

    world: World
    stand_in: StandIn
    dock: Dock
    repo: str
    dice: random.Random
    tasks: list[str] = field(factory=list)
    rounds: Counter[str] = field(factory=Counter)

    async def run(self, rounds: int) -> None:
        """So many creates, a fault and a kill in each; then rest, judge, end all, and judge again."""
        await self.begin()
        for number in range(rounds):
            await self._round(number)
        self.stand_in.clear()
        await self._rest()
        await self.judge()
        for task_id in self.tasks:
            await self.dock.kill_task(task_id, force=True)
        await self._rest("killed")
        await self.judge()

    async def begin(self) -> None:
        """Boxes of other people: of another owner, and of nobody. They are there to the end."""
        other = self.stand_in.sandboxes()
        for number in range(2):
            ref = SandboxRef("daytona", f"foreign-{number}-{self.dice.randrange(10**9)}")
            await other.ensure(SandboxSpec(ref, "somebody-else", f"task-foreign-{number}", 1))
        await other.aclose()
        await to_thread.run_sync(self.world.start)

    async def judge(self) -> None:
        """The boxes are the current generations of the tasks that are neither archived nor killed, and other people's."""
        wanted: set[str] = set()
        for task_id in self.tasks:
            task = (await self.dock.task(task_id)).task
            if task.status.value not in _ENDS:
                wanted.add(task.sandbox.name)
        with anyio.move_on_after(SEEN_SECONDS_MAX):
            # The reaper takes what a late create left; it has its own pace.
            while self._ours() != wanted:  # noqa: ASYNC110 - the stand-in is looked at from outside
                await anyio.sleep(0.25)
        seen = self.stand_in.seen()
        assert self._ours() == wanted, self.world.log()
        assert sum(name.startswith("foreign-") for name in self.stand_in.names()) == 2
        assert seen["doubles"] == []
        assert seen["referee"]["violations"] == []

    def report(self) -> str:
        """What was done, in figures."""
        seen = self.stand_in.seen()
        rounds = ", ".join(f"{count} at {window}" for window, count in sorted(self.rounds.items()))
        return f"{len(self.tasks)} tasks, kills: {rounds}; {seen['created']} boxes made; faults: {seen['happened']}\n"

    def _ours(self) -> set[str]:
        return {box["labels"]["taskdock.name"] for box in self.stand_in.boxes_of(*self.tasks)}

    async def _round(self, number: int) -> None:
        fault, window = _FAULTS[number % len(_FAULTS)], self.dice.choice(_WINDOWS)
        gate = self.world.gate(window) if window.startswith("provider.") else None
        before = self._happened()
        self.stand_in.order({"op": "create", "name": "td-", **fault})
        receipt = await self.dock.create_task(repo=self.repo, prompt="demo: echo hello")
        self.tasks.append(receipt.task_id)
        if gate is not None:
            await self.world.reached(gate)
        elif window == "the request":
            with anyio.fail_after(SEEN_SECONDS_MAX):
                while self._happened() == before:  # noqa: ASYNC110 - as above
                    await anyio.sleep(0.02)
        await anyio.sleep(self.dice.uniform(0.0, 0.3 if window != "any time" else 2.0))
        await to_thread.run_sync(self.world.kill)
        self.rounds[window] += 1
        if gate is not None:
            self.world.open_gate(gate)
            gate.with_name(f"{gate.name}.reached").unlink(missing_ok=True)
        await self._end_some()
        await to_thread.run_sync(self.world.start)

    def _happened(self) -> int:
        return sum(self.stand_in.seen()["happened"].values())

    async def _end_some(self) -> None:
        """Not more are alive at once than a small machine can hold; ended in either way, at whatever they are."""
        alive = [
            view.task.id
            for task_id in self.tasks
            if (view := await self.dock.task(task_id)).task.status.value
            not in ("archiving", "killing", *_ENDS)
        ]
        for task_id in alive[:-ALIVE_MAX]:
            ask = self.dice.choice([self.dock.kill_task, self.dock.archive_task])
            await ask(task_id, force=True)

    async def _rest(self, *statuses: str) -> None:
        """Every task comes to rest; one in error does by a retry at the latest, since nothing is wrong any more."""
        for task_id in self.tasks:
            view = await self._rested(task_id, *(statuses or _RESTS))
            for _ in range(3):
                if view.task.status.value != "error":
                    break
                with suppress(Conflict):
                    await self.dock.retry_task(task_id)
                view = await self._rested(task_id, *(one for one in _RESTS if one != "error"), "error")
            assert view.task.status.value != "error", view.task.failure

    async def _rested(self, task_id: str, *statuses: str) -> TaskView:
        with anyio.fail_after(REST_SECONDS_MAX):
            return await self.world.rest(self.dock, task_id, *statuses)


@asynccontextmanager
async def remote(folder: Path, stand_in: StandIn, seed: str) -> AsyncIterator[Remote]:
    """A home on the stand-in, and nothing left of it behind the block."""
    seconds = {"create_window_seconds": WINDOW_SECONDS, "create_seconds": 4.0, "busy_seconds": 10.0}
    repo = make_remote(folder / "remote")
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    with chosen(Daytona(stand_in, seconds)):
        world = World(folder, settings=_REAPER, backoff_seconds_max=1.0, call_seconds=1.0, absent_seconds=0.3)
        try:
            async with world.client() as dock:
                yield Remote(world, stand_in, dock, str(repo), dice)
        finally:
            world.close()
