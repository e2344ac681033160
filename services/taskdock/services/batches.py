"""Batches: an agent's events, read ahead into a bounded buffer, so that a fast agent costs few commits.

Owns: `batches`, which reads while the batch before is worked on.
Never: an unbounded buffer; an error of the stream lost or wrapped.
Reads as: links.py -> `batches(stream)` -> AgentStream.receive.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import field, mutable

from taskdock.core.errors import PortError
from taskdock.ports.agent import AgentEvent, AgentStream

BATCH_MAX = 200


@mutable(eq=False)
class Batches:
    """What has been read and not been taken yet."""

    _events: MemoryObjectReceiveStream[AgentEvent]
    _broken: list[PortError] = field(factory=list)

    async def next(self) -> list[AgentEvent]:
        """What has come, at least one event; empty at the stream's end. Raises how the stream broke, after its last event."""
        batch: list[AgentEvent] = []
        try:
            batch.append(await self._events.receive())
            while len(batch) < BATCH_MAX:
                batch.append(self._events.receive_nowait())
        except (anyio.EndOfStream, anyio.WouldBlock):
            pass
        if not batch and self._broken:
            raise self._broken[0]
        return batch

    async def pump(self, stream: AgentStream, send: MemoryObjectSendStream[AgentEvent]) -> None:
        """Read until the stream ends; how it broke is kept, since a task group would wrap it."""
        async with send:
            try:
                while (event := await stream.receive()) is not None:
                    await send.send(event)
            except PortError as error:
                self._broken.append(error)


@asynccontextmanager
async def batches(stream: AgentStream) -> AsyncIterator[Batches]:
    """Read the stream ahead, as long as this is open."""
    send, receive = anyio.create_memory_object_stream[AgentEvent](BATCH_MAX)
    found = Batches(receive)
    async with receive, anyio.create_task_group() as group:
        group.start_soon(found.pump, stream, send)
        yield found
        group.cancel_scope.cancel()
