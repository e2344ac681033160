"""Gateway: the agents, as one simulated process reaches them.

Owns: `SimulatedGateway`, `SimulatedStream`.
Never: an agent's behaviour, which is in agents.py; a second delivery of one message to one process.
Reads as: executors, links -> this -> Calls -> boxes.py (which server), agents.py.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
from attrs import field, mutable

from taskdock.core.errors import Permanent, Transient, Unreachable
from taskdock.core.intents import SessionSettings
from taskdock.ports.agent import AgentEvent, AgentStream, Conversation, Delivery, Received, SessionOpened
from taskdock.ports.sandbox import Endpoint, SandboxRef, ServiceSpec
from taskdock.testing.simulation.agents import OPTIONS, RING_MAX, AgentProcess
from taskdock.testing.simulation.boxes import Box, Boxes, Service
from taskdock.testing.simulation.calls import Calls

MODELS = ("small", "large")
_REFUSES = 0.2
"""How many sessions cannot be loaded again."""


@mutable(eq=False)
class SimulatedStream:
    """The events of one agent process, from the start of its ring."""

    agent_process: str
    agent: AgentProcess
    calls: Calls
    replayed: list[AgentEvent]
    next: int
    """The index of the first event after the replay."""
    breaks: int

    async def receive(self) -> AgentEvent | None:
        """The next event; Transient when the connection breaks, None when the process was closed."""
        while True:
            if not self.calls.is_alive:
                await anyio.lowlevel.checkpoint()
            if self.breaks != self.agent.breaks:
                raise Transient("the connection to the agent broke")
            if self.replayed:
                return self.replayed.pop(0)
            if self.next < len(self.agent.events):
                self.next += 1
                return self.agent.events[self.next - 1]
            if not self.agent.is_alive:
                if self.agent.has_exited:
                    return None
                raise Transient("the agent's server is gone")
            await self.agent.changed.wait()


@mutable(eq=False)
class SimulatedGateway:
    """Implements `AgentGateway`."""

    boxes: Boxes
    calls: Calls
    starts: list[int] = field(factory=list)

    async def service(self, agent: str, progress: Callable[[str], Awaitable[None]]) -> ServiceSpec:
        """What to run."""
        await progress(f"fetching {agent}")
        spec = ServiceSpec("sandbox-agent", "1", ("agent",), {}, (), "/health")
        return await self.calls.make("gateway.service", lambda: spec)

    async def open_session(self, endpoint: Endpoint, conversation: Conversation, cwd: str) -> SessionOpened:
        """Begin a session, or find it."""
        del cwd
        return await self.calls.make("gateway.open_session", lambda: self._open(endpoint, conversation, None))

    async def resume_session(
        self, endpoint: Endpoint, conversation: Conversation, cwd: str, session_id: str
    ) -> SessionOpened:
        """Go on with a session in a new process; some agents refuse."""
        del cwd

        def resume() -> SessionOpened:
            if self.boxes.nature.dice("resume", session_id).random() < _REFUSES:
                raise Permanent("the agent cannot load this session")
            return self._open(endpoint, conversation, session_id)

        return await self.calls.make("gateway.resume_session", resume)

    async def settle(
        self, endpoint: Endpoint, conversation: Conversation, session_id: str, settings: SessionSettings
    ) -> None:
        """Take a model; Permanent for one that there is not."""
        del session_id

        def settle() -> None:
            self._agent(endpoint, conversation)
            if settings.model not in (None, *MODELS):
                raise Permanent(f"There is no model {settings.model!r}, there is {', '.join(MODELS)}.")

        await self.calls.make("gateway.settle", settle)

    @asynccontextmanager
    async def attach(self, endpoint: Endpoint, conversation: Conversation) -> AsyncIterator[AgentStream]:
        """Follow."""
        agent = await self.calls.make("gateway.attach", lambda: self._known(endpoint, conversation))
        yield SimulatedStream(agent.id, agent, self.calls, agent.replay(), len(agent.events), agent.breaks)

    async def prompt(
        self, endpoint: Endpoint, conversation: Conversation, session_id: str, request_id: str, text: str
    ) -> None:
        """Give the agent a message."""
        del session_id, text
        await self.calls.make(
            "gateway.prompt", lambda: self._agent(endpoint, conversation).prompt(request_id)
        )

    async def delivery(
        self, endpoint: Endpoint, conversation: Conversation, request_id: str, agent_process: str
    ) -> Delivery:
        """Whether the agent has a message, as far as its server can prove it."""

        def found() -> Delivery:
            agent = self._service(endpoint).agents.get(conversation)
            if agent is None or agent.id != agent_process:
                return Delivery.UNKNOWN
            ring = agent.events[-RING_MAX:]
            if any(isinstance(event, Received) and event.request_id == request_id for event in ring):
                return Delivery.SEEN
            return (
                Delivery.UNKNOWN if len(agent.events) > RING_MAX or not agent.is_alive else Delivery.NOT_SEEN
            )

        return await self.calls.make("gateway.delivery", found)

    async def cancel(self, endpoint: Endpoint, conversation: Conversation, session_id: str) -> None:
        """Ask the agent to end its turn."""
        del session_id
        await self.calls.make("gateway.cancel", lambda: self._agent(endpoint, conversation).cancel())

    async def answer_permission(
        self, endpoint: Endpoint, conversation: Conversation, permission_id: str, option_id: str | None
    ) -> None:
        """Answer what it asked."""

        def answer() -> None:
            if option_id not in (None, *(option.id for option in OPTIONS)):
                raise Permanent(f"{option_id!r} was not offered")
            self._known(endpoint, conversation).answer(permission_id, option_id)

        await self.calls.make("gateway.answer_permission", answer)

    async def close(self, endpoint: Endpoint, conversation: Conversation) -> None:
        """End the process of a conversation."""

        def close() -> None:
            agent = self._service(endpoint).agents.get(conversation)
            if agent is not None:
                agent.die()

        await self.calls.make("gateway.close", close)

    def _open(self, endpoint: Endpoint, conversation: Conversation, session_id: str | None) -> SessionOpened:
        service, box = self._service(endpoint), self._box(endpoint)
        agent = service.agents.get(conversation)
        if agent is None or not agent.is_alive:
            nature = self.boxes.nature
            agent = AgentProcess(
                nature=nature,
                id=nature.new_id(f"{service.incarnation}/agent"),
                conversation=conversation,
                task_id=box.spec.task_id,
                session_id=session_id or nature.new_id("session"),
                tree=lambda: box.tree,
            )
            service.agents[conversation] = agent
            nature.on_change()
        return SessionOpened(agent.session_id, agent.id)

    def _agent(self, endpoint: Endpoint, conversation: Conversation) -> AgentProcess:
        """The running process of a conversation."""
        agent = self._known(endpoint, conversation)
        if not agent.is_alive:
            raise Unreachable("the agent's process is gone")
        return agent

    def _known(self, endpoint: Endpoint, conversation: Conversation) -> AgentProcess:
        agent = self._service(endpoint).agents.get(conversation)
        if agent is None:
            raise Unreachable("the server has no such conversation")
        return agent

    def _box(self, endpoint: Endpoint) -> Box:
        provider, _, name = endpoint.url.removeprefix("sim://").partition("/")
        return self.boxes.running(SandboxRef(provider, name))

    def _service(self, endpoint: Endpoint) -> Service:
        """The server that an endpoint stands for; a later start of it is another one."""
        service = self._box(endpoint).service
        if service is None or service.incarnation != endpoint.incarnation:
            raise Unreachable("the server is gone")
        return service
