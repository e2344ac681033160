"""Story: the life of one task as its history tells it, for tests of what is shown.

Owns: the records and events of that life, and how they come out of a feed.
Never: a clock; every moment is seconds after the beginning.
Reads as: test_live.py, test_views.py, test_screen.py -> this.
"""

from datetime import UTC, datetime, timedelta

from taskdock.adapters.entry.cli.live import Live, take
from taskdock.core.history import HistoryEvent, HistoryKind, Json
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from taskdock.ports.store import Item, StoredEvent
from taskdock.services.feed import Happened

T0 = datetime(2026, 1, 1, tzinfo=UTC)
TASK = Task(
    id="task-1",
    workspace="default",
    owner="owner",
    repo_id="repo-1",
    provider="local",
    agent="demo",
    first_message_id="message-1",
    title="A title",
    created_at=T0,
    updated_at=T0,
    at="running",
)
TAB = Tab("tab-1", "task-1", 1, "Tab 1", "demo", T0, T0, at="ready")

Event = tuple[float, HistoryKind, dict[str, Json]]

UP: list[Event] = [
    (0.0, HistoryKind.TASK_CREATED, {"repo": "repo-1"}),
    (0.0, HistoryKind.TASK_PROVISION_QUEUED, {}),
    (1.0, HistoryKind.TASK_STEP_STARTED, {"step": "init_ensure_name"}),
    (1.5, HistoryKind.TASK_NAMED, {"branch": "fix-it", "base": "main", "note": None}),
    (1.5, HistoryKind.TASK_STEP_STARTED, {"step": "init_create_sandbox/create"}),
    (4.0, HistoryKind.SANDBOX_CREATED, {"sandbox": "td-1", "generation": 1}),
    (4.0, HistoryKind.TASK_STEP_STARTED, {"step": "init_ensure_agent"}),
    (4.5, HistoryKind.TASK_STEP_STARTED, {"step": "init_create_session"}),
    (5.0, HistoryKind.TASK_RUNNING, {}),
]
"""How a task comes up, at which second."""


def at(seconds: float) -> datetime:
    """A moment of the story."""
    return T0 + timedelta(seconds=seconds)


def happened(number: int, event: Event, boundary: str = "task-1") -> Happened:
    """An event as the feed gives it."""
    seconds, kind, data = event
    return Happened(number, StoredEvent(number, boundary, HistoryEvent(kind, at(seconds), None, data)))


def told(events: list[Event], live: Live | None = None) -> tuple[Live, list[str]]:
    """Take events one after the other; the picture and every line in order."""
    live, lines = live or Live("task-1"), []
    for event in events:
        taken = take(live, happened(live.event_number + 1, event))
        live = taken.live
        lines += [line.text for line in taken.lines]
    return live, lines


def item(kind: str, tab: str = "tab-1", **body: object) -> Item:
    """A transcript item as it is stored."""
    return Item(tab, 1, "agent", kind, body, T0)
