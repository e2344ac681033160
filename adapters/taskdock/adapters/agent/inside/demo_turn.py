"""Demo turn: one prompt that the demo agent works on, word by word.

Owns: how a turn speaks (text, plan, tool calls, questions), and that a cancel takes effect between two words.
Never: more than the standard library (see demo_agent.py); a word that the session's record lacks.
Reads as: demo_agent.py starts a thread -> `Turn.run` -> a directive (demo_directives.py) -> the client.
"""

from __future__ import annotations

import re
import subprocess
import threading
import uuid
from typing import TYPE_CHECKING

from taskdock.adapters.agent.inside.demo_checkout import text_content
from taskdock.adapters.agent.inside.demo_wire import INTERNAL_ERROR, Cancelled, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskdock.adapters.agent.inside.demo_sessions import Session
    from taskdock.adapters.agent.inside.demo_wire import Client, Message

PACE_SECONDS = 0.03


class Turn:
    """One prompt being worked on; every word goes through here so that a cancel takes effect between two words."""

    def __init__(self, client: Client, session: Session, prompt: str, work: Callable[[Turn], str]) -> None:
        self.client = client
        self.session = session
        self.prompt = prompt
        self.work = work
        self.cancelled = threading.Event()
        self.ended = threading.Event()

    def start(self, request: object) -> None:
        """Work in a thread of its own, so that a cancel can be heard."""
        threading.Thread(target=self.run, args=(request,), daemon=True).start()

    def update(self, update: Message) -> None:
        """Send one `session/update` and keep it."""
        self.session.keep(update)
        self.client.send(
            {"method": "session/update", "params": {"sessionId": self.session.id, "update": update}}
        )

    def pause(self, seconds: float = PACE_SECONDS) -> None:
        """Wait; `Cancelled` at once when the turn is cancelled."""
        if self.cancelled.wait(seconds):
            raise Cancelled

    def chunk(self, text: str, kind: str = "agent_message_chunk") -> None:
        """Send one piece of text."""
        self.update({"sessionUpdate": kind, "content": {"type": "text", "text": text}})

    def say(self, text: str, kind: str = "agent_message_chunk") -> None:
        """Stream a text word by word."""
        for word in re.findall(r"\s*\S+\s*$|\s*\S+", text):
            self.chunk(word, kind)
            self.pause()

    def plan(self, steps: Sequence[str], done: int) -> None:
        """Show the plan with its first `done` steps completed."""
        entries = [
            {"content": step, "status": progress_of(number - done), "priority": "medium"}
            for number, step in enumerate(steps)
        ]
        self.update({"sessionUpdate": "plan", "entries": entries})
        self.pause()

    def call(self, title: str, kind: str, work: Callable[[], list[Message]]) -> None:
        """Show a tool call around `work`, which returns its content; one that raises is shown as failed."""
        call_id = f"call-{uuid.uuid4().hex[:12]}"
        call = {"sessionUpdate": "tool_call", "toolCallId": call_id, "title": title, "kind": kind}
        self.update({**call, "status": "in_progress"})
        self.pause()
        end: Message = {"sessionUpdate": "tool_call_update", "toolCallId": call_id}
        try:
            content = work()
        except (OSError, subprocess.SubprocessError) as error:
            self.update({**end, "status": "failed", "content": [text_content(str(error))]})
            raise Refused(INTERNAL_ERROR, f"{title}: {error}") from error
        self.update({**end, "status": "completed", "content": content})
        self.pause()

    def run(self, request: object) -> None:
        """Work on the prompt and answer its request."""
        try:
            stop_reason = self.work(self)
        except Cancelled:
            stop_reason = "cancelled"
        except Refused as refusal:
            self.finish({"id": request, "error": refusal.body})
            return
        self.finish({"id": request, "result": {"stopReason": stop_reason}})

    def finish(self, answer: Message) -> None:
        """Free the session before its client can send the next prompt."""
        self.session.turn = None
        self.client.send(answer)
        self.ended.set()


def progress_of(distance: int) -> str:
    """Say how far a step of the plan is, by its distance from the one being worked on."""
    return "in_progress" if distance == 0 else "completed" if distance < 0 else "pending"
