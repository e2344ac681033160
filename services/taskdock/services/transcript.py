"""Transcript: what an agent's events add to the transcript of their tab.

Owns: the bodies of items that are made here (questions and their answers, errors, gaps), and every item's place among
    those of its agent process.
Never: an item changed or joined with another; what is shown of them is for those who show.
Reads as: links.py -> `item_of(event)` -> a `NewItem` for the store. The user's own words come from send_prompt.py.
"""

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from taskdock.ports.agent import (
    AgentEvent,
    AgentExited,
    Gap,
    ItemKind,
    PermissionAnswered,
    PermissionAsked,
    Replied,
    StopReason,
    Update,
)
from taskdock.ports.store import NewItem


@frozen
class Place:
    """Where items of one agent process go."""

    tab_id: str
    task_id: str
    source: str
    """The agent process."""


def item_of(event: AgentEvent, place: Place, at: datetime, *, option: str | None = None) -> NewItem | None:
    """The item that an event adds, if any. `option` is the name of the answer that it tells of, where it is known."""
    found = _body(event, option)
    if found is None:
        return None
    kind, body = found
    return NewItem(
        tab_id=place.tab_id,
        task_id=place.task_id,
        source=place.source,
        event=_key(event),
        kind=kind.value,
        body=body,
        at=at,
    )


def event_id_of(key: str) -> int:
    """The id of the event that an item was made of, from its place in its process."""
    return int(key.partition(":")[0])


def _key(event: AgentEvent) -> str:
    """Unique in its process: several items may come of one message; a gap has the id of the last message that was lost."""
    part = event.part if isinstance(event, Update) else 0
    return f"{event.event_id}:{part}" if part else str(event.event_id)


def _body(event: AgentEvent, option: str | None) -> tuple[ItemKind, Mapping[str, object]] | None:
    match event:
        case Update():
            return event.kind, dict(event.body)
        case PermissionAsked() | PermissionAnswered():
            body = _asked(event) if isinstance(event, PermissionAsked) else _answered(event, option)
            return ItemKind.PERMISSION, body
        case Replied(stop=StopReason.FAILED):
            words = f"The turn failed: {event.detail}"
            return ItemKind.ERROR, {"text": words, "message": event.request_id}
        case AgentExited():
            return ItemKind.ERROR, {"text": f"The agent stopped: {event.detail}"}
        case Gap():
            return ItemKind.GAP, {"after": event.after, "before": event.event_id}
    return None


def _asked(event: PermissionAsked) -> dict[str, object]:
    options = [{"id": one.id, "name": one.name, "kind": one.kind} for one in event.options]
    return {
        "text": f"asks: {event.title}",
        "id": event.permission_id,
        "message": event.request_id,
        "title": event.title,
        "options": options,
        "call": dict(event.call),
    }


def _answered(event: PermissionAnswered, option: str | None) -> dict[str, object]:
    words = "cancelled" if event.option_id is None else f"answered: {option or event.option_id}"
    return {
        "text": words,
        "id": event.permission_id,
        "message": event.request_id,
        "option": event.option_id,
    }
