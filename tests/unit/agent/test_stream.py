"""The ring of events as it comes over the wire, byte by byte, and what the HTTP answers of strangers become."""

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import httpx
import pytest
from anyio.abc import SocketAttribute, SocketStream

from taskdock.adapters.agent.acp import Reader
from taskdock.adapters.agent.server import AgentGone, AgentServer
from taskdock.adapters.agent.stream import ConversationStream, Ring, open_ring
from taskdock.core.errors import Foreign, OutcomeUnknown, Permanent, PortError, Transient, Unreachable
from taskdock.ports.agent import Gap, ItemKind, Update
from taskdock.ports.sandbox import Endpoint

pytestmark = pytest.mark.anyio

ENDPOINT = Endpoint("http://sandbox.test/agent", {"Authorization": "Bearer T"}, "start-1", "/checkout")
LISTED = {"servers": [{"serverId": "other", "createdAtMs": 1}, {"serverId": "tab-1", "createdAtMs": 42}]}

Answer = Callable[[httpx.Request], httpx.Response]


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[AgentServer]:
    """A server that answers as we say: what a proxy or a stranger does, the real one cannot be brought to do."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        yield AgentServer(client, ENDPOINT)


def ring_of(*pieces: bytes | Exception) -> AbstractAsyncContextManager[Ring]:
    """Open a ring whose bytes come in these pieces."""

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer T"
        assert "Last-Event-ID" not in request.headers
        if request.url.path == "/agent/v1/acp":
            return httpx.Response(200, json=LISTED)
        assert request.url.path == "/agent/v1/acp/tab-1"
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=body())

    @asynccontextmanager
    async def opened() -> AsyncIterator[Ring]:
        async with server(answer) as one, open_ring(one, "tab-1") as ring:
            yield ring

    return opened()


def event(event_id: int, text: str = "x") -> bytes:
    """Make the bytes of one event that says `text`."""
    update = f'{{"sessionUpdate":"agent_message_chunk","content":{{"type":"text","text":"{text}"}}}}'
    data = f'{{"method":"session/update","params":{{"update":{update}}}}}'
    return f"event: message\nid: {event_id}\ndata: {data}\n\n".encode()


async def test_events_come_in_any_pieces() -> None:
    """Events are found wherever the bytes are cut, also in the middle of a letter."""
    whole = event(1, "né") + event(2)
    for cut in range(1, len(whole)):
        async with ring_of(whole[:cut], whole[cut:]) as ring:
            found = [await ring.read(), await ring.read(), await ring.read()]
        assert [entry and entry.event_id for entry in found] == [1, 2, None]
        assert found[0] is not None
        assert found[0].message["params"]["update"]["content"]["text"] == "né"


async def test_heartbeats_are_no_events() -> None:
    """Comments between events are passed over, before the first event and after."""
    beat = b": heartbeat\n\n"
    async with ring_of(beat, event(1), beat, beat, event(2), beat) as ring:
        assert [entry.event_id for entry in [await ring.read(), await ring.read()] if entry] == [1, 2]
        assert await ring.read() is None


async def test_process_is_named_by_start_and_time() -> None:
    """The process of a ring has the server's incarnation and the time it was made in its name."""
    async with ring_of() as ring:
        assert ring.agent_process == "start-1/42"


async def test_gaps_are_told_once_each() -> None:
    """A hole at the beginning and one in the middle are each told before the event that follows, under an id of its own."""
    async with ring_of(event(5), event(6), event(9)) as ring:
        stream = ConversationStream(ring.agent_process, ring, Reader(""))
        found = [await stream.receive() for _ in range(6)]
    text = {"text": "x"}
    assert found == [
        Gap(4, after=0),
        Update(5, ItemKind.TEXT, text),
        Update(6, ItemKind.TEXT, text),
        Gap(8, after=6),
        Update(9, ItemKind.TEXT, text),
        None,
    ]


@pytest.mark.parametrize(
    "fault", [httpx.ReadTimeout("60 s"), httpx.ReadError("reset"), httpx.RemoteProtocolError("cut")]
)
async def test_broken_connection_is_transient(fault: Exception) -> None:
    """Silence and a broken connection are told as such, and the stream stays broken."""
    async with ring_of(event(1), fault) as ring:
        await ring.read()
        for _ in range(2):
            with pytest.raises(Transient):
                await ring.read()


async def test_cancelled_read_breaks_the_stream() -> None:
    """After a read was cancelled the stream says so instead of pretending that it ended."""

    async def body() -> AsyncIterator[bytes]:
        yield event(1)
        await anyio.sleep_forever()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/acp"):
            return httpx.Response(200, json=LISTED)
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=body())

    async with server(answer) as one, open_ring(one, "tab-1") as ring:
        await ring.read()
        with anyio.move_on_after(0.05):
            await ring.read()
        with pytest.raises(Transient, match="cut off"):
            await ring.read()


async def test_replaced_process_is_never_mixed_up() -> None:
    """When the process is replaced between the list and the stream, the ring is opened again until both agree."""
    times = iter([1, 2, 3, 3])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/acp"):
            return httpx.Response(200, json={"servers": [{"serverId": "tab-1", "createdAtMs": next(times)}]})
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=event(1))

    async with server(answer) as one, open_ring(one, "tab-1") as ring:
        assert ring.agent_process == "start-1/3"


async def test_process_that_keeps_changing_is_given_up() -> None:
    """A conversation that is replaced at every look is not there."""
    times = iter(range(100))

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/acp"):
            return httpx.Response(200, json={"servers": [{"serverId": "tab-1", "createdAtMs": next(times)}]})
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=event(1))

    async with server(answer) as one:
        with pytest.raises(Unreachable):
            async with open_ring(one, "tab-1"):
                pytest.fail("opened")


def problem(kind: str, status: int) -> httpx.Response:
    """Answer as the server does when something is wrong."""
    body = {"type": f"urn:sandbox-agent:error:{kind}", "status": status, "detail": "because"}
    return httpx.Response(status, json=body, headers={"Content-Type": "application/problem+json"})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (problem("token_invalid", 401), Unreachable),
        (problem("session_not_found", 404), Unreachable),
        (problem("invalid_request", 400), Unreachable),
        (problem("stream_error", 502), AgentGone),
        (problem("agent_process_exited", 500), AgentGone),
        (problem("conflict", 409), Foreign),
        (problem("agent_not_installed", 404), Permanent),
        (problem("unsupported_agent", 400), Permanent),
        (problem("something_new", 500), OutcomeUnknown),
        (httpx.Response(413, text="length limit exceeded"), Permanent),
        (httpx.Response(401, text="sign in"), Unreachable),
        (httpx.Response(404, text="<html>nothing here</html>"), Unreachable),
        (httpx.Response(302, headers={"Location": "http://elsewhere.test/"}), Unreachable),
        (httpx.Response(200, text="<html>welcome</html>"), Unreachable),
        (httpx.Response(200, json=[1]), Unreachable),
        (httpx.Response(502, text="bad gateway"), OutcomeUnknown),
        (httpx.Response(504, text="gateway timeout"), OutcomeUnknown),
    ],
    ids=lambda value: getattr(value, "__name__", None) or f"{value.status_code}-{value.text[:60]}",
)
async def test_answer_becomes_an_error(answer: httpx.Response, expected: type[PortError]) -> None:
    """What kept a message from the agent for sure is never called unknown, and what may have let it through always is."""
    async with server(lambda _: answer) as one:
        with pytest.raises(PortError) as caught:
            await one.post("tab-1", b"{}", otherwise=OutcomeUnknown)
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (httpx.ConnectError("refused"), Unreachable),
        (httpx.ConnectTimeout("no answer"), Unreachable),
        (httpx.WriteError("reset"), OutcomeUnknown),
        (httpx.ReadError("reset"), OutcomeUnknown),
        (httpx.RemoteProtocolError("gone"), OutcomeUnknown),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
async def test_broken_post_is_unknown_unless_nothing_was_sent(
    fault: Exception, expected: type[PortError]
) -> None:
    """Only a connection that never came about proves that nothing was sent."""

    def answer(_: httpx.Request) -> httpx.Response:
        raise fault

    async with server(answer) as one:
        with pytest.raises(PortError) as caught:
            await one.post("tab-1", b"{}", otherwise=OutcomeUnknown)
    assert type(caught.value) is expected


async def test_cancelled_post_leaves_nothing_behind() -> None:
    """A message cut off while it is being written leaves no generator for the loop to complain of."""

    async def read_nothing(stream: SocketStream) -> None:
        async with stream:
            await anyio.sleep_forever()

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        httpx.AsyncClient(trust_env=False) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, read_nothing)
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 (no Django here)
        one = AgentServer(client, Endpoint(f"http://127.0.0.1:{port}", {}, "start-1", "/"))
        with anyio.move_on_after(0.2) as scope:
            await one.post("tab-1", b"x" * (32 << 20))
        assert scope.cancelled_caught
        gc.collect()
        tasks.cancel_scope.cancel()


async def test_strange_server_id_stays_in_its_place() -> None:
    """An id with signs that mean something in a path is one segment of it."""
    paths: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path.decode())
        return httpx.Response(202)

    async with server(answer) as one:
        assert await one.post("a/../b?c#d e", b"{}") == {}
    assert paths == ["/agent/v1/acp/a%2F..%2Fb%3Fc%23d%20e"]
