"""ACP: the shapes of JSON-RPC and of the Agent Client Protocol, to and from the events of the port.

Owns: what we send, and how every message of an agent, of the relay and of sandbox-agent itself is read.
Never: I/O; an exception for a message of a shape that we do not know (it is passed over).
Reads as: sandbox_agent.py -> requests made here; stream.py -> events read here.
"""

import json
from collections.abc import Mapping
from typing import Any

from attrs import define, frozen

from taskdock.ports.agent import AgentEvent, AgentExited, ItemKind, Received, Replied, StopReason, Update

Message = Mapping[str, Any]

BODY_BYTES_MAX = 2 << 20
"""What the server takes in one request, encoded; above it answers 413."""

INITIALIZE: Message = {
    "protocolVersion": 1,
    "clientCapabilities": {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False},
    "clientInfo": {"name": "taskdock", "version": "1"},
}

CLOSE = "_taskdock/close"
FENCE = "_taskdock/fence"

_REQUEST_CANCELLED = -32800
_STOPS = {"end_turn": StopReason.COMPLETED, "cancelled": StopReason.CANCELLED}
"""Every other stop reason (a limit reached, a refusal) is a turn that did not do what was asked."""

_TEXTS = {
    "agent_message_chunk": ItemKind.TEXT,
    "agent_thought_chunk": ItemKind.THOUGHT,
    "user_message_chunk": ItemKind.USER,
}
_TOOL_CALL_DEFAULTS: Message = {"title": "", "kind": "other", "status": "pending", "content": []}


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


def prompt(request_id: str, session_id: str, text: str) -> bytes:
    """Encode the prompt of one turn."""
    content = [{"type": "text", "text": text}]
    return request(request_id, "session/prompt", {"sessionId": session_id, "prompt": content})


def received_id(message: Message) -> str | None:
    """Read the id of a request that the relay reports as received; None for any other message."""
    if message.get("method") != "_taskdock/received":
        return None
    return _text(_mapping(message.get("params")).get("id"))


def replied_id(message: Message) -> str | None:
    """Read the id of the request of ours that this answers; None when it answers nothing."""
    return _text(message.get("id")) if "method" not in message else None


def is_exit(message: Message) -> bool:
    """Tell whether the server says that the agent process is gone."""
    return message.get("method") == "_adapter/agent_exited"


def error_of(reply: Message) -> JsonRpcError | None:
    """Read the error of a reply; None when it is a result."""
    if "error" not in reply:
        return None
    error = _mapping(reply["error"])
    data = error.get("data")
    details = _mapping(data).get("details") or _mapping(data).get("message") or data
    words = [_text(error.get("message")) or "The agent gave no reason"]
    if isinstance(details, str) and details not in words[0]:
        words.append(details)
    code = error.get("code")
    return JsonRpcError(
        code if isinstance(code, int) else 0, ": ".join(words), _text(_mapping(data).get("agentStderr"))
    )


@define
class Reader:
    """Turns the messages of one agent process into events, in order.

    `own_prefix` marks the ids of our own requests that are no prompts, and so nobody's business.
    """

    own_prefix: str
    last_words: str = ""

    def event(self, event_id: int, message: Message) -> AgentEvent | None:
        """Read one message; None for what concerns nobody outside."""
        params = _mapping(message.get("params"))
        match message.get("method"):
            case None:
                return self._replied(event_id, message)
            case "_taskdock/received":
                return self._received(event_id, message)
            case "_adapter/agent_exited":
                return AgentExited(event_id, self.last_words or exit_words(params))
            case "session/update":
                return _update(event_id, _mapping(params.get("update")))
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
        reason = _text(_mapping(message.get("result")).get("stopReason")) or "no stop reason"
        return Replied(event_id, request_id, _STOPS.get(reason, StopReason.FAILED), reason)


def exit_words(params: Message) -> str:
    """Say how an agent process ended, with the tail of its stderr where it is known."""
    code = params.get("code")
    words = f"The agent exited with code {code}" if code is not None else "The agent was killed"
    tail = (_text(params.get("stderr")) or "").strip()
    return f"{words}:\n{tail}" if tail else words


def _update(event_id: int, update: Message) -> Update | None:
    kind = update.get("sessionUpdate")
    if kind in _TEXTS:
        return Update(event_id, _TEXTS[kind], {"text": _words(_mapping(update.get("content")))})
    if kind == "plan":
        entries = [_mapping(entry) for entry in _list(update.get("entries"))]
        shown = [{"content": e.get("content", ""), "status": e.get("status", "pending")} for e in entries]
        return Update(event_id, ItemKind.PLAN, {"entries": shown})
    if kind == "tool_call":
        return Update(event_id, ItemKind.TOOL_CALL, {**_TOOL_CALL_DEFAULTS, **_tool_call(update)})
    if kind == "tool_call_update":
        return Update(event_id, ItemKind.TOOL_CALL_UPDATE, _tool_call(update))
    return None


def _tool_call(update: Message) -> dict[str, Any]:
    """Read the fields that are there: in an update, what is absent stays as it was."""
    fields = {name: update[name] for name in _TOOL_CALL_DEFAULTS if update.get(name) is not None}
    return {"id": _text(update.get("toolCallId")) or "", **fields}


def _words(content: Message) -> str:
    """Read the text of a content block; what is no text is named by its type."""
    text = content.get("text")
    return text if isinstance(text, str) else f"[{content.get('type', 'unknown content')}]"


def _complaint(method: object, params: Message) -> str | None:
    """Say what the relay had to do that people should know of."""
    if method == "_taskdock/refused" and params.get("method") == "session/request_permission":
        return (
            f"The agent asked for a permission ({_text(params.get('title')) or 'unnamed'}); it was not given."
        )
    if method == "_taskdock/broken_line" and params.get("from") == "agent":
        return "A line of the agent's output was no message and was dropped."
    return None


def _encode(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def _mapping(value: object) -> Message:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
