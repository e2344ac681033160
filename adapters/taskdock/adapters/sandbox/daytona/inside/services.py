"""Services: one server per name in the box, whoever asks for it and however often.

Owns: `settle`, `await_health`, `give_up`, `endpoint`, `stop`, and the record of each server.
Never: a server started outside its guard; its token in a tail.
Reads as: main.py -> these -> supervisor.py.
"""

from __future__ import annotations

import errno
import os
import time

from taskdock.adapters.sandbox.daytona.inside.files import HOME, STATE, has, last, put, read, write
from taskdock.adapters.sandbox.daytona.inside.locks import ended, guarded
from taskdock.adapters.sandbox.daytona.inside.supervisor import Job, environment, halt, launch

TYPE_CHECKING = False  # not typing's: it takes as long to import as all the rest
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_TAIL_BYTES = 4096
_LOOK_SECONDS = 0.03
_ANSWER_SECONDS = 2.0
_PORTS = range(3000, 10_000)
"""Which a preview leads to in every version of Daytona; the newer ones take all."""
_PORT_TRIES = 200


def settle(request: Mapping[str, Any]) -> dict[str, Any]:
    """The `record` of the server that runs in this version or was started now, or the files that are `lacking` first."""
    folder = _folder(request["name"])
    with guarded(folder):
        found = _record(folder)
        if (
            found is not None
            and found["version"] == request["version"]
            and not ended(_start_of(folder, found))
        ):
            return {"record": found}
        _forget(folder)
        files = request["files"]
        lacking = [
            number
            for number, file in enumerate(files)
            if not (file["staged"] and os.path.exists(file["staged"])) and not has(file)
        ]
        if lacking:
            return {"lacking": lacking}
        put({"files": [file for file in files if file["staged"]]})
        return {"record": _start(folder, request)}


def await_health(request: Mapping[str, Any]) -> dict[str, Any]:
    """Wait a while until it answers 200 to its token: then it `is_up`; or it has `ended`; or neither, so ask again."""
    folder = _folder(request["name"])
    record = _record(folder)
    if record is None or record["incarnation"] != request["incarnation"]:
        return {"ended": True}
    give_up_at = time.monotonic() + request["wait"]
    while not _answers(record, request["health_path"]):
        if ended(_start_of(folder, record)):
            return {"ended": True}
        if time.monotonic() > give_up_at:
            return {}
        time.sleep(_LOOK_SECONDS)
    with guarded(folder):
        found = _record(folder)
        if found is None or found["incarnation"] != record["incarnation"]:
            return {"ended": True}
        write(f"{folder}/record", {**found, "is_up": True})
    return {"is_up": True}


def give_up(request: Mapping[str, Any]) -> dict[str, Any]:
    """End a start that never answered, so that the next one is free; the `tail` of what it said."""
    folder = _folder(request["name"])
    with guarded(folder):
        record = _record(folder)
        if record is None or record["incarnation"] != request["incarnation"]:
            return {"tail": ""}
        said = [last(f"{_start_of(folder, record)}/log", _TAIL_BYTES)]
        if record["log_path"]:
            said.append(last(f"{HOME}/{record['log_path']}", _TAIL_BYTES))
        _forget(folder)
    text = b"\n".join(said).decode(errors="replace")
    return {"tail": text.replace(record["token"], "…").strip()}


def endpoint(request: Mapping[str, Any]) -> dict[str, Any]:
    """The `record` of a server that was up once and still runs; nothing of any other."""
    folder = _folder(request["name"])
    record = _record(folder)
    if record is None or not record["is_up"] or ended(_start_of(folder, record)):
        return {}
    return {"record": record}


def stop(request: Mapping[str, Any]) -> dict[str, Any]:
    """End a server and all it started."""
    folder = _folder(request["name"])
    with guarded(folder):
        _forget(folder)
    return {}


def _start(folder: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Start it anew. It is written down first: after a crash in between it is found by its mark."""
    record = {
        "version": request["version"],
        "incarnation": os.urandom(16).hex(),
        "token": os.urandom(32).hex(),
        "port": _free_port(),
        "is_up": False,
        "checkout": f"{HOME}/checkout",
        "log_path": request["log_path"],
    }
    added = {name: _filled(text, record) for name, text in request["env"].items()}
    mark = str(record["incarnation"])
    argv = [_filled(part, record) for part in request["argv"]]
    job = Job(argv, ".", environment(added, mark), mark, None, is_service=True)
    os.makedirs(f"{HOME}/checkout", exist_ok=True)
    write(f"{folder}/record", record)
    os.makedirs(_start_of(folder, record), mode=0o700)
    try:
        launch(_start_of(folder, record), job)
    except BaseException:
        _forget(folder)
        raise
    return record


def _forget(folder: str) -> None:
    """End what is written down, then its record."""
    import shutil

    record = _record(folder)
    if record is not None:
        halt(_start_of(folder, record), record["incarnation"])
        shutil.rmtree(_start_of(folder, record), ignore_errors=True)
        os.unlink(f"{folder}/record")


def _answers(record: Mapping[str, Any], path: str) -> bool:
    """Whether our server answers there: one that does not know the token is somebody else's."""
    import socket

    asked = f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {record['token']}\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", record["port"]), timeout=_ANSWER_SECONDS) as connection:
            connection.sendall(asked.encode())
            return connection.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


def _filled(text: str, record: Mapping[str, Any]) -> str:
    """Fill in the placeholders, and leave every other brace as it is."""
    values = {"home": HOME, "checkout": record["checkout"], "token": record["token"], "port": record["port"]}
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def _free_port() -> int:
    """A port that is free now. Should another take it first, the server ends, and the next try has another one."""
    import socket

    for _ in range(_PORT_TRIES):
        port = _PORTS[int.from_bytes(os.urandom(4), "big") % len(_PORTS)]
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(errno.EADDRINUSE, "no port is free")


def _folder(name: str) -> str:
    return f"{STATE}/services/{name}"


def _start_of(folder: str, record: Mapping[str, Any]) -> str:
    return f"{folder}/{record['incarnation']}"


def _record(folder: str) -> dict[str, Any] | None:
    return read(f"{folder}/record")
