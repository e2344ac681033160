"""Batches: an agent's events, read ahead into a bounded buffer, so that a fast agent costs few commits.

Owns: `batches`, which reads while the batch before is worked on.
Never: an unbounded buffer; an error of the stream lost or wrapped.
Reads as: links.py -> `batches(stream)` -> AgentStream.receive.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.lowlevel import checkpoint
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import field, mutable

from taskdock.core.errors import PortError
from taskdock.ports.agent import AgentEvent, AgentStream

BATCH_MAX = 200
_TURNS_OF_THE_READER = 3


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
            while len(batch) < BATCH_MAX and await self._take_one_more(batch):
                continue
        except anyio.EndOfStream:
            pass
        if not batch and self._broken:
            raise self._broken[0]
        return batch

    async def _take_one_more(self, batch: list[AgentEvent]) -> bool:
        """Take an event that is there, or comes while the reader has its turn; so a replay is taken in large pieces."""
        for _ in range(_TURNS_OF_THE_READER):
            try:
                batch.append(self._events.receive_nowait())
            except anyio.WouldBlock:
                await checkpoint()
            else:
                return True
        return False

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
