"""Unix seat: a file lock and a unix stream socket in the home of the installation.

Owns: `UnixSeat`, for one process and one home.
Never: blocking in `poke` or `publish`, which are called wherever something was committed.
Reads as: services/scheduler.py, services/feed.py -> this -> lock, address, holder.

A stream and not datagrams: a datagram to a stopped holder blocks after a few, and tells nobody that the holder died. Only
the holder of the lock ever replaces the socket's file.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import SocketStream

from taskdock.adapters.seat import address
from taskdock.adapters.seat.holder import Holder
from taskdock.adapters.seat.lock import SeatLock
from taskdock.adapters.seat.peers import FOLLOW, chunks, is_ours, line, newest
from taskdock.adapters.unix_socket import send
from taskdock.core.errors import InvariantViolated, Unreachable

_CONNECT_TIMEOUT_SECONDS = 5.0


class UnixSeat:
    """Implements `taskdock.ports.seat.Seat`; not for use by several threads."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = SeatLock(home / "scheduler.lock")
        self._position = 0
        self._holder: Holder | None = None
        self._serving: anyio.CancelScope | None = None
        self._served = anyio.Event()
        self._wire: socket.socket | None = None

    async def take(self) -> bool:
        """Try to become the holder, now. Permanent when the home does not take a lock file."""
        return self._lock.take()

    async def serve(self, on_poke: Callable[[int], None]) -> None:
        """Take pokes and followers until cancelled, or until `leave`. `on_poke` must neither block nor raise."""
        if not self._lock.is_held or self._serving is not None:
            raise InvariantViolated("only the holder serves, and only once at a time")
        self._served = anyio.Event()
        try:
            with anyio.CancelScope() as self._serving:
                path = await anyio.to_thread.run_sync(address.settle, self._home)
                self._holder = Holder(path, on_poke, self._position)
                await self._holder.serve()
        finally:
            self._holder = self._serving = None
            self._served.set()

    def publish(self, position: int) -> None:
        """Have followers told; before `serve` it is what they are told first."""
        self._position = max(self._position, position)
        if self._holder is not None:
            self._holder.publish(position)

    def poke(self, position: int) -> None:
        """Tell the holder, in this process or another; dropped when nobody is there or the holder has enough to read."""
        if self._holder is not None:
            self._holder.poke(position)
            return
        # The kept connection may be to a holder that died: then there may be another one by now.
        if self._wire is None or not self._send(position):
            self._connect()
            if self._wire is not None:
                self._send(position)

    async def follow(self, on_position: Callable[[int], None]) -> None:
        """Be told positions until the holder is gone; of several that wait only the last. Raises Unreachable."""
        async with await self._call() as stream:
            with suppress(anyio.BrokenResourceError):
                await send(stream, FOLLOW + b"\n")
            async for lines in chunks(stream):
                position = newest(lines)
                if position is not None:
                    on_position(position)

    async def leave(self) -> None:
        """Give the seat up: followers see the end, the next process can take it. Idempotent."""
        self._hang_up()
        if self._serving is not None:
            self._serving.cancel()
            with anyio.CancelScope(shield=True):
                await self._served.wait()
        self._lock.release()

    async def _call(self) -> SocketStream:
        path = address.find(self._home)
        if path is None:
            raise Unreachable("no process has ever scheduled here")
        try:
            with anyio.fail_after(_CONNECT_TIMEOUT_SECONDS):
                stream = await anyio.connect_unix(path)
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"no scheduler answers at {path}") from error
        if not is_ours(stream):
            await stream.aclose()
            raise Unreachable(f"the scheduler at {path} is another user's")
        return stream

    def _connect(self) -> None:
        path = address.find(self._home)
        if path is None:
            return
        wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        wire.settimeout(0)
        try:
            wire.connect(str(path))
        except OSError:
            wire.close()
            return
        self._wire = wire

    def _send(self, position: int) -> bool:
        """Send one line; False, and no connection any more, when the peer is gone."""
        wanted = line(position)
        try:
            if self._wire is not None and self._wire.send(wanted) == len(wanted):
                return True
        except BlockingIOError:
            return True
        except OSError:
            pass
        self._hang_up()
        return False

    def _hang_up(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None
