"""World: one simulated installation, from its first process to its last, under one seed.

Owns: `World`: `apply` an act, let time `pass_by`, `settle`, `close`; and what was found broken.
Never: a thread or a real second; two worlds in one event loop.
Reads as: a driver (seeds.py, replay, rules of hypothesis) -> this -> client.py, mischief.py, process.py -> invariants.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any

from attrs import evolve, field, mutable

from taskdock.core.intents import Figure, Figures
from taskdock.ports.store import Commit
from taskdock.services.dock import Dock
from taskdock.testing.memory_data import MemoryData
from taskdock.testing.simulation.boxes import Box, Boxes
from taskdock.testing.simulation.client import COMMANDS, Client
from taskdock.testing.simulation.code import Clones
from taskdock.testing.simulation.invariant import Invariant
from taskdock.testing.simulation.invariants import INVARIANTS
from taskdock.testing.simulation.mischief import MISCHIEF, Mischief
from taskdock.testing.simulation.nature import NUMBERS, Nature
from taskdock.testing.simulation.process import OWNER, Outside, Process
from taskdock.testing.simulation.recovery import Recovery
from taskdock.testing.simulation.script import Act, Script
from taskdock.testing.virtual_time import TimeStands, VirtualLoop

ACTS: dict[str, int] = COMMANDS | MISCHIEF
"""Every act, and how often it is chosen."""
OwnActs = Mapping[str, Callable[["World", Act], Awaitable[None]]]
"""Acts of whoever uses the kit, by name: each gets the world and the numbers, and runs in the world's event loop."""
NO_ACTS: OwnActs = {}
CALM = "-- nothing goes wrong any more"
"""What the timeline says once every act is done, and the world settles."""
TURN_SECONDS_MAX = 1800.0
SETTLE_SECONDS_MAX = 6 * 3600.0
TURNS_MAX = 10_000
"""So often the event loop goes round at one instant before a world counts as one that goes on for ever."""
CALM_SECONDS = 180.0
"""So long after the last fault every link is made anew, and has told what it has to tell."""
_CLOSING_SECONDS = 0.001
_QUIET_SECONDS = 60.0
"""So long nothing is committed before a world counts as being at rest: what is lost is noticed within that time."""


def figures() -> Figures:
    """The product's own, but for turns, which nobody here waits hours for."""
    standard = Figures()
    shorter = {"SendPrompt": Figure(TURN_SECONDS_MAX, standard.intents["SendPrompt"].attempts_max)}
    return evolve(standard, intents={**standard.intents, **shorter})


@mutable(eq=False)
class World:
    """One world. Its methods run its event loop as far as they need; close it when done."""

    seed: int
    invariants: tuple[type[Invariant], ...] = INVARIANTS
    recovers: bool = True
    """Whether the tenth invariant is held against it, too."""
    numbers: frozenset[int] = NUMBERS
    """Which invariants count, also those that are no class of `invariants`."""
    own_acts: OwnActs = field(default=NO_ACTS, kw_only=True)
    loop: VirtualLoop = field(factory=lambda: VirtualLoop(TURNS_MAX), init=False)
    outside: Outside = field(init=False)
    client: Client = field(init=False)
    processes: list[Process] = field(factory=list, init=False)
    steps: int = field(default=0, init=False)
    """How many commits were made."""
    acts: int = field(default=0, init=False)
    """How many acts were done."""
    _watching: list[Invariant] = field(factory=list, init=False)
    _mischief: Mischief = field(init=False)

    def __attrs_post_init__(self) -> None:
        own = {kind.number for kind in self.invariants} - NUMBERS
        nature = Nature(self.seed, self.loop, numbers=self.numbers | own)
        self.outside = Outside(nature, Boxes(nature), Clones(), MemoryData(owner=OWNER), figures=figures())
        self.client = Client(nature, self.dock)
        self._mischief = Mischief(self)
        self._watching = [kind(self) for kind in self.invariants]
        nature.on_change = lambda: self._look(frozenset(self.outside.data.rows["task"]))
        nature.on_received = self._received
        self.outside.boxes.on_destroyed = self._destroyed

    @property
    def overlaps(self) -> bool:
        """Whether two schedulers worked at once since the world last rested."""
        return self.outside.nature.overlaps

    @property
    def violations(self) -> list[str]:
        """What was found broken, each with the number of its invariant in brackets."""
        return self.outside.nature.violations

    @property
    def timeline(self) -> list[tuple[float, str]]:
        """What happened."""
        return self.outside.nature.timeline

    def run(self, script: Script, *, settles: bool = True) -> None:
        """Apply every act until something is broken, settle, and see that everything can go on."""
        for act in script.acts:
            self.apply(act)
            if self.violations:
                return
        if settles:
            self.settle()

    def apply(self, act: Act) -> None:
        """Do one thing, and let the world go on for its pause."""
        self.acts += 1
        self.outside.nature.tell(f"-- {act}")
        self._await(self._apply(act))

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self._await(asyncio.sleep(seconds))

    def settle(self) -> None:
        """Stop every fault, wait until nothing is left to happen, and judge."""
        if not self.violations:
            self._await(self._settle())

    def close(self) -> None:
        """End every process; nothing of this world is left."""
        try:
            self._await(self._close())
        finally:
            self.loop.close()

    def _await(self, what: Coroutine[Any, Any, None]) -> None:
        try:
            self.loop.run_until_complete(what)
        except TimeStands as error:
            self.outside.nature.broken(9, f"nothing rests: {error}")

    # Processes

    async def dock(self) -> Dock:
        """The dock of a process that is up; one is started when there is none."""
        process = await self.process()
        return process.dock

    async def process(self) -> Process:
        """The newest process that is up."""
        while True:
            alive = [one for one in self.processes if not one.is_over]
            process = alive[-1] if alive else self.start()
            await process.up.wait()
            if not process.is_over:
                return process

    def start(self, *, believes: bool = False) -> Process:
        """Start a process."""
        self.outside.nature.overlaps |= believes
        self.outside.boxes.drop_jumped()
        process = Process(self.outside, len(self.processes) + 1, self._committed, believes)
        self.processes.append(process)
        process.start()
        return process

    # Acts

    async def _apply(self, act: Act) -> None:
        if act.name in self.own_acts:
            await self.own_acts[act.name](self, act)
        elif act.name in COMMANDS:
            await self.client.give(act)
        else:
            await self._mischief.do(act)
        await asyncio.sleep(act.pause_seconds)

    async def _settle(self) -> None:
        nature = self.outside.nature
        self.outside.faults.clear()
        self.outside.lies.phases.clear()
        for process in self.processes:
            process.calls.dies_at = None
            # What two who scheduled at once have left is healed by the next one to start, at the latest.
            if self.outside.nature.overlaps:
                process.kill()
        nature.tell(CALM)
        await self.process()
        await asyncio.sleep(CALM_SECONDS)
        for invariant in self._watching:
            invariant.in_calm()
        await self.rest()
        for invariant in self._watching:
            await invariant.look()
            invariant.at_rest()
        if self.recovers and not self.violations:
            await Recovery(self).ask()
            for invariant in self._watching:
                invariant.at_the_end()

    async def rest(self) -> None:
        """Wait until nothing is left to happen; broken when that takes too long."""
        nature = self.outside.nature
        until = nature.seconds + SETTLE_SECONDS_MAX
        while True:
            await self.process()
            before = self.steps
            await asyncio.sleep(_QUIET_SECONDS)
            if not self.outside.data.outbox and before == self.steps:
                self.outside.nature.overlaps = any(one.believes and not one.is_over for one in self.processes)
                return
            if nature.seconds > until:
                left = [one.intent for one in self.outside.data.outbox.values()]
                nature.broken(9, f"nothing rests after {SETTLE_SECONDS_MAX:g} s: {left}")
                return

    async def _close(self) -> None:
        for process in self.processes:
            process.kill()
        while left := asyncio.all_tasks() - {asyncio.current_task()}:
            # Nearly all end by themselves. What has only just been made must begin first, or Python warns that it never did.
            await asyncio.wait(left, timeout=_CLOSING_SECONDS)
            for task in left:
                task.cancel()

    # Watching

    def _committed(self, commit: Commit) -> None:
        self.steps += 1
        for invariant in self._watching:
            invariant.on_commit(commit)
        self._look(frozenset(change.boundary for change in commit.changes))

    def _look(self, boundaries: frozenset[str]) -> None:
        for invariant in self._watching:
            invariant.after_step(boundaries)

    def _received(self, tab_id: str, message_id: str) -> None:
        for invariant in self._watching:
            invariant.on_received(tab_id, message_id)

    def _destroyed(self, box: Box) -> None:
        for invariant in self._watching:
            invariant.on_destroyed(box)

    def jump(self, seconds: float) -> None:
        """Set the wall clock."""
        self.outside.nature.jumped += timedelta(seconds=seconds)
        if seconds > 0:
            self.outside.boxes.jump()
        if sum(not one.is_over for one in self.processes) > 1:
            self.outside.boxes.drop_jumped()
