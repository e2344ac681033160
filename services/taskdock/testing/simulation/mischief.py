"""Mischief: what goes wrong in a world besides what users ask: kills, faults, losses, lies, jumps of the clock.

Owns: `Mischief` and `MISCHIEF`, every kind with how often it happens.
Never: something that no provider, agent, network or operating system does.
Reads as: World.apply(act) -> `Mischief.do` -> faults.py, boxes.py, process.py.
"""

from typing import TYPE_CHECKING

from attrs import frozen

from taskdock.core.errors import InvariantViolated, StoreError
from taskdock.ports.sandbox import Phase
from taskdock.testing.simulation.agents import AgentProcess
from taskdock.testing.simulation.boxes import Box
from taskdock.testing.simulation.calls import Died
from taskdock.testing.simulation.faults import Kind
from taskdock.testing.simulation.script import Act

if TYPE_CHECKING:
    from taskdock.testing.simulation.world import World

MISCHIEF: dict[str, int] = {
    "kill": 14, "drain": 4, "fail": 40, "fail_store": 8, "lose": 4, "break_box": 3, "halt": 3, "crash_agent": 6,
    "end_server": 4, "cut": 4, "come_late": 6, "lie": 6, "jump": 3, "second": 2, "echo": 8, "fail_job": 8,
}  # fmt: skip
CALLS = (
    "provider.ensure", "provider.start", "provider.stop", "provider.observe", "provider.destroy", "provider.list_owned",
    "access.ensure_service", "access.endpoint", "access.stop_service", "access.exec", "access.get_file",
    "gateway.service", "gateway.open_session", "gateway.resume_session", "gateway.settle", "gateway.attach",
    "gateway.prompt", "gateway.prompt", "gateway.prompt", "gateway.delivery", "gateway.cancel",
    "gateway.answer_permission", "gateway.close", "clones.clone", "clones.branch_heads", "clones.checkout",
    "clones.take_in", "clones.remove.look", "clones.remove", "namer.simulated",
)  # fmt: skip
JOB_CALLS = (
    "stack.preflight", "stack.snapshot", "stack.pre_sync", "stack.act", "stack.act", "stack.post_sync", "stack.end",
    "stack.settle",
)  # fmt: skip
STORE_CALLS = ("store.commit", "store.append", "queue.claim", "queue.release", "queue.ended")
KINDS = (
    Kind.REFUSED, Kind.REFUSED, Kind.LOST, Kind.LOST, Kind.UNKNOWN, Kind.UNREACHABLE, Kind.RATE, Kind.QUOTA,
    Kind.PERMANENT, Kind.SLOW, Kind.HANG,
)  # fmt: skip
LIES = (Phase.UNKNOWN, Phase.PENDING, Phase.ABSENT, Phase.STOPPING)
_LATE_SECONDS = (1.0, 9.0, 30.0, 59.0)
_JUMPS_SECONDS = (-3600.0, -30.0, -1.0, 1.0, 30.0, 3600.0)


@frozen
class Mischief:
    """Does one kind of mischief after the other."""

    world: "World"

    async def do(self, act: Act) -> None:
        """Do what the act says."""
        kinds = {name: getattr(self, f"_{name}") for name in MISCHIEF}
        await kinds[act.name](act)

    async def _kill(self, act: Act) -> None:
        """SIGKILL at one of the next calls, before it or after it."""
        process = await self.world.process()
        process.calls.dies_at = process.calls.count + 1 + act.how

    async def _drain(self, _act: Act) -> None:
        """SIGTERM, and the next process."""
        process = await self.world.process()
        await process.end()

    async def _fail(self, act: Act) -> None:
        """Some of the next calls of one kind go wrong."""
        name = CALLS[(act.task * 64 + act.tab) % len(CALLS)]
        kind, count = KINDS[act.how % len(KINDS)], 1 + act.tab % 3
        self.world.outside.faults.plan(name, kind, count)
        self._tell(f"the next {count} calls of {name} will be {kind.value}")

    async def _fail_job(self, act: Act) -> None:
        """Some of the next calls of a job go wrong."""
        name = JOB_CALLS[act.task % len(JOB_CALLS)]
        kind, count = KINDS[act.how % len(KINDS)], 1 + act.tab % 3
        self.world.outside.faults.plan(name, kind, count)
        self._tell(f"the next {count} calls of {name} will be {kind.value}")

    async def _fail_store(self, act: Act) -> None:
        """The store refuses, or cannot say that it did not."""
        name = STORE_CALLS[act.tab % len(STORE_CALLS)]
        kind, count = (Kind.REFUSED, Kind.LOST)[act.how % 2], 1 + act.task % 2
        self.world.outside.faults.plan(name, kind, count)
        self._tell(f"the next {count} calls of {name} will be {kind.value}")

    async def _lose(self, act: Act) -> None:
        """A sandbox is taken away behind our back."""
        box = self._box(act)
        if box is not None:
            self.world.outside.boxes.remove(box.spec.ref)

    async def _break_box(self, act: Act) -> None:
        """A sandbox fails."""
        box = self._box(act)
        if box is not None:
            box.halt(Phase.FAILED)
            self.world.outside.nature.tell(f"{box.spec.ref.name} fails")

    async def _halt(self, act: Act) -> None:
        """A sandbox is stopped behind our back."""
        box = self._box(act)
        if box is not None and box.phase is Phase.RUNNING:
            box.halt(Phase.STOPPED)
            self.world.outside.nature.tell(f"{box.spec.ref.name} stops")

    async def _crash_agent(self, act: Act) -> None:
        """An agent's process ends, its server does not."""
        for agent in self._agents(act)[:1]:
            agent.crash()

    async def _end_server(self, act: Act) -> None:
        """The server of the agents ends with all of them."""
        box = self._box(act)
        if box is not None and box.service is not None:
            box.service.end()
            box.service = None
            self.world.outside.nature.tell(f"the server in {box.spec.ref.name} ends")

    async def _cut(self, act: Act) -> None:
        """Every connection to some agents breaks."""
        for agent in self._agents(act):
            agent.cut()
            self._tell(f"the connections to {agent.id} break")

    async def _come_late(self, act: Act) -> None:
        """The next create lands late, and unseen until then."""
        self.world.outside.boxes.late_seconds = _LATE_SECONDS[act.how % len(_LATE_SECONDS)]

    async def _lie(self, act: Act) -> None:
        """The next looks at a sandbox that is there say something else."""
        phase = LIES[act.how % len(LIES)]
        self.world.outside.lies.phases += [phase] * (1 if phase is Phase.ABSENT else 1 + act.tab % 3)
        self._tell(f"the next looks will say {phase.value}")

    async def _jump(self, act: Act) -> None:
        """The wall clock is set."""
        seconds = _JUMPS_SECONDS[act.how % len(_JUMPS_SECONDS)]
        self.world.jump(seconds)
        self._tell(f"the wall clock is set by {seconds:g} s")

    async def _second(self, _act: Act) -> None:
        """Another process takes itself for the one who schedules, while the first still does."""
        await self.world.process()
        self.world.start(believes=True)

    async def _echo(self, act: Act) -> None:
        """An outcome that was accepted is reported again."""
        reported = self.world.outside.reported
        if not reported:
            return
        boundary, report = reported[-1 - act.how % len(reported)]
        self._tell(f"an outcome of {report.intent_id} is reported again")
        dock = await self.world.dock()
        try:
            applied = await dock.stepper.apply(boundary, report)
        except (Died, StoreError):
            return
        except InvariantViolated as error:
            self.world.outside.nature.broken(5, f"an outcome that was reported again broke a rule: {error}")
            return
        if applied.change.ignored is None:
            self.world.outside.nature.broken(5, f"an outcome was taken twice: {report}")

    def _tell(self, sentence: str) -> None:
        self.world.outside.nature.tell(sentence)

    def _box(self, act: Act) -> Box | None:
        boxes = list(self.world.outside.boxes.by_ref.values())
        return boxes[act.task % len(boxes)] if boxes else None

    def _agents(self, act: Act) -> list[AgentProcess]:
        box = self._box(act)
        return [] if box is None else box.agents
