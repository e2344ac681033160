"""Demo agent: an ACP agent without a model, so that everything around an agent can be seen working without a key.

Owns: what is answered to each request of its client; the directives below are in inside/demo_directives.py.
Never: more than the standard library (it is copied into the sandbox and run by the Python found there, 3.9 or later,
    with `-S -E`); network.
Reads as: sandbox-agent -> relay.py -> this, ACP on stdin and stdout, one line of JSON-RPC each.

A prompt is answered with a thought, a plan that progresses, streamed text, tool calls with a diff, a file
`notes/<slug>.md` and a commit of it; the last text names the commit. A line of the prompt that begins with `demo:` asks
for something else:

    demo: echo TEXT       stream TEXT and end the turn
    demo: dirty           the usual work without the commit: the edit stays uncommitted
    demo: crawl SECONDS   ten words a second, for so long
    demo: flood COUNT     so many chunks as fast as they go
    demo: ask TITLE       ask for a permission (`once`, `always`, `never`) before an edit, obey and say so;
                          in the mode `auto`, and after `always`, edit without asking
    demo: settings        say which model and mode the session is set to
    demo: login TEXT      end the turn with the error -32000, as an agent does that wants a login
    demo: logout          from the next request on want a login, until `$HOME/.taskdock/demo-logged-out` is removed
    demo: error TEXT      end the turn with a JSON-RPC error
    demo: refuse          end the turn with the stop reason `refusal`
    demo: hang            stay silent until cancelled
    demo: crash           exit with code 3 in the middle of the turn

Its models are `demo-quick` and `demo-thorough`, its modes `ask` and `auto`. Sessions lie in
`$HOME/.taskdock/demo-sessions/`, so that another process can load and replay them; every prompt seen is a synced line of
`$HOME/.taskdock/demo-agent.jsonl` (session, request, first 200 characters) before anything else happens.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import uuid
from typing import TYPE_CHECKING

from taskdock.adapters.agent.inside.demo_directives import carry_out
from taskdock.adapters.agent.inside.demo_sessions import (
    MODELS,
    MODES,
    NO_SESSION,
    PROMPT_LOG_CHARACTERS,
    Session,
    log_prompt,
    require_login,
)
from taskdock.adapters.agent.inside.demo_turn import Turn
from taskdock.adapters.agent.inside.demo_wire import Client, Message, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

END_SECONDS_MAX = 0.5


class Agent:
    """The ACP side: one session record per id, one turn per session at a time."""

    def __init__(self) -> None:
        self.client = Client()
        self.sessions: dict[str, Session] = {}
        self.requests: dict[str, Callable[[Message, object], Message | None]] = {
            "initialize": self.initialize,
            "session/new": self.new_session,
            "session/load": self.load_session,
            "session/prompt": self.prompt,
            "session/set_model": self.set_model,
            "session/set_mode": self.set_mode,
        }

    def serve(self) -> None:
        """Answer until the end of the input, then let running turns end."""
        for line in sys.stdin:
            message = json.loads(line)
            if "method" not in message:
                self.client.take_answer(message)
            elif "id" in message:
                self.answer(message)
            elif message["method"] == "session/cancel":
                self.cancel(message["params"]["sessionId"])
        for session in self.sessions.values():
            turn = session.turn
            if turn is not None:
                turn.cancelled.set()
                turn.ended.wait(END_SECONDS_MAX)

    def answer(self, message: Message) -> None:
        """Answer one request; a prompt is answered by its turn."""
        try:
            method = self.requests.get(message["method"], self.unknown)
            result = method(message.get("params") or {}, message["id"])
        except Refused as refusal:
            self.client.send({"id": message["id"], "error": refusal.body})
            return
        if result is not None:
            self.client.send({"id": message["id"], "result": result})

    def unknown(self, _: Message, __: object) -> None:
        """Refuse a method that we do not have."""
        raise Refused(-32601, "Method not found")

    def initialize(self, _: Message, __: object) -> Message:
        """Say who we are."""
        return {
            "protocolVersion": 1,
            "agentCapabilities": {"loadSession": True},
            "agentInfo": {"name": "taskdock-demo", "version": "1"},
            "authMethods": [],
        }

    def new_session(self, params: Message, _: object) -> Message:
        """Begin a session."""
        require_login()
        session = Session(f"demo-{uuid.uuid4().hex}", params["cwd"])
        session.record.touch()
        self.sessions[session.id] = session
        return {"sessionId": session.id, **session.offer}

    def load_session(self, params: Message, _: object) -> Message:
        """Replay a session of this or of an earlier process."""
        require_login()
        session_id = params["sessionId"]
        session = self.sessions.get(session_id) or Session.load(session_id, params["cwd"])
        self.sessions[session_id] = session
        for line in session.lines():
            if "sessionUpdate" in line:
                body = {"sessionId": session_id, "update": line}
                self.client.send({"method": "session/update", "params": body})
        return session.offer

    def set_model(self, params: Message, _: object) -> Message:
        """Choose a model."""
        self.session(params).choose("model", params.get("modelId"), MODELS)
        return {}

    def set_mode(self, params: Message, _: object) -> Message:
        """Choose a mode."""
        self.session(params).choose("mode", params.get("modeId"), MODES)
        return {}

    def session(self, params: Message) -> Session:
        """Find the session that a request is about."""
        session = self.sessions.get(params["sessionId"])
        if session is None:
            raise Refused(NO_SESSION, f"There is no session {params['sessionId']}")
        return session

    def prompt(self, params: Message, request: object) -> None:
        """Begin a turn; the prompt is on disk before anything else happens."""
        session = self.session(params)
        text = "\n".join(block.get("text", "") for block in params["prompt"])
        log_prompt({"session": session.id, "request": request, "text": text[:PROMPT_LOG_CHARACTERS]})
        require_login()
        if session.turn is not None:
            raise Refused(-32600, "A turn is running in this session")
        session.keep({"sessionUpdate": "user_message_chunk", "content": {"type": "text", "text": text}})
        session.turn = Turn(self.client, session, text, carry_out)
        session.turn.start(request)

    def cancel(self, session_id: str) -> None:
        """Cancel the session's turn, if one runs."""
        session = self.sessions.get(session_id)
        turn = session.turn if session is not None else None
        if turn is not None:
            turn.cancelled.set()


def die_loudly(failure: threading.ExceptHookArgs) -> None:
    """End the process when a turn breaks in a way that nobody thought of: a turn must not stay open for ever."""
    sys.__excepthook__(failure.exc_type, failure.exc_value or failure.exc_type(), failure.exc_traceback)
    sys.stderr.flush()
    os._exit(70)


if __name__ == "__main__":
    threading.excepthook = die_loudly
    Agent().serve()
    # Not the ordinary end: a turn that did not stop in time may hold stdout, and the interpreter would wait for it.
    os._exit(0)
