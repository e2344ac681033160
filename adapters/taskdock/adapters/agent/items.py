"""Items: what an agent says and does, read for the transcript.

Owns: the bodies of updates, diffs and permissions, and how much of a diff is kept.
Never: I/O; an exception for a shape that we do not know; the user's words, which the sender of a prompt writes down.
Reads as: acp.py -> this -> the events of the port.
"""

from typing import Any

from taskdock.adapters.agent.shapes import Message, mapping, objects, text
from taskdock.core.inputs import PermissionOption
from taskdock.ports.agent import ItemKind, PermissionAnswered, PermissionAsked, Update

DIFF_CHARACTERS_MAX = 100_000
"""Of each side of a diff; the files themselves are in the checkout."""
TITLE_CHARACTERS_MAX = 1_000
OPTIONS_MAX = 20

_TEXTS = {"agent_message_chunk": ItemKind.TEXT, "agent_thought_chunk": ItemKind.THOUGHT}
"""An agent's `user_message_chunk` is an echo of what is in the transcript already."""
_TOOL_CALL_DEFAULTS: Message = {"title": "", "kind": "other", "status": "pending", "content": []}


def item_of(event_id: int, update: Message) -> Update | None:
    """Read a `session/update`; None for what is nothing to show."""
    kind = update.get("sessionUpdate")
    if not isinstance(kind, str):
        return None
    if kind in _TEXTS:
        return Update(event_id, _TEXTS[kind], {"text": _words(mapping(update.get("content")))})
    if kind == "plan":
        shown = [
            {"content": entry.get("content", ""), "status": entry.get("status", "pending")}
            for entry in objects(update.get("entries"))
        ]
        return Update(event_id, ItemKind.PLAN, {"entries": shown})
    if kind == "tool_call":
        return Update(event_id, ItemKind.TOOL_CALL, {**_TOOL_CALL_DEFAULTS, **_tool_call(update)})
    if kind == "tool_call_update":
        return Update(event_id, ItemKind.TOOL_CALL_UPDATE, _tool_call(update))
    return None


def tool_call_diffs(event_id: int, call: Message) -> list[Update]:
    """Read the changes of files that a tool call shows, each as an item of its own."""
    shown = [one for one in objects(call.get("content")) if one.get("type") == "diff"]
    return [
        Update(event_id, ItemKind.DIFF, _diff(call, one), part) for part, one in enumerate(shown, start=1)
    ]


def permission_asked(event_id: int, prefix: str, params: Message) -> PermissionAsked:
    """Read what the relay tells of an ask; its number makes the permission's id."""
    call = mapping(params.get("toolCall"))
    title = text(call.get("title")) or "Something that the agent gives no name"
    options = [
        PermissionOption(id_, text(one.get("name")) or id_, text(one.get("kind")) or "")
        for one in objects(params.get("options"))[:OPTIONS_MAX]
        if (id_ := text(one.get("optionId"))) is not None
    ]
    return PermissionAsked(
        event_id,
        f"{prefix}{params.get('number')}",
        text(params.get("prompt")) or "",
        title[:TITLE_CHARACTERS_MAX],
        tuple(options),
        _tool_call(call),
    )


def permission_answered(event_id: int, prefix: str, params: Message) -> PermissionAnswered:
    """Read what the relay tells of the end of an ask."""
    permission_id, request_id = f"{prefix}{params.get('number')}", text(params.get("prompt")) or ""
    return PermissionAnswered(event_id, permission_id, request_id, text(params.get("option")))


def _tool_call(update: Message) -> dict[str, Any]:
    """Read the fields that are there: in an update, what is absent stays as it was. A diff is named by its path."""
    fields = {name: update[name] for name in _TOOL_CALL_DEFAULTS if update.get(name) is not None}
    if isinstance(content := fields.get("content"), list):
        fields["content"] = [
            {"type": "diff", "path": one.get("path")} if mapping(one).get("type") == "diff" else one
            for one in content
        ]
    return {"id": text(update.get("toolCallId")) or "", **fields}


def _diff(call: Message, content: Message) -> dict[str, Any]:
    old, new, path = (
        text(content.get("oldText")),
        text(content.get("newText")) or "",
        text(content.get("path")),
    )
    return {
        "text": path or "",
        "id": text(call.get("toolCallId")) or "",
        "path": path or "",
        "old": None if old is None else old[:DIFF_CHARACTERS_MAX],
        "new": new[:DIFF_CHARACTERS_MAX],
        "is_cut": max(len(old or ""), len(new)) > DIFF_CHARACTERS_MAX,
    }


def _words(content: Message) -> str:
    """Read the text of a content block; what is no text is named by its type."""
    words = content.get("text")
    return words if isinstance(words, str) else f"[{content.get('type', 'unknown content')}]"
