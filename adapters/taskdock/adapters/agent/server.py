"""Server: the HTTP calls of one running sandbox-agent, and the table that turns what goes wrong into port errors.

Owns: the paths, status codes and deadlines of the server's HTTP interface.
Never: a wait for the answer to the DELETE of a live agent (it never comes); a redirect followed; trust in what answers
    on the port, unless it answers as ours does.
Reads as: sandbox_agent.py, stream.py -> this -> httpx.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import quote

import anyio
import httpx
from attrs import frozen

from taskdock.core.errors import Foreign, Permanent, PortError, Transient, Unreachable
from taskdock.ports.sandbox import Endpoint

CONNECT_SECONDS_MAX = 5.0
SILENCE_SECONDS_MAX = 60.0
"""The server sends a heartbeat every 15 seconds on a stream, so a longer silence is a broken connection."""
DELETE_SECONDS_MAX = 2.0

_SILENCE = httpx.Timeout(SILENCE_SECONDS_MAX, connect=CONNECT_SECONDS_MAX, pool=None)
_PATIENCE = httpx.Timeout(SILENCE_SECONDS_MAX, connect=CONNECT_SECONDS_MAX, read=None, pool=None)
_PROBLEM = "urn:sandbox-agent:error:"


class AgentGone(Transient):
    """The conversation's agent process has ended; the conversation can be begun anew under the same id."""


_PROBLEMS: dict[str, tuple[type[PortError], str]] = {
    "agent_not_installed": (Permanent, "The agent server does not find the agent's program"),
    "agent_process_exited": (AgentGone, "The agent has exited"),
    "conflict": (Foreign, "The conversation's place is taken by another agent"),
    "invalid_request": (Unreachable, "The conversation does not exist in this sandbox"),
    "permission_denied": (Unreachable, "Another agent server answers, or ours under a newer token"),
    "session_not_found": (Unreachable, "The conversation does not exist in this sandbox"),
    "stream_error": (AgentGone, "The agent does not take input any more"),
    "token_invalid": (Unreachable, "Another agent server answers, or ours under a newer token"),
    "unsupported_agent": (Permanent, "The agent server does not know the agent"),
}
"""The server's own words for an error. Our requests are well-formed, so the one invalid request is the one that names
no agent although nothing runs under the conversation's id."""

_STATUSES: dict[int, tuple[type[PortError], str]] = {
    401: (Unreachable, "Another server answers, or a newer token is needed"),
    403: (Unreachable, "Another server answers, or a newer token is needed"),
    404: (Unreachable, "Another server answers in the agent server's place"),
    405: (Unreachable, "Another server answers in the agent server's place"),
    413: (Permanent, "The message is larger than the agent server takes (2 MiB, encoded)"),
}
"""For answers in other words, which may be a proxy's or a stranger's. None of these has reached an agent."""


@contextmanager
def answered(otherwise: type[PortError]) -> Iterator[None]:
    """Map what httpx raises: `Unreachable` when no connection came about, `otherwise` when it broke later."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise Unreachable(f"The agent server cannot be reached ({_words(error)})") from error
    except httpx.TransportError as error:
        raise otherwise(f"The connection to the agent server broke ({_words(error)})") from error


@frozen
class AgentServer:
    """One running server, where its endpoint says; holds nothing but the client that keeps the connections."""

    client: httpx.AsyncClient
    endpoint: Endpoint

    def process_name(self, created_at_ms: int) -> str:
        """Name the process that was made then: another one in every run of the server."""
        return f"{self.endpoint.incarnation}/{created_at_ms}"

    async def created_at_ms(self, server_id: str) -> int | None:
        """When the agent process behind `server_id` was made, in ms of the sandbox's clock; None when there is none."""
        with answered(Transient):
            response = await self.client.send(self._request("GET"))
        servers = _object(_checked(response, Transient)).get("servers")
        if not isinstance(servers, list):
            raise _stranger()
        for entry in servers:
            if entry.get("serverId") == server_id:
                return int(entry["createdAtMs"])
        return None

    async def post(
        self, server_id: str, body: bytes, *, agent: str | None = None, otherwise: type[PortError] = Transient
    ) -> Mapping[str, Any]:
        """Send one JSON-RPC message and wait, without a deadline, for the reply; empty for a notification.

        The first message of a conversation names the `agent` to start. `AgentGone`: its process is dead. `otherwise`:
        the message went out and no answer came.
        """
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        request = self._request("POST", server_id, headers, body, timeout=_PATIENCE)
        if agent is not None:
            request.url = request.url.copy_set_param("agent", agent)
        with answered(otherwise):
            response = await self.client.send(request)
        _checked(response, otherwise)
        return {} if response.status_code == httpx.codes.ACCEPTED else _object(response)

    async def delete(self, server_id: str) -> None:
        """Remove a conversation; idempotent, at most 2 seconds.

        A dead one is removed at once. A live one leaves the server's list at once, but the answer never comes: when we
        hang up, its agent reads the end of its input.
        """
        with anyio.move_on_after(DELETE_SECONDS_MAX), answered(Transient):
            _checked(await self.client.send(self._request("DELETE", server_id)), Transient)

    @asynccontextmanager
    async def follow(self, server_id: str) -> AsyncIterator[httpx.Response]:
        """Open the conversation's stream of events; `Unreachable` when there is no such conversation."""
        request = self._request("GET", server_id, {"Accept": "text/event-stream"})
        with answered(Transient):
            response = await self.client.send(request, stream=True)
        try:
            if response.status_code != httpx.codes.OK:
                with answered(Transient):
                    await response.aread()
            yield _checked(response, Transient)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    def _request(
        self,
        method: str,
        server_id: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: httpx.Timeout = _SILENCE,
    ) -> httpx.Request:
        url = f"{self.endpoint.url.rstrip('/')}/v1/acp/{quote(server_id, safe='')}".rstrip("/")
        all_headers = {**self.endpoint.headers, **(headers or {})}
        request = self.client.build_request(method, url, headers=all_headers, content=body, timeout=timeout)
        request.stream = _Body(body)
        return request


class _Body(httpx.AsyncByteStream):
    """A request's body in one piece; an iterator of its own, because httpx's generator outlives a cancelled request."""

    def __init__(self, data: bytes) -> None:
        self._rest = [data]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._rest:
            raise StopAsyncIteration
        return self._rest.pop()


def _checked(response: httpx.Response, otherwise: type[PortError]) -> httpx.Response:
    """Pass a success on, raise what the two tables say of anything else."""
    if response.is_success:
        return response
    if response.is_redirect:
        raise _stranger()
    problem = _problem(response)
    kind = str(problem.get("type", "")).removeprefix(_PROBLEM)
    error, words = (
        _PROBLEMS.get(kind) or _STATUSES.get(response.status_code) or (otherwise, "The agent server failed")
    )
    detail = problem.get("detail") or f"HTTP {response.status_code}"
    raise error(f"{words} ({detail})")


def _problem(response: httpx.Response) -> Mapping[str, Any]:
    if "application/problem+json" not in response.headers.get("content-type", ""):
        return {}
    return _object(response)


def _object(response: httpx.Response) -> Mapping[str, Any]:
    """Read a JSON object; whoever answers in another form is not the server that we started."""
    try:
        body = response.json()
    except ValueError as error:
        raise _stranger() from error
    if not isinstance(body, dict):
        raise _stranger()
    return body


def _stranger() -> Unreachable:
    return Unreachable("Another server answers in the agent server's place")


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
