"""ACP: the shapes of JSON-RPC and of the Agent Client Protocol, to and from the events of the port.

Owns: what we send, and how every message of an agent, of the relay and of sandbox-agent itself is read.
Never: I/O; an exception for a message of a shape that we do not know (it is passed over).
Reads as: sandbox_agent.py -> requests made here; stream.py -> events read here.
"""

import json

from attrs import define, frozen

from taskdock.adapters.agent.items import item_of, permission_answered, permission_asked, tool_call_diffs
from taskdock.adapters.agent.shapes import Message, mapping, text
from taskdock.ports.agent import (
    AgentEvent,
    AgentExited,
    ItemKind,
    Received,
    Replied,
    StopReason,
    Update,
)

BODY_BYTES_MAX = 2 << 20
"""What the server takes in one request, encoded; above it answers 413."""

INITIALIZE: Message = {
    "protocolVersion": 1,
    "clientCapabilities": {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False},
    "clientInfo": {"name": "taskdock", "version": "1"},
}

ANSWER = "_taskdock/answer"
CLOSE = "_taskdock/close"
FENCE = "_taskdock/fence"
SESSION = "_taskdock/session"

_REQUEST_CANCELLED = -32800
_STOPS = {"end_turn": StopReason.COMPLETED, "cancelled": StopReason.CANCELLED}
"""Every other stop reason (a limit reached, a refusal) is a turn that did not do what was asked."""


@frozen
class JsonRpcError:
    """An agent's refusal, in its own words; `stderr` is the tail of its output where the server knows it."""

    code: int
    text: str
    stderr: str | None = None


def request(request_id: str, method: str, params: Message) -> bytes:
    """Encode a request."""
    return _encode({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})


def notification(method: str, params: Message) -> bytes:
    """Encode a notification."""
    return _encode({"jsonrpc": "2.0", "method": method, "params": params})


def prompt(request_id: str, session_id: str, words: str) -> bytes:
    """Encode the prompt of one turn."""
    content = [{"type": "text", "text": words}]
    return request(request_id, "session/prompt", {"sessionId": session_id, "prompt": content})


def received_id(message: Message) -> str | None:
    """Read the id of a request that the relay reports as received; None for any other message."""
    if message.get("method") != "_taskdock/received":
        return None
    return text(mapping(message.get("params")).get("id"))


def replied_id(message: Message) -> str | None:
    """Read the id of the request of ours that this answers; None when it answers nothing."""
    return text(message.get("id")) if "method" not in message else None


def is_exit(message: Message) -> bool:
    """Tell whether the server says that the agent process is gone."""
    return message.get("method") == "_adapter/agent_exited"


def error_of(reply: Message) -> JsonRpcError | None:
    """Read the error of a reply; None when it is a result."""
    if "error" not in reply:
        return None
    error = mapping(reply["error"])
    data = error.get("data")
    details = mapping(data).get("details") or mapping(data).get("message") or data
    words = [text(error.get("message")) or "The agent gave no reason"]
    if isinstance(details, str) and details not in words[0]:
        words.append(details)
    code = error.get("code")
    return JsonRpcError(
        code if isinstance(code, int) else 0, ": ".join(words), text(mapping(data).get("agentStderr"))
    )


@define
class Reader:
    """Turns the messages of one agent process into events, in order.

    `own_prefix` marks the ids of our own requests that are no prompts, and so nobody's business. `ask_prefix` begins the
    ids of permissions.
    """

    own_prefix: str
    ask_prefix: str = ""
    last_words: str = ""

    def events(self, event_id: int, message: Message) -> list[AgentEvent]:
        """Read one message; nothing for what concerns nobody outside, several events where it shows files too."""
        event = self.event(event_id, message)
        if event is None:
            return []
        params = mapping(message.get("params"))
        call = mapping(params.get("update") if isinstance(event, Update) else params.get("toolCall"))
        return [event, *tool_call_diffs(event_id, call)]

    def event(self, event_id: int, message: Message) -> AgentEvent | None:
        """Read what a message is first of all; None for what concerns nobody outside."""
        params = mapping(message.get("params"))
        match message.get("method"):
            case None:
                return self._replied(event_id, message)
            case "_taskdock/received":
                return self._received(event_id, message)
            case "_taskdock/asked" | "_taskdock/answered" as method:
                read = permission_asked if method == "_taskdock/asked" else permission_answered
                return read(event_id, self.ask_prefix, params)
            case "_adapter/agent_exited":
                return AgentExited(event_id, self.last_words or exit_words(params))
            case "session/update":
                return item_of(event_id, mapping(params.get("update")))
            case "_taskdock/exited":
                self.last_words = exit_words(params)
        complaint = _complaint(message.get("method"), params)
        return Update(event_id, ItemKind.ERROR, {"text": complaint}) if complaint else None

    def _received(self, event_id: int, message: Message) -> Received | None:
        request_id = received_id(message)
        if request_id is None or request_id.startswith(self.own_prefix):
            return None
        return Received(event_id, request_id)

    def _replied(self, event_id: int, message: Message) -> Replied | None:
        request_id = replied_id(message)
        if request_id is None or request_id.startswith(self.own_prefix):
            return None
        error = error_of(message)
        if error is not None:
            stop = StopReason.CANCELLED if error.code == _REQUEST_CANCELLED else StopReason.FAILED
            return Replied(event_id, request_id, stop, error.text)
        reason = text(mapping(message.get("result")).get("stopReason")) or "no stop reason"
        return Replied(event_id, request_id, _STOPS.get(reason, StopReason.FAILED), reason)


def exit_words(params: Message) -> str:
    """Say how an agent process ended, with the tail of its stderr where it is known."""
    code = params.get("code")
    words = f"The agent exited with code {code}" if code is not None else "The agent was killed"
    tail = (text(params.get("stderr")) or "").strip()
    return f"{words}:\n{tail}" if tail else words


def _complaint(method: object, params: Message) -> str | None:
    """Say what the relay had to do that people should know of."""
    if method == "_taskdock/refused" and params.get("method") == "session/request_permission":
        return (
            f"The agent asked for a permission outside of a turn ({text(params.get('title')) or 'unnamed'}); "
            "it was not given."
        )
    if method == "_taskdock/broken_line" and params.get("from") == "agent":
        return "A line of the agent's output was no message and was dropped."
    return None


def _encode(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()
