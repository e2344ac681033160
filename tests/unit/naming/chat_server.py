"""Chat server: a chat completion endpoint on this machine, which answers what a test tells it to.

Owns: `ChatServer`, its script and what it was asked.
Never: a network beyond the loopback, a model.
Reads as: tests/unit/naming/test_chat.py -> this <- ChatNamer.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import field, mutable


def completion(content: object) -> bytes:
    """What an endpoint answers when its model says this."""
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()


@mutable(eq=False)
class ChatServer:
    """One endpoint: `status`, `headers` and `body` are what it answers; a body of None is never sent."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(factory=dict)
    body: bytes | None = completion('{"title": "Greet in French", "slug": "greet-in-french"}')
    asked: list[dict[str, Any]] = field(factory=list)
    """The bodies of the requests."""
    keys: list[str | None] = field(factory=list)
    """Their Authorization headers."""
    released: threading.Event = field(factory=threading.Event)
    """Set at the end, so that a request which is never answered ends with its test."""


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """Serve until the block is left."""
    told = ChatServer()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            told.asked.append(json.loads(self.rfile.read(length)))
            told.keys.append(self.headers["Authorization"])
            if told.body is None:
                told.released.wait(30)
                return
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(told.body)))
            self.end_headers()
            self.wfile.write(told.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    told.url = f"http://127.0.0.1:{server.server_port}/v1/chat/completions"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield told
    finally:
        told.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
