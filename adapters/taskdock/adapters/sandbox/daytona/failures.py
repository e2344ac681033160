"""Failures: what Daytona's refusals and broken connections mean in our errors.

Owns: the tables, and `answered`, through which every call goes.
Never: a header, a request's body or the key in a reason; a try of its own.
Reads as: wire.py -> these -> PortError.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import httpx

from taskdock.core.errors import (
    AuthFailed,
    OutcomeUnknown,
    Permanent,
    PortError,
    QuotaExceeded,
    Transient,
    Unreachable,
)

_WORDS_MAX = 300
_SECONDS_MAX = 600.0


class Missing(Unreachable):
    """Daytona says that there is no such thing."""


class Busy(Transient):
    """Another change of the same box is under way; asked for again it may be accepted."""


_BY_STATUS: dict[int, type[PortError]] = {
    HTTPStatus.UNAUTHORIZED: AuthFailed,
    HTTPStatus.FORBIDDEN: AuthFailed,
    HTTPStatus.PAYMENT_REQUIRED: QuotaExceeded,
    HTTPStatus.NOT_FOUND: Missing,
    HTTPStatus.REQUEST_TIMEOUT: Transient,
    HTTPStatus.TOO_EARLY: Transient,
    HTTPStatus.TOO_MANY_REQUESTS: Transient,
}
"""Every other from 400 on is for good, every other from 500 on may pass."""

_QUOTA = re.compile(r"limit exceeded|quota|insufficient (credits|balance)", re.IGNORECASE)
"""They refuse what goes beyond a quota with 400 or 403, and only the words tell."""
_BUSY = re.compile(r"state change in progress|is (being|currently) ", re.IGNORECASE)

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NEVER = (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError)


@contextmanager
def answered(doing: str, *, changes: bool) -> Iterator[None]:
    """Map what httpx raises. A call that `changes` something and broke off may have been carried out."""
    try:
        yield
    except _NOT_SENT as error:
        raise Unreachable(f"Daytona cannot be reached to {doing} ({type(error).__name__}).") from error
    except _NEVER as error:
        raise Permanent(f"Daytona cannot be asked to {doing}: {error}.") from error
    except httpx.HTTPError as error:
        kind = OutcomeUnknown if changes else Transient
        raise kind(f"The connection broke while Daytona was to {doing} ({type(error).__name__}).") from error


def refusal(response: httpx.Response, doing: str, *, changes: bool) -> PortError:
    """What an answer means that is no success."""
    status, words = response.status_code, _words(response)
    reason = f"Daytona refused to {doing}: HTTP {status}{f', {words}' if words else ''}"
    after = _retry_after(response)
    if response.is_redirect:
        return Permanent(f"Daytona sends elsewhere who asks it to {doing} (HTTP {status}): mend api_url")
    kind = _kind(status, words)
    if kind is OutcomeUnknown and (after is not None or not changes):
        kind = Transient
    return Transient(reason, retry_after_seconds=after) if kind is Transient else kind(reason)


def _kind(status: int, words: str) -> type[PortError]:
    if status == HTTPStatus.CONFLICT or (status == HTTPStatus.BAD_REQUEST and _BUSY.search(words)):
        return Busy
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN) and _QUOTA.search(words):
        return QuotaExceeded
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return OutcomeUnknown
    return _BY_STATUS.get(status, Permanent)


def _words(response: httpx.Response) -> str:
    """Their message, on one line and not too long."""
    try:
        body = json.loads(response.content)
    except ValueError:
        return ""
    said = body.get("message") if isinstance(body, dict) else None
    if isinstance(said, list):
        said = "; ".join(str(one) for one in said)
    return " ".join(said.split())[:_WORDS_MAX] if isinstance(said, str) else ""


def _retry_after(response: httpx.Response) -> float | None:
    """The longest pause that a header names: each of their throttles has one of its own."""
    told = [
        float(value)
        for name, value in response.headers.items()
        if name.lower().startswith("retry-after") and re.fullmatch(r"\d{1,6}(\.\d+)?", value)
    ]
    return min(max(told), _SECONDS_MAX) if told else None
