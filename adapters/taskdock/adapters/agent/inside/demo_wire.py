"""Demo wire: the demo agent's side of JSON-RPC, whole lines out and the answers to what it asks.

Owns: `Client`, and the two ways in which a request or a turn ends early.
Never: more than the standard library (see demo_agent.py).
Reads as: demo_agent.py, demo_turn.py -> this -> stdout.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ANSWER_PACE_SECONDS = 0.03
INTERNAL_ERROR = -32603
LOGIN_REQUIRED = -32000

Message = dict[str, Any]


class Refused(Exception):
    """The request ends with this JSON-RPC error."""

    def __init__(self, code: int, text: str, details: str | None = None) -> None:
        super().__init__(text)
        self.body: Message = {"code": code, "message": text}
        if details is not None:
            self.body["data"] = {"details": details}


class Cancelled(Exception):
    """The turn was cancelled from outside."""


class Client:
    """The other side: writes whole lines, and waits for the answers to what the agent asks."""

    def __init__(self) -> None:
        self.writing = threading.Lock()
        self.answers: dict[int, queue.Queue[Message]] = {}

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one message."""
        with self.writing:
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            sys.stdout.flush()

    def ask(self, method: str, params: Message, check: Callable[[], None]) -> Message:
        """Send a request and wait for its answer, as long as `check` does not raise; the first id is 0."""
        number = len(self.answers)
        answer = self.answers[number] = queue.Queue(1)
        self.send({"id": number, "method": method, "params": params})
        while True:
            try:
                return answer.get(timeout=ANSWER_PACE_SECONDS)
            except queue.Empty:
                check()

    def take_answer(self, message: Message) -> None:
        """Hand over an answer; one that nobody asked for, or a second one, is dropped."""
        waiting = self.answers.get(message.get("id", -1))
        if waiting is not None and waiting.empty():
            waiting.put_nowait(message)
