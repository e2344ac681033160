"""Model stand-in: an OpenAI-compatible endpoint on the loopback, for agents that are to work without a network.

Owns: `ModelStandIn` and `running_model`: what was asked, and a model that runs one command and then says so.
Never: an answer to who has not the key.
Reads as: tests/e2e/test_opencode.py -> this <- the agent in a sandbox.
"""

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import field, frozen

COMMAND = "printf 'herons are patient\\n' > herons.txt"
SAID = "Written down."


@frozen
class ModelStandIn:
    """A model that runs. `asked` holds every request that had the key, `refused` counts the others."""

    url: str
    key: str = field(factory=lambda: f"sk-{secrets.token_hex(16)}")
    asked: list[dict[str, Any]] = field(factory=list)
    refused: list[str] = field(factory=list)


@contextmanager
def running_model() -> Iterator[ModelStandIn]:
    """Serve one until the end of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    server.daemon_threads = True
    model = ModelStandIn(f"http://127.0.0.1:{server.server_address[1]}/v1")
    server.model = model  # type: ignore[attr-defined] # where a handler finds it
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Answer(BaseHTTPRequestHandler):
    """One request."""

    def do_POST(self) -> None:
        """Answer as a model does that has one tool in mind."""
        model: ModelStandIn = self.server.model  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Authorization"] != f"Bearer {model.key}":
            model.refused.append(self.path)
            self.send_error(401)
            return
        asked = json.loads(body)
        model.asked.append(asked)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for piece in _pieces(asked):
            self.wfile.write(f"data: {json.dumps(piece)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


def _pieces(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A call of the tool `bash` where there is one and the last word is the user's, else words."""
    tools = [tool["function"]["name"] for tool in asked.get("tools", ())]
    if "bash" in tools and asked["messages"][-1]["role"] == "user":
        told = {"command": COMMAND, "description": "Writes the note"}
        call = {"index": 0, "id": f"call_{secrets.token_hex(6)}", "type": "function"}
        yield _piece({"tool_calls": [{**call, "function": {"name": "bash", "arguments": json.dumps(told)}}]})
        yield _piece({}, "tool_calls")
        return
    for word in SAID.split(" "):
        yield _piece({"content": f"{word} "})
    yield _piece({}, "stop")


def _piece(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": finish}
    return {"id": "one", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
