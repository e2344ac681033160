"""Holder: what the scheduler's process does at the socket: takes pokes, tells followers.

Owns: the listener, its connections, and the position that followers are told.
Never: waiting for a slow follower; a position that it has not taken yet is replaced by a newer one.
Reads as: unix.py (serve, publish) -> this -> anyio's unix listener.
"""

from collections.abc import Callable
from pathlib import Path

import anyio
from anyio.abc import SocketListener, SocketStream, TaskGroup

from taskdock.adapters.seat.peers import FOLLOW, chunks, is_ours, line, newest
from taskdock.adapters.unix_socket import accept, send

CONNECTIONS_MAX = 256
_BACKLOG = 128
_PAUSE_SECONDS = 0.5


class Holder:
    """One listening socket at `path`, from `serve` until it is cancelled."""

    def __init__(self, path: Path, on_poke: Callable[[int], None], position: int) -> None:
        self._path = path
        self._on_poke = on_poke
        self._position = position
        self._published = anyio.Event()
        self._connections = 0

    def publish(self, position: int) -> None:
        """Have every follower told that position, or a newer one if it is slow."""
        if position > self._position:
            self._position = position
            self._published.set()
            self._published = anyio.Event()

    def poke(self, position: int) -> None:
        """Take a poke that was made in this process."""
        self._on_poke(position)

    async def serve(self) -> None:
        """Listen until cancelled. The caller holds the seat's lock, so a socket file that is there is a dead holder's."""
        listener = await anyio.create_unix_listener(self._path, mode=0o600, backlog=_BACKLOG)
        try:
            async with listener, anyio.create_task_group() as group:
                while True:
                    await self._welcome(listener, group)
        finally:
            self._path.unlink(missing_ok=True)

    async def _welcome(self, listener: SocketListener, group: TaskGroup) -> None:
        try:
            stream = await accept(listener)
        except anyio.BrokenResourceError:
            # No descriptor is left to accept with; others of this process have to close some first.
            await anyio.sleep(_PAUSE_SECONDS)
            return
        if self._connections >= CONNECTIONS_MAX or not is_ours(stream):
            await stream.aclose()
            return
        self._connections += 1
        group.start_soon(self._attend, stream)

    async def _attend(self, stream: SocketStream) -> None:
        try:
            async with stream, anyio.create_task_group() as group:
                follows = False
                async for lines in chunks(stream):
                    if FOLLOW in lines and not follows:
                        follows = True
                        group.start_soon(self._tell, stream)
                    position = newest(lines)
                    if position is not None:
                        self._on_poke(position)
                group.cancel_scope.cancel()
        finally:
            self._connections -= 1

    async def _tell(self, stream: SocketStream) -> None:
        told = 0
        while True:
            published = self._published
            if self._position > told:
                told = self._position
                try:
                    await send(stream, line(told))
                except anyio.BrokenResourceError:
                    return
            else:
                await published.wait()
