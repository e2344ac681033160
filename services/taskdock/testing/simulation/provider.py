"""Provider: sandbox providers and the way into their sandboxes, as one simulated process reaches them.

Owns: `SimulatedProvider`, `SimulatedAccess`, and the lies that a provider may tell when it is asked.
Never: a command run; what happens in a checkout goes by carrier.py.
Reads as: Sites -> this -> Calls -> boxes.py.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import NoReturn

from attrs import evolve, field, mutable

from taskdock.ports.sandbox import (
    Capabilities,
    Endpoint,
    Exec,
    ExecResult,
    Observation,
    Phase,
    ProgramFile,
    SandboxRef,
    SandboxSpec,
    ServiceSpec,
)
from taskdock.testing.simulation.boxes import Boxes, Service
from taskdock.testing.simulation.calls import Calls
from taskdock.testing.simulation.nature import Profile

CHECKOUT = "/home/agent/checkout"


@mutable(eq=False)
class Lies:
    """What the next looks say instead of the truth."""

    phases: list[Phase] = field(factory=list)
    absences: Counter[str] = field(factory=Counter)
    """How often a sandbox that is there was said to be absent."""

    def of(self, seen: Observation) -> Observation:
        """A lie, if one is planned; nobody lies about a sandbox that is not there."""
        if self.phases and seen.phase is not Phase.ABSENT:
            phase = self.phases.pop()
            self.absences[seen.ref.name] += phase is Phase.ABSENT
            return evolve(seen, phase=phase, reason="says the simulation")
        return seen


@mutable(eq=False)
class SimulatedProvider:
    """Implements `SandboxProvider` over the boxes of one profile."""

    profile: Profile
    boxes: Boxes
    calls: Calls
    lies: Lies
    id: str = field(init=False)
    capabilities: Capabilities = field(init=False)

    def __attrs_post_init__(self) -> None:
        profile = self.profile
        self.id = profile.id
        self.capabilities = Capabilities(
            None, "simulated", profile.create_window_seconds, profile.stop_keeps_files
        )

    async def ensure(self, spec: SandboxSpec) -> Observation:
        """Begin to make it, or find it."""
        return await self.calls.make("provider.ensure", lambda: self.boxes.ensure(spec, self.profile))

    async def start(self, ref: SandboxRef, owner: str) -> Observation:
        """Let a stopped one run."""
        return await self.calls.make("provider.start", lambda: self.boxes.start(ref, owner))

    async def stop(self, ref: SandboxRef, owner: str) -> Observation:
        """End what runs in it."""
        return await self.calls.make("provider.stop", lambda: self.boxes.stop(ref, owner, self.profile))

    async def observe(self, ref: SandboxRef) -> Observation:
        """Look."""
        return self.lies.of(await self.calls.make("provider.observe", lambda: self.boxes.seen(ref)))

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        """Take it away."""
        return await self.calls.make("provider.destroy", lambda: self.boxes.destroy(ref, owner))

    async def list_owned(self, owner: str) -> AsyncIterator[Observation]:
        """What there is of this owner."""
        mine = [
            ref
            for ref, box in self.boxes.by_ref.items()
            if ref.provider == self.id and box.spec.owner == owner
        ]
        for ref in await self.calls.make("provider.list_owned", lambda: mine):
            yield self.boxes.seen(ref)

    async def aclose(self) -> None:
        """Nothing is held."""


@mutable(eq=False)
class SimulatedAccess:
    """Implements `SandboxAccess` as far as the services use it: the agents' server. There are no files."""

    boxes: Boxes
    calls: Calls

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        """Start the server, or find it."""
        del service
        return await self.calls.make("access.ensure_service", lambda: _endpoint(ref, self.boxes.serve(ref)))

    async def endpoint(self, ref: SandboxRef, service: str) -> Endpoint:
        """Where the server answers."""
        return await self.calls.make(
            "access.endpoint", lambda: _endpoint(ref, self.boxes.service(ref, service))
        )

    async def stop_service(self, ref: SandboxRef, service: str) -> None:
        """End it with every agent."""
        del service

        def stop() -> None:
            box = self.boxes.running(ref)
            if box.service is not None:
                box.service.end()
                box.service = None

        await self.calls.make("access.stop_service", stop)

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        """Nothing runs commands here."""
        _no_files(ref, command)

    async def put_files(self, ref: SandboxRef, files: Sequence[ProgramFile]) -> None:
        """Nothing takes files here."""
        _no_files(ref, files)

    async def get_file(self, ref: SandboxRef, path: str) -> bytes:
        """Nothing has files here."""
        _no_files(ref, path)


def _endpoint(ref: SandboxRef, service: Service) -> Endpoint:
    return Endpoint(f"sim://{ref.provider}/{ref.name}", {}, service.incarnation, CHECKOUT)


def _no_files(ref: SandboxRef, what: object) -> NoReturn:
    raise NotImplementedError(
        f"{ref.name}: simulated sandboxes have no files and no commands, only a carrier: {what!r}"
    )
