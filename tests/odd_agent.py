"""Odd agent: an ACP agent that misbehaves in one way, named on its command line.

Owns: the ways; the demo agent knows those that users can ask for.
Never: more than the standard library; it runs in the sandbox of a test, behind the relay or without it.
Reads as: tests -> AgentSpec -> sandbox-agent -> this.
"""

import json
import os
import signal
import sys
import time
from typing import Any

WAY = sys.argv[1] if len(sys.argv) > 1 else ""
Message = dict[str, Any]
seen: list[str] = []


def send(message: Message) -> None:
    """Write one message."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def say(session_id: str, text: str) -> None:
    """Stream a text."""
    update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
    send({"method": "session/update", "params": {"sessionId": session_id, "update": update}})


def new_session(_: Message) -> Message:
    """Answer `session/new`, each time with another id."""
    seen.append("session/new")
    if WAY == "login" or (WAY == "late-login" and len(seen) == 1):
        return {
            "error": {
                "code": -32000,
                "message": "Authentication required",
                "data": {"details": "run login first"},
            }
        }
    if WAY == "dies-at-new":
        sys.stderr.write("no model today\n")
        sys.exit(6)
    return {"result": {"sessionId": f"odd-{len(seen)}"}}


def prompt(message: Message) -> Message:
    """Answer a prompt with what the way asks for."""
    session_id = message["params"]["sessionId"]
    if WAY == "writes-through-client":
        send({"id": 0, "method": "fs/write_text_file", "params": {"path": "note.md", "content": "x"}})
        say(session_id, json.dumps(json.loads(sys.stdin.readline()), sort_keys=True))
    if WAY == "babbles":
        sys.stdout.write("Loading weights... 100 %\n")
        say(session_id, "done")
    return {"result": {"stopReason": "max_tokens" if WAY == "runs-out" else "end_turn"}}


def serve() -> None:
    """Answer until the end of the input, and beyond it where that is the way."""
    answers = {"session/new": new_session, "session/prompt": prompt}
    for line in sys.stdin:
        message = json.loads(line)
        if "method" in message and "id" in message:
            default: Message = {"result": {"protocolVersion": 1, "agentCapabilities": {}}}
            method = message["method"]
            if method.startswith("_"):
                default = {"error": {"code": -32601, "message": f"Method not found: {method}"}}
            answer = answers[method](message) if method in answers else default
            send({"id": message["id"], **answer})


if __name__ == "__main__":
    if WAY == "stays":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if WAY == "dies":
        sys.stderr.write("cannot find my configuration\n")
        sys.exit(5)
    if WAY == "deaf":
        signal.pause()
    if WAY == "leaves-a-child" and os.fork() == 0:
        time.sleep(60)
    if WAY == "leaves-a-child":
        os._exit(7)
    serve()
    while WAY == "stays":
        signal.pause()
    os._exit(0)
