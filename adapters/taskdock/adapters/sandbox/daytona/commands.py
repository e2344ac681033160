"""Commands: `exec` in a box, in requests none of which takes long.

Owns: `run`.
Never: a command sent twice under two ids; one that goes on after its caller was cancelled.
Reads as: provider.py -> `run` -> toolbox.py -> inside/commands.py.
"""

import base64
import secrets
from typing import Any

import anyio

from taskdock.adapters.sandbox.daytona.toolbox import Toolbox
from taskdock.core.errors import OutcomeUnknown, PortError, Transient
from taskdock.ports.sandbox import Exec, ExecResult

_WAIT_SECONDS = 20.0
_KILL_SECONDS_MAX = 20.0
_TAIL_CHARACTERS = 4000


async def run(toolbox: Toolbox, command: Exec) -> ExecResult:
    """Run it to its end. Cancelled, or when its fate is unknown, it is killed as far as the box can be reached."""
    run_id = secrets.token_hex(16)
    try:
        answer = await _until_ended(toolbox, run_id, command)
    except (anyio.get_cancelled_exc_class(), PortError):
        await _kill(toolbox, run_id)
        raise
    outputs = {name: base64.b64decode(answer.get(name, "")) for name in ("stdout", "stderr")}
    if answer["how"] == "ended":
        return ExecResult(int(answer["code"]), outputs["stdout"], outputs["stderr"])
    tail = (outputs["stderr"] or outputs["stdout"]).decode(errors="replace")[-_TAIL_CHARACTERS:]
    what = command.argv[0]
    if answer["how"] == "late":
        raise Transient(f"{what} did not end within {command.timeout_seconds:g} s.", log_tail=tail)
    raise OutcomeUnknown(f"{what} was cut off in the sandbox {toolbox.box.name}.", log_tail=tail or None)


async def _until_ended(toolbox: Toolbox, run_id: str, command: Exec) -> dict[str, Any]:
    """Ask until it has ended; each request waits a while for that in the box."""
    wait = {"id": run_id, "wait": min(_WAIT_SECONDS, command.timeout_seconds + 1.0)}
    request = {
        **wait,
        "argv": list(command.argv),
        "cwd": command.cwd,
        "env": dict(command.env),
        "stdin": base64.b64encode(command.stdin).decode(),
        "seconds": command.timeout_seconds,
    }
    # What is in a command line is seen by every process of the box; a variable or an input may be a secret.
    is_private = bool(command.env or command.stdin)
    answer = await toolbox.call("run", request, is_private=is_private, seconds=_WAIT_SECONDS)
    give_up_at = anyio.current_time() + command.timeout_seconds + _KILL_SECONDS_MAX
    while answer["how"] == "running":
        if anyio.current_time() > give_up_at:
            raise OutcomeUnknown(f"{command.argv[0]} does not end in the sandbox {toolbox.box.name}.")
        answer = await toolbox.call("wait", wait, seconds=_WAIT_SECONDS)
    return answer


async def _kill(toolbox: Toolbox, run_id: str) -> None:
    """End it, best effort: a box that cannot be reached runs what it runs until it is stopped."""
    with anyio.move_on_after(_KILL_SECONDS_MAX, shield=True):
        try:
            await toolbox.call("kill", {"id": run_id}, seconds=_KILL_SECONDS_MAX)
        except PortError:
            return
