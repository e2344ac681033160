"""Main: one verb of ours in a box, and its answer.

Owns: the verbs, the request they are given, and the one line that is the answer.
Never: a verb that does something twice when it is asked for twice; an answer in an exit code.
Reads as: a shell in the box -> `main` -> commands.py, services.py, files.py -> a line of JSON.
"""

from __future__ import annotations

import binascii
import json
import os
import sys

from taskdock.adapters.sandbox.daytona.inside import commands, files, services

TYPE_CHECKING = False  # not typing's: it takes as long to import as all the rest
if TYPE_CHECKING:
    from typing import Any

ANSWER = "taskdock-answers:"
"""What the line of the answer begins with; the shell may print lines of its own before it."""

VERBS = {
    "put": files.put,
    "get": files.get,
    "run": commands.run,
    "wait": commands.wait,
    "kill": commands.kill,
    "settle": services.settle,
    "await": services.await_health,
    "give-up": services.give_up,
    "endpoint": services.endpoint,
    "stop": services.stop,
}


def main() -> None:
    """Do what is asked, and answer."""
    os.umask(0o022)
    try:
        answer = VERBS[sys.argv[1]](_request(sys.argv[2]))
    except files.Refused as error:
        answer = {"refused": str(error)}
    except OSError as error:
        answer = {"broke": str(error)}
    # The toolbox gives what is written to either output as one, and a shell may have left a line open.
    sys.stdout.write(f"\n{ANSWER}{json.dumps(answer)}\n")


def _request(argument: str) -> dict[str, Any]:
    """In the argument itself, or in a file, for what is large or private."""
    if not argument.startswith("@"):
        told: dict[str, Any] = json.loads(binascii.a2b_base64(argument))
        return told
    with open(argument[1:], "rb") as file:
        told = json.load(file)
    # Read once: what is asked for again is brought again.
    os.unlink(argument[1:])
    return told
