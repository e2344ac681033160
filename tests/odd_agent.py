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
from collections.abc import Callable
from typing import Any

WAY = sys.argv[1] if len(sys.argv) > 1 else ""
Message = dict[str, Any]
CONFIG_OPTIONS = [
    {"id": "llm", "category": "model", "type": "select", "options": [{"value": "small"}, {"value": "big"}]},
    {"id": "perm", "category": "mode", "options": [{"group": "g", "options": [{"value": "plan"}]}]},
]
ODD_UPDATES: list[Any] = [
    None,
    [],
    {"sessionUpdate": ["agent_message_chunk"]},
    {"sessionUpdate": {"a": 1}},
    {"sessionUpdate": "agent_message_chunk", "content": "no block"},
    {"sessionUpdate": "plan", "entries": {"content": "no list"}},
    {"sessionUpdate": "plan", "entries": ["no entry"]},
    {"sessionUpdate": "tool_call", "toolCallId": 7, "title": {"a": 1}, "content": {"type": "diff"}},
    {"sessionUpdate": "tool_call_update", "toolCallId": None, "content": ["x", {"type": "diff", "path": 5}]},
    {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "\ud800"}},
    {"sessionUpdate": "tool_call", "toolCallId": "c", "title": "t", "kind": float("nan")},
]
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
    if WAY == "asks-outside":
        ask()
    offer = {"configOptions": CONFIG_OPTIONS} if WAY == "config-options" else {}
    return {"result": {"sessionId": f"odd-{len(seen)}", **offer}}


def ask() -> None:
    """Ask for a permission, always under the id 0."""
    options = [{"optionId": "yes", "name": "Yes", "kind": "allow_once"}]
    params = {"sessionId": "odd-1", "toolCall": {"toolCallId": "c", "title": "Dig"}, "options": options}
    send({"id": 0, "method": "session/request_permission", "params": params})


def load_session(message: Message) -> Message:
    """Answer `session/load`, and repeat the past before the answer and after it."""
    session_id = message["params"]["sessionId"]
    if WAY == "cannot-load-this":
        return {"error": {"code": -32002, "message": "Session expired"}}
    seen.append(session_id)
    say(session_id, "the past")
    send({"id": message["id"], "result": None})
    say(session_id, "more of the past")
    return {}


def set_option(message: Message) -> Message:
    """Answer `session/set_config_option`."""
    seen.append(f"{message['params']['configId']}={message['params']['value']}")
    return {"result": {"configOptions": CONFIG_OPTIONS}}


def writes_through_client(session_id: str) -> None:
    """Ask the client to write a file, and say what it answered."""
    send({"id": 0, "method": "fs/write_text_file", "params": {"path": "note.md", "content": "x"}})
    say(session_id, json.dumps(json.loads(sys.stdin.readline()), sort_keys=True))


def asks_twice(session_id: str) -> None:
    """Ask twice, and say each answer."""
    for _ in range(2):
        asks_patiently(session_id)


def asks_patiently(session_id: str) -> None:
    """Ask, listen to nothing but the answer, and say it."""
    ask()
    while "result" not in (line := json.loads(sys.stdin.readline())):
        continue
    say(session_id, json.dumps(line["result"]["outcome"]))


def speaks_oddly(session_id: str) -> None:
    """Send what no agent should, then say that it is done."""
    for update in ODD_UPDATES:
        send({"method": "session/update", "params": {"sessionId": session_id, "update": update}})
    say(session_id, "done")


def babbles(session_id: str) -> None:
    """Write a line that is no message."""
    sys.stdout.write("Loading weights... 100 %\n")
    say(session_id, "done")


TURNS: dict[str, Callable[[str], None]] = {
    "writes-through-client": writes_through_client,
    "asks-twice": asks_twice,
    "asks-patiently": asks_patiently,
    "asks-and-ends": lambda _: ask(),
    "config-options": lambda session_id: say(session_id, " ".join(seen)),
    "speaks-oddly": speaks_oddly,
    "babbles": babbles,
}


def prompt(message: Message) -> Message:
    """Answer a prompt with what the way asks for; nothing at all where that is to be silence."""
    if WAY == "deaf-until-loaded":
        if message["params"]["sessionId"] not in seen:
            return {}
        say(message["params"]["sessionId"], "I am back")
    if WAY in TURNS:
        TURNS[WAY](message["params"]["sessionId"])
    return {"result": {"stopReason": "max_tokens" if WAY == "runs-out" else "end_turn"}}


def serve() -> None:
    """Answer until the end of the input, and beyond it where that is the way."""
    answers = {
        "session/new": new_session,
        "session/prompt": prompt,
        "session/load": load_session,
        "session/set_config_option": set_option,
    }
    for line in sys.stdin:
        message = json.loads(line)
        if "method" in message and "id" in message:
            abilities = {"loadSession": True} if "load" in WAY else {}
            default: Message = {"result": {"protocolVersion": 1, "agentCapabilities": abilities}}
            method = message["method"]
            if method.startswith("_"):
                default = {"error": {"code": -32601, "message": f"Method not found: {method}"}}
            answer = answers[method](message) if method in answers else default
            if answer:
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
