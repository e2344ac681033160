"""Prompt sender: a process that sends prompts, made to be killed.

Owns: nothing; each line on its stdin (request id, size in characters) forks a process that sends one such prompt. It
    prints its pid when everything before the prompt itself is done, and then `sent` or the error.
Never: a second prompt in one process; the fork saves the second that the imports take.
Reads as: tests/integration/test_sandbox_agent_delivery.py -> this -> the gateway.
"""

import json
import os
import sys
from pathlib import Path

import anyio

from taskdock.adapters.agent.exchange import Line
from taskdock.adapters.agent.sandbox_agent import SandboxAgentGateway
from taskdock.adapters.agent.stream import Ring
from taskdock.core.errors import PortError
from taskdock.ports.agent import Conversation
from taskdock.ports.sandbox import Endpoint


class Announcing(SandboxAgentGateway):
    """Prints the pid right before a prompt goes out."""

    async def _was_sent(self, line: Line, ring: Ring, request_id: str) -> bool:
        answer = await super()._was_sent(line, ring, request_id)
        tell(str(os.getpid()))
        return answer


async def send(endpoint: Endpoint, session_id: str, request_id: str, size: int) -> None:
    """Send one prompt that is answered in a word."""
    agents = Announcing(Path("unused"))
    text = "demo: echo ok\n" + "x" * size
    try:
        await agents.prompt(endpoint, Conversation("tab-1", 1, "demo"), session_id, request_id, text)
    except PortError as error:
        tell(repr(error))
    else:
        tell("sent")


def tell(word: str) -> None:
    """Print a line, whole."""
    os.write(1, word.encode() + b"\n")


def main() -> None:
    """Fork a sender for each line."""
    where = json.loads(sys.argv[1])
    endpoint = Endpoint(where["url"], where["headers"], where["incarnation"], where["checkout"])
    for line in sys.stdin:
        request_id, size = line.split()
        child = os.fork()
        if child == 0:
            anyio.run(send, endpoint, where["session_id"], request_id, int(size))
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
