"""Stream: the ring of events that sandbox-agent keeps for one conversation, read from its start.

Owns: the reading of server-sent events, the finding of gaps, and the name of the agent process they come from.
Never: `Last-Event-ID`, which is void and hides events as soon as the agent process is a new one; a reconnect.
Reads as: sandbox_agent.py -> this -> server.py.
"""

import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import httpx
from attrs import define, field, frozen
from httpx_sse import EventSource, ServerSentEvent

from taskdock.adapters.agent.acp import Reader
from taskdock.adapters.agent.server import AgentServer, answered
from taskdock.core.errors import Transient, Unreachable
from taskdock.ports.agent import AgentEvent, Gap

_OPEN_ATTEMPTS_MAX = 3


@frozen
class Entry:
    """One message of the ring; `lost_after` is the id before a gap that ends right before it, None without a gap."""

    event_id: int
    message: Mapping[str, Any]
    lost_after: int | None


@define(eq=False)
class Ring:
    """An open stream. `agent_process` is `<incarnation of the server>/<when it made the process, in ms>`."""

    agent_process: str
    _events: AsyncIterator[ServerSentEvent]
    _last_id: int = 0
    _is_broken: bool = False

    async def read(self) -> Entry | None:
        """Wait for the next message; None when the server closed the stream.

        `Transient` when the connection broke or was silent for 60 seconds. A cancelled read breaks it too: what was
        under way cannot be taken back, so open the ring again.
        """
        if self._is_broken:
            raise Transient("The stream of the agent was cut off")
        self._is_broken = True
        with answered(Transient):
            event = await anext(self._events, None)
            while event is not None and not event.data:
                # A heartbeat: the decoder makes an empty event of a comment.
                event = await anext(self._events, None)
        self._is_broken = False
        if event is None:
            return None
        event_id, before = int(event.id), self._last_id
        self._last_id = event_id
        return Entry(event_id, json.loads(event.data), before if event_id > before + 1 else None)


@asynccontextmanager
async def open_ring(server: AgentServer, server_id: str) -> AsyncIterator[Ring]:
    """Open the ring of a conversation; `Unreachable` when there is no such conversation."""
    created_at_ms = await server.created_at_ms(server_id)
    for _ in range(_OPEN_ATTEMPTS_MAX):
        async with server.follow(server_id) as response:
            # The process may have been replaced between the two calls; its name and its events must belong together.
            before, created_at_ms = created_at_ms, await server.created_at_ms(server_id)
            if created_at_ms is None or created_at_ms != before:
                continue
            events = EventSource(response).aiter_sse()
            try:
                yield Ring(server.process_name(created_at_ms), events)
            finally:
                await _exhaust(response, events)
            return
    raise Unreachable("The conversation is being replaced in this sandbox")


async def _exhaust(response: httpx.Response, events: AsyncIterator[ServerSentEvent]) -> None:
    """Close the connection, then read to its end: httpx nests generators, and an unfinished one outlives its loop."""
    with anyio.CancelScope(shield=True), suppress(httpx.TransportError, httpx.StreamError):
        await response.aclose()
        async for _ in events:
            pass


@define(eq=False)
class ConversationStream:
    """The events of one conversation (`AgentStream`)."""

    agent_process: str
    _ring: Ring
    _reader: Reader
    _read: deque[AgentEvent] = field(factory=deque)

    async def receive(self) -> AgentEvent | None:
        """Wait for the next event. A `Gap` carries the id of the last message that was lost, so ids stay unique."""
        while not self._read:
            entry = await self._ring.read()
            if entry is None:
                return None
            if entry.lost_after is not None:
                self._read.append(Gap(entry.event_id - 1, entry.lost_after))
            self._read.extend(self._reader.events(entry.event_id, entry.message))
        return self._read.popleft()
