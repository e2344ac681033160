"""Wire: one exchange with Daytona over HTTP.

Owns: `Wire`: the client, the key in its header, and the deadlines.
Never: a redirect followed; the key anywhere but in a header; a second try (provider.py decides on those).
Reads as: control.py, toolbox.py -> `Wire.send` -> httpx, failures.py.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

import httpx
from attrs import frozen

from taskdock.adapters.sandbox.daytona.failures import answered, refusal
from taskdock.core.errors import Transient

_CONNECT_SECONDS = 10.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@frozen
class Call:
    """What is asked: `changes` says that it may have been carried out though no answer came."""

    doing: str
    method: str
    url: str
    changes: bool = False
    json: Any = None
    params: Mapping[str, str] | None = None
    files: Mapping[str, Any] | None = None
    data: Mapping[str, str] | None = None
    seconds_max: float | None = None


class Wire:
    """The HTTP client of one open provider."""

    def __init__(self, api_url: str, key: str, request_seconds: float) -> None:
        self.api_url = api_url.rstrip("/")
        self._seconds = request_seconds
        is_here = httpx.URL(api_url).host in _LOOPBACK
        self._client = httpx.AsyncClient(
            headers={
                "Authorization": f"Bearer {key}",
                "User-Agent": "taskdock",
                "X-Daytona-Source": "taskdock",
            },
            follow_redirects=False,
            trust_env=not is_here,
            verify=not api_url.startswith("http://"),
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16),
        )

    async def send(self, call: Call) -> httpx.Response:
        """Ask and give the successful answer, read to its end. Raises what failures.py says of any other."""
        with answered(call.doing, changes=call.changes):
            response = await self._client.send(self._request(call))
        if not response.is_success:
            raise refusal(response, call.doing, changes=call.changes)
        return response

    async def ask(self, call: Call) -> Any:  # noqa: ANN401 - whatever JSON there is
        """As `send`; the answer as JSON."""
        response = await self.send(call)
        try:
            return response.json()
        except ValueError:
            raise Transient(f"Daytona did not answer in JSON when it was to {call.doing}.") from None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _request(self, call: Call) -> httpx.Request:
        seconds = call.seconds_max or self._seconds
        with answered(call.doing, changes=False):
            request = self._client.build_request(
                call.method,
                call.url,
                json=call.json,
                params=call.params,
                files=call.files,
                data=call.data,
                timeout=httpx.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds)),
            )
        request.stream = _Pieces(request.stream)
        return request


class _Pieces(httpx.AsyncByteStream):
    """A request's body piece by piece; an iterator of its own, because httpx's generator outlives a cancelled request."""

    def __init__(self, body: object) -> None:
        self._pieces: Iterator[bytes] = iter(body) if isinstance(body, Iterable) else iter(())

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration
