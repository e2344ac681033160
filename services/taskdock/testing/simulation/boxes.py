"""Boxes: the sandboxes that there are, as their providers have them.

Owns: `Boxes`, `Box`, `Service`.
Never: a box without its files and processes ended when it is; a lie (those are told on the way, in provider.py).
Reads as: provider.py, gateway.py, carrier.py -> this.
"""

from collections.abc import Callable
from datetime import datetime

from attrs import field, mutable

from taskdock.core.errors import Foreign, Unreachable
from taskdock.ports.agent import Conversation
from taskdock.ports.sandbox import Observation, Phase, SandboxRef, SandboxSpec
from taskdock.testing.simulation.agents import AgentProcess
from taskdock.testing.simulation.code import Tree
from taskdock.testing.simulation.nature import Nature, Profile

_CALL_SECONDS = 20.0
"""Longer than a create takes from its Started to its call."""


@mutable(eq=False)
class Service:
    """One start of the agents' server in a box."""

    incarnation: str
    agents: dict[Conversation, AgentProcess] = field(factory=dict)

    def end(self) -> None:
        """Every process of it is gone."""
        for agent in self.agents.values():
            agent.die()


@mutable(eq=False)
class Box:
    """One sandbox."""

    spec: SandboxSpec
    made_at: datetime
    phase: Phase = Phase.RUNNING
    tree: Tree | None = None
    """The checkout; None before it is made."""
    service: Service | None = None
    overlapped: bool = False
    """Whether it began to run while two schedulers both worked: the other one may have stopped it before."""

    def halt(self, phase: Phase) -> None:
        """Nothing runs in it any more."""
        if self.service is not None:
            self.service.end()
        self.service, self.phase = None, phase

    @property
    def agents(self) -> list[AgentProcess]:
        """The agents' processes that run in it."""
        running = self.service.agents.values() if self.service is not None else ()
        return [agent for agent in running if agent.is_alive]


@mutable(eq=False)
class Boxes:
    """Every sandbox of every provider."""

    nature: Nature
    by_ref: dict[SandboxRef, Box] = field(factory=dict)
    making: dict[SandboxRef, SandboxSpec] = field(factory=dict)
    """Creates under way that everybody can see."""
    unseen: dict[SandboxRef, SandboxSpec] = field(factory=dict)
    """Creates that will land late. One that is overtaken by another of its name is refused when it comes, and so never lands."""
    jumped: dict[SandboxRef, None] = field(factory=dict)
    """Those of them under way when the wall clock was set forward: only the process that began them knows since when."""
    jumped_at: float = -_CALL_SECONDS
    """When that was last, in virtual seconds."""
    on_destroyed: Callable[[Box], None] = field(default=lambda _: None)
    """Called with a sandbox that somebody asks to end."""
    starts: int = 0
    late_seconds: float = 0.0
    """The next create lands so late, and nobody sees it before."""

    def of_task(self, task_id: str) -> list[Box]:
        """The boxes that carry a task's label."""
        return [box for box in self.by_ref.values() if box.spec.task_id == task_id]

    def seen(self, ref: SandboxRef) -> Observation:
        """The truth about one."""
        now, box = self.nature.now(), self.by_ref.get(ref)
        if box is not None:
            return Observation(ref, box.phase, now, labels=box.spec.labels, created_at=box.made_at)
        if ref in self.making:
            return Observation(ref, Phase.PENDING, now, labels=self.making[ref].labels)
        return Observation(ref, Phase.ABSENT, now)

    def ensure(self, spec: SandboxSpec, profile: Profile) -> Observation:
        """Begin to make it unless it is there."""
        self.refuse_foreign(spec.ref, spec.owner)
        if spec.ref in self.by_ref or spec.ref in self.making:
            return self.seen(spec.ref)
        late, self.late_seconds = min(self.late_seconds, profile.create_window_seconds), 0.0
        if late:
            self.nature.tell(f"the create of {spec.ref.name} will land in {late:g} s, unseen")
            self.unseen[spec.ref] = spec
            if self.nature.seconds - self.jumped_at < _CALL_SECONDS:
                self.jumped[spec.ref] = None
            self.nature.later(late, lambda: self._arrived(spec))
            return self.seen(spec.ref)
        self.unseen.pop(spec.ref, None)
        dice = self.nature.dice("create", spec.ref.name, self.nature.seconds)
        seconds = dice.uniform(0.0, profile.create_seconds_max)
        if seconds:
            self.making[spec.ref] = spec
            self.nature.later(seconds, lambda: self._made(spec))
        else:
            self._land(spec)
        return self.seen(spec.ref)

    def _arrived(self, spec: SandboxSpec) -> None:
        if self.unseen.get(spec.ref) is spec:
            del self.unseen[spec.ref]
            self._land(spec)

    def _made(self, spec: SandboxSpec) -> None:
        if self.making.get(spec.ref) is spec:
            del self.making[spec.ref]
            self._land(spec)

    def _land(self, spec: SandboxSpec) -> None:
        if spec.ref not in self.by_ref:
            self.making.pop(spec.ref, None)
            self.by_ref[spec.ref] = Box(spec, self.nature.now(), overlapped=self.nature.overlaps)
            self.nature.tell(f"{spec.ref.name} is there")
            self.nature.on_change()

    def jump(self) -> None:
        """The wall clock was set forward: it says of no create that is under way how long that has been so."""
        self.jumped |= dict.fromkeys(self.unseen)
        self.jumped_at = self.nature.seconds

    def drop_jumped(self) -> None:
        """Another process is there, and has nothing but the wall clock to go by: these creates never land."""
        for ref in self.jumped:
            self.unseen.pop(ref, None)
        self.jumped.clear()

    def start(self, ref: SandboxRef, owner: str) -> Observation:
        """A stopped one runs again."""
        self.refuse_foreign(ref, owner)
        box = self.by_ref.get(ref)
        if box is not None and box.phase is Phase.STOPPED:
            box.phase, box.overlapped = Phase.RUNNING, self.nature.overlaps
        return self.seen(ref)

    def stop(self, ref: SandboxRef, owner: str, profile: Profile) -> Observation:
        """Nothing runs in it any more."""
        self.refuse_foreign(ref, owner)
        box = self.by_ref.get(ref)
        if box is not None and box.phase is Phase.RUNNING:
            box.halt(Phase.STOPPED)
            if not profile.stop_keeps_files:
                box.tree = None
        return self.seen(ref)

    def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        """It is gone, and so is a create of it that can be seen."""
        self.refuse_foreign(ref, owner)
        self.making.pop(ref, None)
        if (box := self.by_ref.get(ref)) is not None:
            self.on_destroyed(box)
        self.remove(ref)
        return self.seen(ref)

    def remove(self, ref: SandboxRef) -> None:
        """Take it away with everything in it."""
        box = self.by_ref.pop(ref, None)
        if box is not None:
            box.halt(Phase.ABSENT)
            self.nature.tell(f"{ref.name} is gone")

    def refuse_foreign(self, ref: SandboxRef, owner: str) -> None:
        """Foreign when somebody else has this name."""
        box = self.by_ref.get(ref)
        if box is not None and box.spec.owner != owner:
            raise Foreign(f"{ref.name} belongs to {box.spec.owner}")

    def running(self, ref: SandboxRef) -> Box:
        """The box; Unreachable when it does not run."""
        box = self.by_ref.get(ref)
        if box is None or box.phase is not Phase.RUNNING:
            raise Unreachable(f"{ref.name} does not run")
        return box

    def serve(self, ref: SandboxRef) -> Service:
        """The server of a running box, started if it does not run."""
        box = self.running(ref)
        if box.service is None:
            self.starts += 1
            box.service = Service(f"start-{self.starts}")
        return box.service

    def service(self, ref: SandboxRef, name: str) -> Service:
        """The server of a running box; Unreachable when none runs."""
        service = self.running(ref).service
        if service is None:
            raise Unreachable(f"{name} does not run in {ref.name}")
        return service
