"""Health: waits until a service that was started answers.

Owns: `Verdict`, `await_health`.
Never: the guard (a service may take half a minute to start, and a stop must not wait for it); a proxy, a redirect.
Reads as: provider.py -> `await_health` -> process_table.py for the address, httpx for the answer.

An answer of 401 comes from a server that is not ours: it does not know the token of this start.
"""

import os
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.to_thread
import httpx
from attrs import frozen

from taskdock.adapters.sandbox.local.process_table import Address, ProcessKey, ProcessTable
from taskdock.adapters.sandbox.local.records import ServiceRecord
from taskdock.adapters.unix_socket import UnixTransport
from taskdock.ports.sandbox import ServiceSpec

_PAUSE_SECONDS_MIN = 0.01
_PAUSE_SECONDS_MAX = 0.25
_PATIENCE = 10
"""How many pauses long an answer may take: from a tenth of a second up to two and a half."""
BRIDGED = Address("sandbox", 80)
"""The address of whatever is reached through a bridge; no name is looked up and no port is used."""
# Loopback is plain HTTP. Made once because httpx would read all certificates of the system for each client.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@frozen
class Verdict:
    """Where the service answers, or, without an address, what is wrong with it (the rest of a sentence)."""

    address: Address | None
    wrong: str = ""


async def await_health(
    table: ProcessTable, record: ServiceRecord, spec: ServiceSpec, bridge: Path | None
) -> Verdict:
    """Ask the service until it answers 200, its process ends, or `start_seconds_max` have passed.

    With `bridge` it is asked through that socket, else wherever its processes listen.
    """
    if record.key is None:
        return Verdict(None, "ended as soon as it was started")
    seen = "was silent"
    headers = {"Authorization": f"Bearer {record.token}"}
    with anyio.move_on_after(spec.start_seconds_max):
        async with _client(bridge, headers) as client:
            pause_seconds = _PAUSE_SECONDS_MIN
            while True:
                addresses = (
                    (BRIDGED,)
                    if bridge is not None
                    else await anyio.to_thread.run_sync(table.listening, record.key)
                )
                # Patient only by and by: what is silent may be another socket than the one that will answer.
                answers = await _ask_all(client, addresses, spec.health_path, _PATIENCE * pause_seconds)
                for address, status in answers.items():
                    if status == httpx.codes.OK:
                        return Verdict(address)
                    seen = f"answered HTTP {status} on its health path"
                if await _ends_within(table, record.key, pause_seconds):
                    return Verdict(None, "ended before it answered")
                pause_seconds = min(pause_seconds * 1.5, _PAUSE_SECONDS_MAX)
    return Verdict(None, f"{seen} for {spec.start_seconds_max:g} s")


def _client(bridge: Path | None, headers: Mapping[str, str]) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(verify=_NO_TLS) if bridge is None else UnixTransport(bridge)
    return httpx.AsyncClient(transport=transport, trust_env=False, headers=headers)


async def _ask_all(
    client: httpx.AsyncClient, addresses: Sequence[Address], path: str, seconds: float
) -> Mapping[Address, int]:
    """Ask every address at once and return the status of each that answered; its body is left unread."""
    answers: dict[Address, int] = {}

    async def ask(address: Address) -> None:
        with suppress(httpx.HTTPError):
            async with client.stream("GET", address.url + path) as response:
                answers[address] = response.status_code
                if response.status_code == httpx.codes.OK:
                    group.cancel_scope.cancel()

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as group:
            for address in addresses:
                group.start_soon(ask, address)
    return answers


async def _ends_within(table: ProcessTable, key: ProcessKey, seconds: float) -> bool:
    """Wait for the process to end, at most `seconds`; whether it did."""
    try:
        handle = os.pidfd_open(key.pid)
    except ProcessLookupError:
        return True
    try:
        with anyio.move_on_after(seconds):
            await anyio.wait_readable(handle)
    finally:
        os.close(handle)
    return not table.alive(key)
