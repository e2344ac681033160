"""Services: servers in a box, from the files that they need to the way that leads to them from outside.

Owns: `ensure`, `endpoint_of`, `stop`, and `carry` with which files come in.
Never: a token in a command line or an error; an endpoint kept.
Reads as: provider.py -> these -> toolbox.py -> inside/services.py.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
from anyio import to_thread

from taskdock.adapters.sandbox.daytona.control import Control
from taskdock.adapters.sandbox.daytona.toolbox import Source, Toolbox
from taskdock.core.errors import Permanent, Transient, Unreachable
from taskdock.ports.sandbox import Endpoint, ProgramFile, ServiceSpec

_WAIT_SECONDS = 10.0
_START_SECONDS_MAX = 60.0


async def carry(toolbox: Toolbox, files: Sequence[ProgramFile]) -> None:
    """Bring files to /tmp of the box, and have each moved to its place in one step."""
    staged = [(toolbox.staged(), _source(file)) for file in files]
    await toolbox.upload(staged)
    placed = [
        {"path": file.path, "mode": file.mode, "staged": where}
        for file, (where, _) in zip(files, staged, strict=True)
    ]
    await toolbox.call("put", {"files": placed})


async def ensure(toolbox: Toolbox, control: Control, service: ServiceSpec) -> Endpoint:
    """Adopt or start the server, and wait for its health; one that never answers is stopped."""
    record = await _settled(toolbox, service)
    give_up_at = anyio.current_time() + service.start_seconds_max
    told = {"name": service.name, "incarnation": record["incarnation"], "health_path": service.health_path}
    while True:
        wait = max(0.0, min(_WAIT_SECONDS, give_up_at - anyio.current_time()))
        answer = await toolbox.call("await", {**told, "wait": wait}, seconds=_WAIT_SECONDS)
        if answer.get("is_up"):
            return await _endpoint(toolbox, control, record)
        if answer.get("ended") or anyio.current_time() >= give_up_at:
            break
    tail = (await toolbox.call("give-up", told)).get("tail")
    how = (
        "ended before it answered"
        if answer.get("ended")
        else f"did not answer in {service.start_seconds_max:g} s"
    )
    raise Transient(f"{service.name} {how}.", log_tail=str(tail) if tail else None)


async def endpoint_of(toolbox: Toolbox, control: Control, service: str) -> Endpoint:
    """The way to a server that runs; Unreachable when it does not."""
    record = (await toolbox.call("endpoint", {"name": service})).get("record")
    if record is None:
        raise Unreachable(f"{service} does not run in the sandbox {toolbox.box.name}.")
    return await _endpoint(toolbox, control, record)


async def stop(toolbox: Toolbox, service: str) -> None:
    """End it with all it started."""
    await toolbox.call("stop", {"name": service})


async def _settled(toolbox: Toolbox, service: ServiceSpec) -> Mapping[str, Any]:
    """The record of the start that runs; files are brought only where they are not there already."""
    files = [await _described(file) for file in service.files]
    request = {
        "name": service.name,
        "version": service.version,
        "argv": list(service.argv),
        "env": dict(service.env),
        "log_path": service.log_path,
        "files": files,
    }
    # The environment of an agent's server holds the keys of its agents.
    answer = await toolbox.call("settle", request, is_private=True, seconds=_START_SECONDS_MAX)
    if "lacking" in answer:
        lacking = [int(number) for number in answer["lacking"]]
        for number in lacking:
            files[number]["staged"] = toolbox.staged()
        await toolbox.upload(
            [(files[number]["staged"], _source(service.files[number])) for number in lacking]
        )
        answer = await toolbox.call("settle", request, is_private=True, seconds=_START_SECONDS_MAX)
    record = answer.get("record")
    if not isinstance(record, dict):
        raise Transient(
            f"{service.name} could not be started: its files are taken away while they are brought."
        )
    return record


async def _endpoint(toolbox: Toolbox, control: Control, record: Mapping[str, Any]) -> Endpoint:
    """The preview of its port. Its token is another one after every start of the box, so it is asked for each time."""
    preview = await control.preview(toolbox.box, int(record["port"]))
    headers = {
        "Authorization": f"Bearer {record['token']}",
        "x-daytona-preview-token": preview.token,
        "X-Daytona-Skip-Preview-Warning": "true",
    }
    return Endpoint(preview.url, headers, str(record["incarnation"]), str(record["checkout"]))


async def _described(file: ProgramFile) -> dict[str, Any]:
    digest = await to_thread.run_sync(_digest, file)
    return {"path": file.path, "mode": file.mode, "sha256": digest, "staged": None}


def _digest(file: ProgramFile) -> str:
    source = _source(file)
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    try:
        with source.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise Permanent(f"{source} cannot be read: {error.strerror}.") from error


def _source(file: ProgramFile) -> Source:
    if file.host_path is not None:
        return file.host_path
    return file.content or b""
