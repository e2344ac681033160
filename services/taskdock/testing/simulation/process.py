"""Process: one Taskdock, wired as production wires it, on simulated ports; it can be killed at any call.

Owns: `Process`, `SimulatedSeat`.
Never: a scheduler, link or rule of its own.
Reads as: world.py starts one -> Dock and Background over the simulated ports.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from pathlib import Path

import anyio
from attrs import Factory, field, mutable

from taskdock.core.errors import Unreachable
from taskdock.core.inputs import Delivered, Input, OutcomeReported, Started
from taskdock.core.intents import Figures
from taskdock.services.background import Background, Work
from taskdock.services.capacity import Capacity
from taskdock.services.dock import Dock
from taskdock.services.feed import Hub
from taskdock.services.links import Links
from taskdock.services.reaper import Reaper
from taskdock.services.retention import Keep, Retention
from taskdock.services.scheduler import Lanes
from taskdock.services.sites import Site, Sites
from taskdock.services.stepping import Applied, Stepper
from taskdock.services.tools import Tools
from taskdock.services.workbench import Offer
from taskdock.testing.memory_data import MemoryData
from taskdock.testing.simulation.boxes import Boxes
from taskdock.testing.simulation.calls import Calls, Died
from taskdock.testing.simulation.carrier import SimulatedCarrier, SimulatedClones, SimulatedNamer
from taskdock.testing.simulation.code import Clones
from taskdock.testing.simulation.faults import Faults
from taskdock.testing.simulation.gateway import SimulatedGateway
from taskdock.testing.simulation.gits import Gits
from taskdock.testing.simulation.moves import Moves
from taskdock.testing.simulation.nature import PROFILES, Nature
from taskdock.testing.simulation.provider import Lies, SimulatedAccess, SimulatedProvider
from taskdock.testing.simulation.stack import SimulatedStack
from taskdock.testing.simulation.store import SimulatedStore, Watcher

OWNER = "simulation"
AGENTS = ("first", "second")
_REAP_SECONDS = 300.0
_REAP_AGE_SECONDS = 600.0
_DRAIN_SECONDS = 5.0


@mutable(eq=False)
class Chair:
    """Who schedules: what a lock on a file is for real processes."""

    holder: "Process | None" = None
    left: anyio.Event = field(factory=anyio.Event)
    poked: Callable[[int], None] = field(default=lambda _: None)
    followers: list[Callable[[int], None]] = field(factory=list)

    def vacate(self, process: "Process") -> None:
        """Its holder left or died."""
        if self.holder is process:
            self.holder, self.poked = None, lambda _: None
            left, self.left = self.left, anyio.Event()
            left.set()


@mutable(eq=False)
class Outside:
    """Everything that outlives a process, and what goes wrong on the way to it."""

    nature: Nature
    boxes: Boxes
    clones: Clones
    data: MemoryData
    gits: Gits = Factory(lambda self: Gits(self.nature), takes_self=True)
    moves: Moves = Factory(lambda self: Moves(self.nature, self.clones), takes_self=True)
    faults: Faults = field(factory=Faults)
    lies: Lies = field(factory=Lies)
    figures: Figures = field(factory=Figures)
    reported: list[tuple[str, OutcomeReported]] = field(factory=list)
    """Every outcome that was accepted."""
    seat: Chair = field(factory=Chair)


@mutable(eq=False)
class Witness(Stepper):
    """The product's own stepper; it notes which outcomes were accepted, so that they can be reported once more."""

    reported: list[tuple[str, OutcomeReported]] = field(factory=list, kw_only=True)
    broken: Callable[[int, str], None] = field(kw_only=True)

    async def apply(self, boundary: str, input_: Input) -> Applied:
        """Apply, and note; what comes of an execution that is over changes nothing."""
        applied = await super().apply(boundary, input_)
        if applied.change.ignored is not None or not isinstance(
            input_, OutcomeReported | Started | Delivered
        ):
            return applied
        issues = [one.issue for one in applied.decision.slice.intents if one.id == input_.intent_id]
        if issues != [input_.issue]:
            self.broken(5, f"what is stale was taken, while the issue is {issues}: {input_}")
        if isinstance(input_, OutcomeReported):
            self.reported.append((boundary, input_))
        return applied


@mutable(eq=False)
class SimulatedSeat:
    """Implements `Seat` on one chair. A process that `believes` takes it for its own whoever has it."""

    chair: Chair
    process: "Process"
    believes: bool = False

    async def take(self) -> bool:
        """Become the one who schedules."""
        if self.believes:
            return True
        if self.chair.holder is None and self.process.calls.is_alive:
            self.chair.holder = self.process
        return self.chair.holder is self.process

    async def serve(self, on_poke: Callable[[int], None]) -> None:
        """Take pokes until cancelled."""
        if not self.believes:
            self.chair.poked = on_poke
        await anyio.sleep_forever()

    def publish(self, position: int) -> None:
        """Tell the followers."""
        for follower in list(self.chair.followers):
            follower(position)

    def poke(self, position: int) -> None:
        """Tell the holder."""
        self.chair.poked(position)

    async def follow(self, on_position: Callable[[int], None]) -> None:
        """Be told positions until the holder is gone."""
        if self.chair.holder is None:
            raise Unreachable("nobody schedules")
        self.chair.followers.append(on_position)
        try:
            await self.chair.left.wait()
        finally:
            self.chair.followers.remove(on_position)

    async def leave(self) -> None:
        """Give it up."""
        self.chair.vacate(self.process)


@mutable(eq=False)
class Process:
    """One process. `dock` is there once it is `up`."""

    outside: Outside
    number: int
    watcher: Watcher
    believes: bool = False
    calls: Calls = field(init=False)
    dock: Dock = field(init=False)
    up: asyncio.Event = field(factory=asyncio.Event, init=False)
    _over: asyncio.Event = field(factory=asyncio.Event, init=False)
    _task: "asyncio.Task[None] | None" = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        nature = self.outside.nature
        self.calls = Calls(
            nature.dice("calls", self.number),
            self.outside.faults,
            self._dead,
            trace=nature.tell,
            broken=nature.broken,
        )

    def start(self) -> None:
        """Begin to run."""
        self.outside.nature.tell(f"process {self.number} starts")
        self._task = asyncio.get_running_loop().create_task(
            self._main(), name=f"process {self.number}", context=Context()
        )

    def kill(self) -> None:
        """SIGKILL: from this instant on it does nothing."""
        if self.calls.is_alive:
            self.calls.is_alive = False
            self._dead()

    async def end(self) -> None:
        """SIGTERM: it drains, and ends."""
        self._over.set()
        await self.wait()

    async def wait(self) -> None:
        """Wait until nothing of it is left in the event loop."""
        if self._task is not None:
            await asyncio.wait([self._task])

    @property
    def is_over(self) -> bool:
        """Whether it does nothing any more."""
        return not self.calls.is_alive or self._task is None or self._task.done()

    def _dead(self) -> None:
        """What the operating system does for a process that died: its locks are free; its tasks are never heard of again."""
        self.outside.nature.tell(f"process {self.number} is killed")
        self.outside.seat.vacate(self)
        if self._task is not None:
            self._task.cancel()

    async def _main(self) -> None:
        try:
            await self._serve()
        except asyncio.CancelledError:
            if self.calls.is_alive:
                raise
        except BaseExceptionGroup as group:
            if self.calls.is_alive or group.split((Died, asyncio.CancelledError))[1] is not None:
                self.outside.nature.crashed(self.number, group, is_alive=self.calls.is_alive)
        except Died:
            pass
        except Exception as error:  # noqa: BLE001 - told as a violation
            self.outside.nature.crashed(self.number, error, is_alive=self.calls.is_alive)
        finally:
            self.up.set()

    async def _serve(self) -> None:
        outside, clock = self.outside, self.outside.nature
        hub = Hub()
        seat = SimulatedSeat(outside.seat, self, self.believes)
        background = Background(hub, seat, _DRAIN_SECONDS)
        store = SimulatedStore(
            outside.data, self.calls, self.watcher, clock_now=clock.now, on_commit=background.committed
        )
        stepper = Witness(
            store,
            clock,
            outside.figures,
            capacity=Capacity(store),
            reported=outside.reported,
            broken=clock.broken,
        )
        self.dock = Dock(
            stepper=stepper,
            reads=store,
            clock=clock,
            offer=Offer(tuple(profile.id for profile in PROFILES), AGENTS, stack_tool=True),
            owner=OWNER,
            store=store,
            hub=hub,
            home=Path("/simulated"),
            schedules_now=lambda: background.schedules,
        )
        tools = self._tools(store, stepper)
        work = Work(
            queue=store,
            tools=tools,
            lanes=Lanes(),
            retention=Retention(store, clock, Keep()),
            reaper=Reaper(tools.sites, stepper, store, clock, OWNER, _REAP_AGE_SECONDS),
            reap_seconds=_REAP_SECONDS,
        )
        async with background.running(store, work):
            self.up.set()
            await self._over.wait()
        await seat.leave()

    def _tools(self, store: SimulatedStore, stepper: Stepper) -> Tools:
        outside, calls = self.outside, self.calls
        access = SimulatedAccess(outside.boxes, calls)
        sites = Sites(
            {
                profile.id: Site(SimulatedProvider(profile, outside.boxes, calls, outside.lies), access)
                for profile in PROFILES
            }
        )
        gateway = SimulatedGateway(outside.boxes, calls)
        return Tools(
            sites=sites,
            gateway=gateway,
            clones=SimulatedClones(outside.moves, outside.gits, calls),
            namer=SimulatedNamer(calls),
            fallback_namer=SimulatedNamer(calls, "fallback"),
            stepper=stepper,
            store=store,
            reads=store,
            clock=outside.nature,
            links=Links(stepper, store, store, outside.nature, sites, gateway),
            carrier=SimulatedCarrier(outside.boxes, outside.moves, outside.gits, calls),
            stack=SimulatedStack(outside.gits, outside.moves, calls),
        )
