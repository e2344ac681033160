"""How messages of agents are read: what becomes an event, and what is passed over."""

import json
from typing import Any

import pytest

from taskdock.adapters.agent import acp
from taskdock.core.inputs import PermissionOption
from taskdock.ports.agent import (
    AgentEvent,
    AgentExited,
    ItemKind,
    PermissionAnswered,
    PermissionAsked,
    Received,
    Replied,
    StopReason,
    Update,
)

Message = dict[str, Any]


def read(message: Message) -> AgentEvent | None:
    """Read one message as the seventh of its ring."""
    return acp.Reader(own_prefix="tab-1-g1-s1:").event(7, message)


def update(kind: str, **fields: object) -> AgentEvent | None:
    """Read one session update."""
    params = {"sessionId": "s", "update": {"sessionUpdate": kind, **fields}}
    return read({"method": "session/update", "params": params})


@pytest.mark.parametrize(
    ("kind", "item"), [("agent_message_chunk", ItemKind.TEXT), ("agent_thought_chunk", ItemKind.THOUGHT)]
)
def test_text_keeps_its_kind(kind: str, item: ItemKind) -> None:
    """Words of the agent and its thoughts stay apart."""
    assert update(kind, content={"type": "text", "text": "hi"}) == Update(7, item, {"text": "hi"})


def test_echo_of_the_user_is_no_item() -> None:
    """The user's words are in the transcript since they were sent; an agent that repeats them adds nothing."""
    assert update("user_message_chunk", content={"type": "text", "text": "hi"}) is None


def test_other_content_is_named() -> None:
    """Content that is no text is shown by its type instead of being lost."""
    event = update("agent_message_chunk", content={"type": "image", "data": "AAAA"})
    assert event == Update(7, ItemKind.TEXT, {"text": "[image]"})


def test_plan_shows_entries() -> None:
    """A plan is its entries with their statuses, priorities left out."""
    entries = [{"content": "read", "status": "completed", "priority": "high"}, {"content": "write"}]
    shown = [{"content": "read", "status": "completed"}, {"content": "write", "status": "pending"}]
    assert update("plan", entries=entries) == Update(7, ItemKind.PLAN, {"entries": shown})


def test_tool_call_is_whole() -> None:
    """A tool call has every field, whatever the agent left out."""
    assert update("tool_call", toolCallId="c1", title="ls", rawInput={"x": 1}) == Update(
        7,
        ItemKind.TOOL_CALL,
        {"id": "c1", "title": "ls", "kind": "other", "status": "pending", "content": []},
    )


def test_tool_call_update_holds_what_changed() -> None:
    """An update of a tool call has only what changed: what is absent, or null, stays as it was."""
    event = update("tool_call_update", toolCallId="c1", status="completed", title=None)
    assert event == Update(7, ItemKind.TOOL_CALL_UPDATE, {"id": "c1", "status": "completed"})


def diff(path: str, old: str | None, new: str) -> Message:
    """Make the content of a tool call that shows a change."""
    return {"type": "diff", "path": path, "oldText": old, "newText": new}


def test_diffs_are_items_of_their_own() -> None:
    """Each diff of a tool call comes after it as an item; the call names it by its path, and keeps its other content."""
    words = {"type": "content", "content": {"type": "text", "text": "done"}}
    content = [diff("/a", None, "x"), words, diff("/b", "y", "z")]
    fields = {"sessionUpdate": "tool_call_update", "toolCallId": "c1", "content": content}
    message = {"method": "session/update", "params": {"update": fields}}
    shown = [{"type": "diff", "path": "/a"}, words, {"type": "diff", "path": "/b"}]
    both = {"id": "c1", "is_cut": False}
    assert acp.Reader("").events(7, message) == [
        Update(7, ItemKind.TOOL_CALL_UPDATE, {"id": "c1", "content": shown}),
        Update(7, ItemKind.DIFF, {"text": "/a", "path": "/a", "old": None, "new": "x", **both}, part=1),
        Update(7, ItemKind.DIFF, {"text": "/b", "path": "/b", "old": "y", "new": "z", **both}, part=2),
    ]


@pytest.mark.parametrize(
    ("old", "new"), [(None, "x" * 200_000), ("x" * 200_000, ""), ("x" * 200_000, "x" * 200_000)]
)
def test_long_diff_is_cut(old: str | None, new: str) -> None:
    """A diff keeps a bounded part of each side, and says so."""
    fields = {"sessionUpdate": "tool_call", "toolCallId": "c1", "content": [diff("/a", old, new)]}
    _, item = acp.Reader("").events(7, {"method": "session/update", "params": {"update": fields}})
    assert isinstance(item, Update)
    assert item.body["is_cut"] is True
    assert len(item.body["old"] or "") == min(len(old or ""), 100_000)
    assert len(item.body["new"]) == min(len(new), 100_000)


def test_permission_is_an_event_of_its_turn() -> None:
    """What is asked has an id of the tab, the prompt that it belongs to, its options, its call and that call's diffs."""
    options = [
        {"optionId": "once", "name": "Yes", "kind": "allow_once"},
        {"optionId": "no"},
        {"name": "odd"},
        5,
    ]
    call = {"toolCallId": "c1", "title": "Write", "kind": "edit", "content": [diff("/a", None, "x")]}
    params = {"number": 3, "prompt": "msg-1", "toolCall": call, "options": options}
    offered = (PermissionOption("once", "Yes", "allow_once"), PermissionOption("no", "no", ""))
    shown = {"id": "c1", "title": "Write", "kind": "edit", "content": [{"type": "diff", "path": "/a"}]}
    asked, change = acp.Reader("", "g1-s2-").events(7, {"method": "_taskdock/asked", "params": params})
    assert asked == PermissionAsked(7, "g1-s2-3", "msg-1", "Write", offered, shown)
    assert isinstance(change, Update)
    assert (change.kind, change.part) == (ItemKind.DIFF, 1)


@pytest.mark.parametrize("option", ["once", None])
def test_answer_is_an_event(option: str | None) -> None:
    """The end of what was asked names it as it was named, with what was chosen."""
    params = {"number": 3, "prompt": "msg-1", "option": option}
    event = acp.Reader("", "g1-s2-").event(7, {"method": "_taskdock/answered", "params": params})
    assert event == PermissionAnswered(7, "g1-s2-3", "msg-1", option)


def test_permission_without_a_name_can_be_asked_for() -> None:
    """An agent that says nothing of what it asks for, or says it at great length, is still shown."""
    nameless = read({"method": "_taskdock/asked", "params": {"number": 1, "prompt": "m"}})
    assert isinstance(nameless, PermissionAsked)
    assert (nameless.title, nameless.options) == ("Something that the agent gives no name", ())
    params = {"number": 1, "prompt": "m", "toolCall": {"title": "x" * 5000}}
    lengthy = read({"method": "_taskdock/asked", "params": params})
    assert isinstance(lengthy, PermissionAsked)
    assert len(lengthy.title) == 1000


@pytest.mark.parametrize(
    ("result", "stop", "detail"),
    [
        ({"stopReason": "end_turn"}, StopReason.COMPLETED, "end_turn"),
        ({"stopReason": "cancelled"}, StopReason.CANCELLED, "cancelled"),
        ({"stopReason": "refusal"}, StopReason.FAILED, "refusal"),
        ({"stopReason": "max_turn_requests"}, StopReason.FAILED, "max_turn_requests"),
        ({}, StopReason.FAILED, "no stop reason"),
        (None, StopReason.FAILED, "no stop reason"),
    ],
)
def test_reply_ends_the_turn(result: object, stop: StopReason, detail: str) -> None:
    """Only an end that the agent calls one is completed; a reply of no known shape has failed."""
    assert read({"id": "msg-1", "result": result}) == Replied(7, "msg-1", stop, detail)


@pytest.mark.parametrize(
    ("error", "stop", "detail"),
    [
        ({"code": -32603, "message": "Internal error"}, StopReason.FAILED, "Internal error"),
        (
            {"code": 1, "message": "Failed", "data": {"details": "no key"}},
            StopReason.FAILED,
            "Failed: no key",
        ),
        (
            {"code": 1, "message": "Failed", "data": {"message": "no key"}},
            StopReason.FAILED,
            "Failed: no key",
        ),
        ({"code": 1, "message": "Failed", "data": "no key"}, StopReason.FAILED, "Failed: no key"),
        ({"code": 1, "message": "no key", "data": "no key"}, StopReason.FAILED, "no key"),
        ({"code": 1}, StopReason.FAILED, "The agent gave no reason"),
        ("broken", StopReason.FAILED, "The agent gave no reason"),
        ({"code": -32800, "message": "Request cancelled"}, StopReason.CANCELLED, "Request cancelled"),
    ],
)
def test_error_ends_the_turn_in_the_agents_words(error: object, stop: StopReason, detail: str) -> None:
    """An error is told with its details, wherever the agent put them."""
    assert read({"id": "msg-1", "error": error}) == Replied(7, "msg-1", stop, detail)


def test_error_keeps_the_servers_tail() -> None:
    """The tail of the agent's output that the server adds is kept apart from the words."""
    error = {"code": -32000, "message": "Authentication required", "data": {"agentStderr": "try login"}}
    assert acp.error_of({"id": "n", "error": error}) == acp.JsonRpcError(
        -32000, "Authentication required", "try login"
    )
    assert acp.error_of({"id": "n", "result": {}}) is None


def test_receipt_names_the_prompt() -> None:
    """A receipt of a prompt is an event; those of our own requests, and their replies, are nobody's business."""
    assert read({"method": "_taskdock/received", "params": {"id": "msg-1"}}) == Received(7, "msg-1")
    assert read({"method": "_taskdock/received", "params": {"id": "tab-1-g1-s1:fence-1"}}) is None
    assert read({"id": "tab-1-g1-s1:new-1", "result": {"sessionId": "s"}}) is None


def test_exit_tells_the_last_words() -> None:
    """The relay's report comes first and gives the exit its words; without one, the server's code has to do."""
    reader = acp.Reader("")
    report = {"method": "_taskdock/exited", "params": {"code": 3, "stderr": "oh no\n"}}
    assert reader.event(1, report) is None
    gone = {"method": "_adapter/agent_exited", "params": {"success": False, "code": 9}}
    assert reader.event(2, gone) == AgentExited(2, "The agent exited with code 3:\noh no")
    assert read(gone) == AgentExited(7, "The agent exited with code 9")
    killed = {"method": "_adapter/agent_exited", "params": {"success": False, "code": None}}
    assert read(killed) == AgentExited(7, "The agent was killed")


def test_refused_permission_is_shown() -> None:
    """The user learns which permission was refused outside of a turn; other requests of the agent are between us and it."""
    refused = {"method": "session/request_permission", "title": "rm -rf"}
    event = read({"method": "_taskdock/refused", "params": refused})
    assert isinstance(event, Update)
    assert (event.kind, "rm -rf" in event.body["text"]) == (ItemKind.ERROR, True)
    assert read({"method": "_taskdock/refused", "params": {"method": "fs/read_text_file"}}) is None


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"method": "session/update"},
        {"method": "session/update", "params": {"update": "x"}},
        {"method": "session/update", "params": {"update": {"sessionUpdate": "available_commands_update"}}},
        {"method": "session/update", "params": [1]},
        {"method": "session/update", "params": {"update": {"sessionUpdate": ["odd"]}}},
        {"method": "session/update", "params": {"update": {"sessionUpdate": {"odd": 1}}}},
        {"method": "_taskdock/received", "params": {"id": 5}},
        {"method": "_taskdock/repeated", "params": {"id": "msg-1"}},
        {"method": "_taskdock/broken_line", "params": {"from": "server"}},
        {"method": "something/new", "params": {"a": 1}},
        {"method": 5},
        {"id": 5, "result": {}},
        {"id": None, "error": {}},
    ],
)
def test_unknown_shapes_are_passed_over(message: Message) -> None:
    """What we do not know is no event, and no error."""
    assert read(message) is None


def test_prompt_is_measured_as_it_is_sent() -> None:
    """The encoding keeps letters as they are and is one JSON object without spaces."""
    body = acp.prompt("msg-1", "s", 'é"\n')
    assert b"\xc3\xa9" in body
    assert json.loads(body) == {
        "jsonrpc": "2.0",
        "id": "msg-1",
        "method": "session/prompt",
        "params": {"sessionId": "s", "prompt": [{"type": "text", "text": 'é"\n'}]},
    }
