"""Waits on unix sockets can be given up in the very moment in which they are over; HTTP over one is HTTP."""

import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import anyio
import httpx
import pytest
from anyio.abc import SocketAttribute, SocketListener, SocketStream
from anyio.lowlevel import checkpoint

from taskdock.adapters.unix_socket import UnixTransport, accept, receive, send

pytestmark = pytest.mark.anyio

T = TypeVar("T")
LARGE = b"0123456789abcdef" * (1 << 17)
"""Two MiB: ten times what a socket holds."""


@pytest.fixture
def path() -> Iterator[Path]:
    """Where a socket can be: the path of one has to be short."""
    with tempfile.TemporaryDirectory(prefix="td") as folder:
        yield Path(folder, "socket")


@pytest.fixture
def listening(path: Path) -> Iterator[socket.socket]:
    """Listen at the path, by plain means."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield listener


@pytest.fixture
async def wire(path: Path, listening: socket.socket) -> AsyncIterator[tuple[SocketStream, socket.socket]]:
    """Connect: our end, and the other one."""
    async with await anyio.connect_unix(path) as stream:
        with listening.accept()[0] as other:
            yield stream, other


async def given_up(
    wait: Callable[[], Awaitable[T]],
    ready: Callable[[], object],
    begun: Callable[[], Awaitable[None]] = anyio.wait_all_tasks_blocked,
) -> list[T]:
    """Begin to wait, and give it up in the turn of the loop in which the socket is found to be ready.

    What the wait brought, if it came first, which trio leaves to chance. A callback of asyncio's loop that raises fails
    the test: anyio's test runner sees to that.
    """
    brought: list[T] = []

    async def waiting() -> None:
        brought.append(await wait())

    async with anyio.create_task_group() as group:
        group.start_soon(waiting)
        await begun()
        ready()
        await checkpoint()
        group.cancel_scope.cancel()
    await anyio.wait_all_tasks_blocked()
    return brought


async def test_receiving_can_be_given_up(wire: tuple[SocketStream, socket.socket]) -> None:
    """Who stops listening when something comes gets it when it listens again."""
    stream, other = wire
    brought = await given_up(lambda: receive(stream, 10), lambda: other.send(b"x"))
    assert (brought or [await receive(stream, 10)]) == [b"x"]
    other.close()
    with pytest.raises(anyio.EndOfStream):
        await receive(stream, 10)


async def test_sending_can_be_given_up(wire: tuple[SocketStream, socket.socket]) -> None:
    """Who stops sending when there is room again does so quietly."""
    stream, other = wire
    raw = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - anyio's, not Django's
    with suppress(BlockingIOError):
        while True:
            raw.send(LARGE)
    await given_up(lambda: send(stream, b"x"), lambda: other.recv(len(LARGE)))


async def test_accepting_can_be_given_up(path: Path) -> None:
    """Who stops accepting when somebody comes finds him when it accepts again."""
    async with await anyio.create_unix_listener(path) as listener:
        with socket.socket(socket.AF_UNIX) as caller:
            brought = await given_up(lambda: accept(listener), lambda: caller.connect(str(path)))
            async with brought[0] if brought else await accept(listener) as stream:
                caller.send(b"x")
                assert await receive(stream, 10) == b"x"


async def test_what_is_closed_is_told(wire: tuple[SocketStream, socket.socket]) -> None:
    """A wait on a closed socket is a closed resource, not one for ever."""
    stream, _ = wire
    await stream.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await receive(stream, 10)
    with pytest.raises(anyio.ClosedResourceError):
        await send(stream, b"x")


async def answer(listening: socket.socket, count: int) -> None:
    """Take connections, read one request to its end on each, and give its body back."""
    async with (
        await SocketListener.from_socket(listening) as listener,
        anyio.create_task_group() as group,
    ):
        for _ in range(count):
            group.start_soon(echo, await accept(listener))


async def echo(stream: SocketStream) -> None:
    """Give back the bodies of requests that say how long they are, until the other end goes."""
    heard = b""
    async with stream:
        while True:
            try:
                while b"\r\n\r\n" not in heard:
                    heard += await receive(stream, 65536)
                head, _, heard = heard.partition(b"\r\n\r\n")
                length = int(dict(one.split(b": ") for one in head.split(b"\r\n")[1:])[b"Content-Length"])
                while len(heard) < length:
                    heard += await receive(stream, 65536)
            except anyio.EndOfStream:
                return
            await send(stream, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + heard[:length])
            heard = heard[length:]


async def test_http_goes_both_ways(path: Path, listening: socket.socket) -> None:
    """Large bodies arrive whole in both directions, also over a connection that was used before."""
    async with anyio.create_task_group() as group, httpx.AsyncClient(transport=UnixTransport(path)) as client:
        group.start_soon(answer, listening, 1)
        for body in (LARGE, b"small", LARGE):
            assert (await client.post("http://sandbox/", content=body)).content == body
        group.cancel_scope.cancel()


async def test_http_errors_are_those_of_httpx(path: Path, listening: socket.socket) -> None:
    """A silent server is a timeout, one that goes away and one that is not there are errors, each by its class."""
    async with httpx.AsyncClient(transport=UnixTransport(path), timeout=0.05) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("http://sandbox/")
        with pytest.raises(httpx.WriteTimeout):
            await client.get("http://sandbox/", headers={"large": LARGE.decode()})
        listening.accept()[0].close()
        listening.accept()[0].close()
        listening.close()
        with pytest.raises(httpx.ConnectError):
            await client.get("http://sandbox/")


async def test_http_is_given_up_quietly(path: Path, listening: socket.socket) -> None:
    """A request that is cancelled when its answer comes raises nothing out of the loop, and the client goes on."""
    taken: list[socket.socket] = []

    async def asked() -> None:
        await anyio.wait_readable(listening)
        taken.append(listening.accept()[0])
        await anyio.wait_readable(taken[0])
        await anyio.wait_all_tasks_blocked()

    def reply() -> None:
        taken[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with httpx.AsyncClient(transport=UnixTransport(path)) as client:
        await given_up(lambda: client.get("http://sandbox/"), reply, asked)
        taken[0].close()
        async with anyio.create_task_group() as group:
            group.start_soon(answer, listening, 1)
            assert (await client.post("http://sandbox/", content=b"again")).content == b"again"
            group.cancel_scope.cancel()


async def test_closing_the_client_ends_its_requests(path: Path, listening: socket.socket) -> None:
    """Who waits for an answer is told when the client is closed under it."""
    client = httpx.AsyncClient(transport=UnixTransport(path))

    async def ask() -> None:
        with pytest.raises(httpx.HTTPError):
            await client.get("http://sandbox/")

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            await client.aclose()
    assert listening.fileno() >= 0
