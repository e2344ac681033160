"""Commands: short programs in the box, known by an id that the caller chose.

Owns: `run`, `wait`, `kill`.
Never: a command that runs twice; one that was killed and begins all the same.
Reads as: main.py -> these -> supervisor.py.
"""

from __future__ import annotations

import binascii
import contextlib
import os
import time

from taskdock.adapters.sandbox.daytona.inside.files import (
    HOME,
    OUTPUT_BYTES_MAX,
    STATE,
    Refused,
    encoded,
    last,
    read,
    write,
)
from taskdock.adapters.sandbox.daytona.inside.locks import ended
from taskdock.adapters.sandbox.daytona.inside.supervisor import Job, environment, halt, launch

TYPE_CHECKING = False  # not typing's: it takes as long to import as all the rest
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_RUNS = f"{STATE}/runs"
_KEPT_SECONDS = 600.0


def run(request: Mapping[str, Any]) -> dict[str, Any]:
    """Start a command, unless it was started before, and wait a while for its end."""
    _forget_old()
    folder = _folder(request)
    try:
        os.makedirs(folder, mode=0o700)
    except FileExistsError:
        return wait(request)
    os.makedirs(f"{HOME}/checkout", exist_ok=True)
    with open(f"{folder}/stdin", "wb") as file:
        file.write(binascii.a2b_base64(request["stdin"]))
    mark = request["id"]
    job = Job(
        request["argv"],
        request["cwd"],
        environment(request["env"], mark),
        mark,
        request["seconds"],
        is_service=False,
    )
    try:
        launch(folder, job)
    except Refused as error:
        # For who asks again because the first answer was lost.
        write(f"{folder}/result", {"how": "refused", "reason": str(error)})
    return wait(request)


def wait(request: Mapping[str, Any]) -> dict[str, Any]:
    """What became of a command: `how` it ended, or that it is `running`, or `lost` when nobody knows of it."""
    folder = _folder(request)
    if not ended(folder, request["wait"]):
        return {"how": "running"}
    result = read(f"{folder}/result")
    if result is None:
        return {"how": "lost"}
    if result["how"] == "refused":
        raise Refused(result["reason"])
    outputs = {name: encoded(last(f"{folder}/{name}", OUTPUT_BYTES_MAX)) for name in ("stdout", "stderr")}
    return {**result, **outputs}


def kill(request: Mapping[str, Any]) -> dict[str, Any]:
    """End a command and all it started; one that has not begun yet will not."""
    folder = _folder(request)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    halt(folder, request["id"])
    write(f"{folder}/result", {"how": "asked", "code": 137})
    return {}


def _folder(request: Mapping[str, Any]) -> str:
    return f"{_RUNS}/{request['id']}"


def _forget_old() -> None:
    """Take away what nobody asks for any more."""
    with contextlib.suppress(OSError):
        for name in os.listdir(_RUNS):
            with contextlib.suppress(OSError):
                age = time.time() - os.stat(f"{_RUNS}/{name}/result").st_mtime
                if age > _KEPT_SECONDS:
                    import shutil

                    shutil.rmtree(f"{_RUNS}/{name}", ignore_errors=True)
