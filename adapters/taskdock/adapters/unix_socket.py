"""Unix socket: waits on one that may be given up at any moment, and HTTP over one.

Owns: `receive`, `send`, `accept`, `UnixTransport`.
Never: a wait of anyio's own sockets (below); what is said on a socket.
Reads as: seat/, sandbox/local/health.py, agent/sandbox_agent.py -> this -> anyio.

On asyncio, anyio (4.16.0 still) has the selector resolve the future of a unix socket's wait with a bare `set_result`. When
the wait is cancelled in the turn of the loop in which the socket becomes ready, that raises InvalidStateError out of a
callback: to the exception handler of the loop, which logs it or, in anyio's own test runner, fails the test. TCP and
`wait_readable` are not hit. So here the waiting is done by the latter two, and a socket is used once it is ready.
"""

import select
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpcore
import httpx
from anyio.abc import SocketAttribute, SocketListener, SocketStream

# ruff: noqa: ARG002, ASYNC109 - httpcore gives each call its timeout, and more than a unix socket needs
_PIECE_BYTES = 16384
"""Less than is free in the buffer of a unix socket that is ready to be written to."""
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=5.0)
# What crosses a unix socket is plain. Made once because httpx would read all certificates of the system otherwise.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def receive(stream: SocketStream, bytes_max: int) -> bytes:
    """Receive what is there, as `stream.receive` does."""
    await anyio.wait_readable(_raw(stream))
    return await stream.receive(bytes_max)


async def send(stream: SocketStream, data: bytes) -> None:
    """Send all of it, as `stream.send` does."""
    for begin in range(0, len(data), _PIECE_BYTES):
        await anyio.wait_writable(_raw(stream))
        await stream.send(data[begin : begin + _PIECE_BYTES])


async def accept(listener: SocketListener) -> SocketStream:
    """Accept a connection, as `listener.accept` does."""
    await anyio.wait_readable(_raw(listener))
    stream = await listener.accept()
    assert isinstance(stream, SocketStream)
    return stream


class UnixTransport(httpx.AsyncHTTPTransport):
    """HTTP over one unix socket, for `httpx.AsyncClient(transport=...)`; whatever is in the url, it is asked there."""

    def __init__(self, path: Path, limits: httpx.Limits = _LIMITS) -> None:
        super().__init__(verify=_NO_TLS, trust_env=False, limits=limits)
        # httpx makes the pool and lets nobody say how it connects.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_NO_TLS,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            uds=str(path),
            network_backend=_Backend(),
        )


class _Backend(httpcore.AsyncNetworkBackend):
    """How the pool of a transport connects."""

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[object] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the socket at this path."""
        try:
            with anyio.fail_after(timeout):
                return _Wire(await anyio.connect_unix(path))
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error

    async def sleep(self, seconds: float) -> None:
        """Wait between two tries."""
        await anyio.sleep(seconds)


class _Wire(httpcore.AsyncNetworkStream):
    """One connection, as httpcore reads and writes it."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what is there; nothing at the end."""
        with _told(httpcore.ReadTimeout, httpcore.ReadError), anyio.fail_after(timeout):
            try:
                return await receive(self._stream, max_bytes)
            except anyio.EndOfStream:
                return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of it."""
        with _told(httpcore.WriteTimeout, httpcore.WriteError), anyio.fail_after(timeout):
            await send(self._stream, buffer)

    async def aclose(self) -> None:
        """Close it; who waits for it is told."""
        raw = self._stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - anyio's, not Django's
        if raw.fileno() >= 0:
            anyio.notify_closing(raw)
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> object:
        """Tell the one thing that the pool asks for: whether there is something, or the end, to be read."""
        if info != "is_readable":
            return None
        raw = self._stream.extra(SocketAttribute.raw_socket)  # noqa: S610
        poll = select.poll()
        poll.register(raw, select.POLLIN)
        return bool(poll.poll(0))


@contextmanager
def _told(late: type[Exception], failed: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
        raise failed(str(error)) from error


def _raw(at: SocketStream | SocketListener) -> int:
    """The descriptor to wait for. Raises: `ClosedResourceError` when it is closed."""
    descriptor: int = at.extra(SocketAttribute.raw_socket).fileno()  # noqa: S610
    if descriptor < 0:
        raise anyio.ClosedResourceError
    return descriptor
