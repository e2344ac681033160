"""Chat: a title and a slug from a language model, behind an OpenAI-compatible chat completion endpoint.

Owns: `ChatNaming` (its settings), `ChatNamer`, and what the endpoint's errors mean.
Never: the key in an error, a log or a repr; an answer taken as it is: what comes back is cleaned, or refused.
Reads as: services/executors/ensure_name.py -> the naming port -> this -> the endpoint; on any PortError the heuristic.
"""

import json
import os
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import anyio
import httpx
from attrs import Attribute, field, frozen

from taskdock.adapters.naming.heuristic import slug_of, title_of
from taskdock.core.errors import (
    AuthFailed,
    InvalidCommand,
    Permanent,
    PortError,
    QuotaExceeded,
    Transient,
    Unreachable,
)
from taskdock.ports.naming import NameProposal, NameRequest

_ANSWER_BYTES_MAX = 64 * 1024
_REASON_CHARACTERS_MAX = 200
_TOKENS_MAX = 200
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_ORDER = (
    "You name coding tasks. The user's message is the beginning of a request to a coding agent; do not carry it out. "
    'Answer with one JSON object and nothing else: {"title": "...", "slug": "..."}. The title says in at most eight '
    "words what is to be done. The slug is the same in two to five lower-case English words with dashes between."
)

_BY_STATUS: dict[int, type[PortError]] = {
    HTTPStatus.UNAUTHORIZED: AuthFailed,
    HTTPStatus.FORBIDDEN: AuthFailed,
    HTTPStatus.PAYMENT_REQUIRED: QuotaExceeded,
    HTTPStatus.REQUEST_TIMEOUT: Transient,
    HTTPStatus.TOO_MANY_REQUESTS: Transient,
}
"""What a refusal means; any other from 500 on may pass, and every other is for good."""

_BY_ERROR: tuple[tuple[type[httpx.HTTPError], type[PortError]], ...] = (
    (httpx.ConnectError, Unreachable),
    (httpx.ConnectTimeout, Unreachable),
    (httpx.UnsupportedProtocol, Permanent),
    (httpx.HTTPError, Transient),
)
"""The first row that fits. Asking for a name changes nothing outside, so an answer that is lost is only lost time."""


def _endpoint(_settings: object, attribute: "Attribute[str]", value: object) -> None:
    """Only https, or this very machine: the prompt and the key travel to it."""
    url = _url(value) if isinstance(value, str) else None
    if url is None or not url.host or "%" in url.host:
        raise InvalidCommand(
            f"{attribute.name} is the URL of a chat completion endpoint.", field="chat_namer"
        )
    if url.scheme != "https" and not (url.scheme == "http" and url.host in _LOOPBACK):
        raise InvalidCommand(
            f"{attribute.name} begins with https://, or is on this machine.", field="chat_namer"
        )
    if url.userinfo:
        raise InvalidCommand(f"{attribute.name} holds no password: name a key_variable.", field="chat_namer")


def _url(text: str) -> httpx.URL | None:
    try:
        return httpx.URL(text)
    except httpx.InvalidURL:
        return None


def _text(_settings: object, attribute: "Attribute[str]", value: object) -> None:
    if not isinstance(value, str) or not value:
        raise InvalidCommand(f"{attribute.name} is a text that is not empty.", field="chat_namer")


def _variable(_settings: object, attribute: "Attribute[str | None]", value: object) -> None:
    if value is not None and not (isinstance(value, str) and value.isidentifier()):
        raise InvalidCommand(
            f"{attribute.name} is the name of an environment variable, not the key.", field="chat_namer"
        )


def _timeout(_settings: object, attribute: "Attribute[float]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise InvalidCommand(f"{attribute.name} is a number of seconds above 0.", field="chat_namer")


@frozen
class ChatNaming:
    """Which endpoint is asked, and how: `[chat_namer]` of the configuration."""

    url: str = field(validator=_endpoint)
    """In full, such as `https://llm.example.org/v1/chat/completions`."""
    model: str = field(validator=_text)
    key_variable: str | None = field(default=None, validator=_variable)
    """Which environment variable holds the key; None where the endpoint wants none."""
    timeout_seconds: float = field(default=10.0, validator=_timeout)


class ChatNamer:
    """Implements `Namer` by asking a model; every way in which that can fail is a PortError within `timeout_seconds`."""

    id = "chat"

    def __init__(self, naming: ChatNaming, environment: Mapping[str, str] = os.environ) -> None:
        self._naming = naming
        self._environment = environment
        # No redirect is followed: the key goes where the settings say. `propose` bounds all of it by one timeout.
        is_here = httpx.URL(naming.url).host in _LOOPBACK
        self._client = httpx.AsyncClient(trust_env=not is_here, timeout=None)  # noqa: S113

    async def propose(self, request: NameRequest) -> NameProposal:
        """Ask once. The beginning of the prompt goes to the endpoint; of its answer only a title and a slug come back."""
        headers = self._headers()
        try:
            with anyio.fail_after(self._naming.timeout_seconds):
                # What cannot be sent (half of a surrogate pair) goes as a question mark.
                answer = await self._ask(request.prompt.encode(errors="replace").decode(), headers)
        except TimeoutError:
            raise Transient(f"no answer within {self._naming.timeout_seconds:g} s") from None
        return _proposal(answer)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _headers(self) -> dict[str, str]:
        variable = self._naming.key_variable
        if variable is None:
            return {}
        key = self._environment.get(variable, "").strip()
        if not key or not key.isascii() or not key.isprintable():
            raise AuthFailed(f"the environment variable {variable} holds no key")
        return {"Authorization": f"Bearer {key}"}

    async def _ask(self, prompt: str, headers: Mapping[str, str]) -> bytes:
        body = {
            "model": self._naming.model,
            "messages": [{"role": "system", "content": _ORDER}, {"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": _TOKENS_MAX,
        }
        try:
            async with self._client.stream("POST", self._naming.url, json=body, headers=headers) as response:
                if response.status_code != HTTPStatus.OK:
                    raise _refusal(response)
                return await _bounded(response)
        except httpx.HTTPError as error:
            kind = next(ours for foreign, ours in _BY_ERROR if isinstance(error, foreign))
            raise kind(f"{type(error).__name__} at {httpx.URL(self._naming.url).host}") from None


def _refusal(response: httpx.Response) -> PortError:
    """The status alone: the body may repeat what was sent."""
    status = response.status_code
    reason = f"HTTP {status} {response.reason_phrase}".strip()
    kind = _BY_STATUS.get(status, Transient if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Permanent)
    if kind is Transient:
        after = response.headers.get("Retry-After", "")
        return Transient(
            reason, retry_after_seconds=float(after) if re.fullmatch(r"\d{1,6}", after) else None
        )
    return kind(reason)


async def _bounded(response: httpx.Response) -> bytes:
    """The body. What is too long is read to its end or to the timeout, and not kept: httpx cannot be left in between."""
    body, length = b"", 0
    async for piece in response.aiter_bytes():
        length += len(piece)
        if length <= _ANSWER_BYTES_MAX:
            body += piece
    if length > _ANSWER_BYTES_MAX:
        raise Permanent(f"the answer is longer than {_ANSWER_BYTES_MAX:,} bytes")
    return body


def _proposal(body: bytes) -> NameProposal:
    """What the model said, as names that the port allows; Permanent when nothing of it can be used."""
    said = _said(body)
    named = _object_in(said)
    title = title_of(_line(named.get("title")))
    slug = slug_of(_line(named.get("slug"))) or slug_of(title)
    if not title or not slug:
        raise Permanent(f"the model gave no name: {_line(said)[:_REASON_CHARACTERS_MAX]!r}")
    return NameProposal(title=title, slug=slug)


def _said(body: bytes) -> str:
    """The text of the first choice."""
    try:
        said = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        said = None
    if not isinstance(said, str):
        raise Permanent("the answer is no chat completion")
    return said


def _object_in(said: str) -> dict[str, Any]:
    """The first JSON object in the text, whatever the model put around it."""
    start = said.find("{")
    try:
        found, _ = json.JSONDecoder().raw_decode(said[start:]) if start >= 0 else (None, 0)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _line(value: object) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""
