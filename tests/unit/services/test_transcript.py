"""Transcript: what each event adds to it, once, in order, however often it is told."""

from typing import Any

import pytest

from taskdock.core.errors import Transient
from taskdock.core.inputs import PermissionOption
from taskdock.ports.agent import (
    AgentEvent,
    AgentExited,
    Gap,
    ItemKind,
    PermissionAnswered,
    PermissionAsked,
    Received,
    Replied,
    StopReason,
    Update,
)
from unit.services.scripted import Script, followed, scripted_links

pytestmark = pytest.mark.anyio

OPTIONS = (
    PermissionOption("once", "Allow once", "allow_once"),
    PermissionOption("no", "Reject", "reject_once"),
)
EVENTS: tuple[AgentEvent, ...] = (
    Received(1, "msg-1"),
    Update(2, ItemKind.THOUGHT, {"text": "hm"}),
    Update(3, ItemKind.TOOL_CALL, {"id": "c1", "title": "Write"}),
    Update(3, ItemKind.DIFF, {"path": "/a"}, part=1),
    Update(3, ItemKind.DIFF, {"path": "/b"}, part=2),
    PermissionAsked(4, "g1-s1-1", "msg-1", "Dig", OPTIONS, {"id": "c1", "kind": "edit"}),
    PermissionAnswered(5, "g1-s1-1", "msg-1", "once"),
    PermissionAsked(6, "g1-s1-2", "msg-1", "Dig deeper", ()),
    PermissionAnswered(7, "g1-s1-2", "msg-1", None),
    Gap(9, after=7),
    Update(10, ItemKind.TEXT, {"text": "done"}),
    Replied(11, "msg-1", StopReason.COMPLETED, "end_turn"),
    Replied(12, "msg-2", StopReason.CANCELLED, "cancelled"),
    Replied(13, "msg-3", StopReason.FAILED, "Authentication required"),
    AgentExited(14, "The agent exited with code 3"),
)
ITEMS: list[tuple[str, Any]] = [
    ("thought", {"text": "hm"}),
    ("tool_call", {"id": "c1", "title": "Write"}),
    ("diff", {"path": "/a"}),
    ("diff", {"path": "/b"}),
    (
        "permission",
        {
            "text": "asks: Dig",
            "id": "g1-s1-1",
            "message": "msg-1",
            "title": "Dig",
            "options": [
                {"id": "once", "name": "Allow once", "kind": "allow_once"},
                {"id": "no", "name": "Reject", "kind": "reject_once"},
            ],
            "call": {"id": "c1", "kind": "edit"},
        },
    ),
    (
        "permission",
        {"text": "answered: Allow once", "id": "g1-s1-1", "message": "msg-1", "option": "once"},
    ),
    (
        "permission",
        {
            "text": "asks: Dig deeper",
            "id": "g1-s1-2",
            "message": "msg-1",
            "title": "Dig deeper",
            "options": [],
            "call": {},
        },
    ),
    ("permission", {"text": "cancelled", "id": "g1-s1-2", "message": "msg-1", "option": None}),
    ("gap", {"after": 7, "before": 9}),
    ("text", {"text": "done"}),
    ("error", {"text": "The turn failed: Authentication required", "message": "msg-3"}),
    ("error", {"text": "The agent stopped: The agent exited with code 3"}),
]


async def test_each_event_adds_its_item() -> None:
    """Every kind of event becomes what the page says, in order."""
    async with scripted_links({"tab-1": [EVENTS]}) as scripted:
        scripted.links.follow(followed())
        assert await scripted.until_said(len(ITEMS)) == ITEMS


async def test_replay_adds_nothing() -> None:
    """A stream that breaks and is replayed after any of its events gives the same items, once."""
    scripts: list[Script] = [[*EVENTS[:end], Transient("cut")] for end in range(1, len(EVENTS))]
    async with scripted_links({"tab-1": [*scripts, EVENTS]}) as scripted:
        scripted.links.follow(followed())
        await scripted.stepper.until(2 + 1)  # two questions, then the loss of the session
        assert await scripted.said() == ITEMS


EXIT = AgentExited(20, "gone")
WORD = Update(9, ItemKind.TEXT, {"text": "x"})
NEXT = Update(10, ItemKind.TEXT, {"text": "y"})


@pytest.mark.parametrize(
    ("scripts", "gaps"),
    [
        ([[Gap(9, after=0), NEXT, EXIT]], [{"after": 0, "before": 9}]),
        ([[WORD, Transient("cut")], [Gap(9, after=0), NEXT, EXIT]], []),
        ([[WORD, Transient("cut")], [Gap(12, after=0), EXIT]], [{"after": 0, "before": 12}]),
        (
            [[Gap(9, after=0), NEXT, Transient("cut")], [Gap(9, after=0), NEXT, EXIT]],
            [{"after": 0, "before": 9}],
        ),
    ],
)
async def test_gap_is_what_nobody_heard(scripts: list[Script], gaps: list[Any]) -> None:
    """A gap is told where the ring lost what the transcript has not; what was heard before it ran over is no gap."""
    async with scripted_links({"tab-1": scripts}) as scripted:
        scripted.links.follow(followed())
        await scripted.stepper.until(1)
        assert [body for kind, body in await scripted.said() if kind == "gap"] == gaps


async def test_next_process_of_ours_knows_what_was_heard() -> None:
    """After a restart of ours a ring that ran over meanwhile is a gap only beyond what the store has."""
    async with scripted_links({"tab-1": [[WORD, NEXT]]}) as scripted:
        scripted.links.follow(followed())
        await scripted.until_said(2)
    async with scripted_links({"tab-1": [[Gap(9, after=0), NEXT, EXIT]]}, scripted.store.data) as scripted:
        scripted.links.follow(followed())
        await scripted.stepper.until(1)
        assert [kind for kind, _ in await scripted.said()] == ["text", "text", "error"]


async def test_long_transcript_is_whole_and_paged() -> None:
    """Thousands of words are kept one by one, never capped or joined; pages follow each other without hole or overlap."""
    words = [Update(number, ItemKind.TEXT, {"text": str(number)}) for number in range(1, 2001)]
    async with scripted_links({"tab-1": [[*words, AgentExited(2001, "gone")]]}) as scripted:
        scripted.links.follow(followed())
        await scripted.stepper.until(1)
        read: list[Any] = []
        while page := await scripted.store.transcript("tab-1", after=len(read), limit=700):
            assert [item.position for item in page] == list(range(len(read) + 1, len(read) + 1 + len(page)))
            read += page
    assert [item.body["text"] for item in read[:-1]] == [str(number) for number in range(1, 2001)]
