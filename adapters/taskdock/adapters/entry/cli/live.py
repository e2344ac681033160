"""Live: what a person sees of one task while it is driven, as a value that each change of the feed makes anew.

Owns: `Live`, its rows (one per step) and `take`, which is pure.
Never: a clock, a terminal or a read; what it is given is what the feed gives.
Reads as: following.py -> `take(live, seen)` -> the next Live, and what is new in it -> plain.py, screen.py.

Rule 1. Rows come from history, so a step that was over before anybody looked has its duration all the same.
Rule 2. An event, or a transcript item, that was taken before changes nothing: a snapshot and the feed may overlap.
Rule 3. What is new is either about a step, which a screen shows in its rows, or about the task, which everybody prints.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum

from attrs import evolve, field, frozen

from taskdock.adapters.entry.cli import sayings
from taskdock.core.history import HistoryKind
from taskdock.core.message import Message
from taskdock.core.repo import Repo
from taskdock.core.tab import Tab
from taskdock.core.task_record import ATTACH, WAIT_REPO, Task
from taskdock.ports.store import Item, Snapshot, StoredEvent, Versioned
from taskdock.services.feed import Happened, RecordChanged, Reset, Seen

PROVISIONING = (
    "init_enqueue_provision",
    "init_ensure_name",
    "init_create_sandbox",
    "init_ensure_agent",
    "init_create_session",
)


class RowStatus(Enum):
    """Where a step is."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"


@frozen
class Row:
    """One step. `note` is what it brought, `trouble` why its last attempt failed."""

    name: str
    status: RowStatus = RowStatus.WAITING
    started_at: datetime | None = None
    ended_at: datetime | None = None
    attempt: int = 1
    note: str | None = None
    trouble: str | None = None


@frozen
class Line:
    """Something new to say; `of_step` when the rows say it as well."""

    text: str
    of_step: bool = False


@frozen
class Live:
    """One task as it is seen. Records are the newest that were given; `task` is None before the first."""

    task_id: str
    task: Task | None = None
    tabs: Mapping[str, Tab] = field(factory=dict)
    messages: Mapping[str, Message] = field(factory=dict)
    repo: Repo | None = None
    waits_for: str | None = None
    """What the step under way waits for, when somebody asked since the task last changed."""
    rows: tuple[Row, ...] = ()
    ends: Mapping[str, str] = field(factory=dict)
    """By message: how its turn ended."""
    event_number: int = 0
    """Of the newest history event that was taken."""
    positions: Mapping[str, int] = field(factory=dict)
    """By tab: of the newest transcript item that was taken."""


@frozen
class Taken:
    """The next Live, and what is new in it."""

    live: Live
    lines: tuple[Line, ...] = ()
    items: tuple[Item, ...] = ()


def take(live: Live, seen: Seen) -> Taken:
    """Take what the feed gave into the picture."""
    if isinstance(seen, Snapshot):
        for versioned in seen.records:
            live = _with_record(live, versioned)
        return Taken(live)
    if isinstance(seen, RecordChanged):
        return Taken(_with_record(live, seen.changed))
    if isinstance(seen, Happened):
        return _take_event(live, seen.happened)
    if isinstance(seen, Reset):
        return Taken(live)  # the snapshot that follows replaces what is shown
    return _take_items(live, seen.tab_id, seen.items)


def _with_record(live: Live, versioned: Versioned) -> Live:
    record = versioned.record
    if isinstance(record, Task) and record.id == live.task_id:
        return evolve(live, task=record, waits_for=record.step.waits_for if record.step else None)
    if isinstance(record, Tab) and record.task_id == live.task_id:
        return evolve(live, tabs={**live.tabs, record.id: record})
    if isinstance(record, Message) and record.task_id == live.task_id:
        return evolve(live, messages={**live.messages, record.id: record})
    if isinstance(record, Repo) and live.task is not None and record.id == live.task.repo_id:
        return evolve(live, repo=record)
    return live


def _take_items(live: Live, tab_id: str, items: Sequence[Item]) -> Taken:
    known = live.positions.get(tab_id, 0)
    new = tuple(item for item in items if item.position > known)
    if not new:
        return Taken(live)
    return Taken(evolve(live, positions={**live.positions, tab_id: new[-1].position}), items=new)


def _take_event(live: Live, stored: StoredEvent) -> Taken:
    if stored.boundary != live.task_id or stored.number <= live.event_number:
        return Taken(live)
    before = live.rows
    live = evolve(
        live,
        event_number=stored.number,
        rows=_rows_after(before, stored),
        ends=_ends_after(live.ends, stored),
    )
    return Taken(live, (*_ended_rows(before, live.rows), *_told(stored, live)))


_NOTED = {
    HistoryKind.TASK_ATTACHED: ATTACH,
    HistoryKind.TASK_NAMED: "init_ensure_name",
    HistoryKind.SANDBOX_CREATED: "init_create_sandbox",
    HistoryKind.SANDBOX_ADOPTED: "init_create_sandbox",
}
"""What the row of a step carries as its note."""


def _told(stored: StoredEvent, live: Live) -> tuple[Line, ...]:
    """The sentence of an event, if it has one and no row says it when its step ends."""
    sentence = sayings.of_event(stored.event)
    if sentence is None or stored.event.kind in _NOTED:
        return ()
    step = _row_name(str(stored.event.data.get("step", "")))
    has_row = any(row.name == step for row in live.rows)
    return (Line(sentence, of_step=has_row and stored.event.kind is HistoryKind.TASK_STEP_FAILED),)


def _ended_rows(before: Sequence[Row], after: Sequence[Row]) -> list[Line]:
    """Each step whose end this event was, once, with its duration and what it brought."""
    known = {(row.name, row.started_at) for row in before if row.ended_at is not None}
    return [
        Line(sayings.of_row(row.name, row.ended_at - row.started_at, _outcome(row)), of_step=True)
        for row in after
        if row.started_at and row.ended_at and (row.name, row.started_at) not in known
    ]


def _outcome(row: Row) -> str:
    return "failed" if row.status is RowStatus.FAILED else row.note or ""


# Rows

_LEAVING = ("stopping/", "archiving/", "killing/")
"""Each of these takes the place of whatever was under way, so its rows take the place of the others."""

_BEGINNINGS = (HistoryKind.TASK_RESUMED, HistoryKind.TASK_UNARCHIVED)
"""What was before is over."""


def _row_name(step: str) -> str:
    """The row that a step of the machine belongs to: provisioning shows the words of the contract."""
    return step.partition("/")[0] if step.startswith("init_") else step


_ENDINGS = {
    HistoryKind.TASK_RUNNING: RowStatus.DONE,
    HistoryKind.TASK_STOPPED: RowStatus.DONE,
    HistoryKind.TASK_ARCHIVED: RowStatus.DONE,
    HistoryKind.TASK_KILLED: RowStatus.DONE,
    HistoryKind.TASK_FAILED: RowStatus.FAILED,
}


def _rows_after(rows: tuple[Row, ...], stored: StoredEvent) -> tuple[Row, ...]:
    kind, at, data = stored.event.kind, stored.event.at, stored.event.data
    if kind in _ENDINGS:
        return tuple(_ended(row, _ENDINGS[kind], at) for row in rows)
    if kind in _BEGINNINGS:
        return ()
    if kind is HistoryKind.TASK_CREATED:
        return _working(tuple(Row(name) for name in PROVISIONING), PROVISIONING[0], at)
    if kind is HistoryKind.TASK_PROVISION_QUEUED:
        return _working(rows, PROVISIONING[0], at)
    if kind is HistoryKind.TASK_STEP_STARTED:
        return _working(rows, _row_name(str(data["step"])), at)
    return _with_note(rows, stored)


def _with_note(rows: tuple[Row, ...], stored: StoredEvent) -> tuple[Row, ...]:
    """What a step brought, or why an attempt of it failed, beside its row."""
    kind, data = stored.event.kind, stored.event.data
    if kind is HistoryKind.TASK_STEP_FAILED:
        name, why = _row_name(str(data["step"])), sayings.of_attempt(data)
        attempt = int(data["attempt"] or 0) + 1
        return tuple(evolve(row, trouble=why, attempt=attempt) if row.name == name else row for row in rows)
    if kind in _NOTED:
        note = sayings.of_event(stored.event)
        return tuple(evolve(row, note=note) if row.name == _NOTED[kind] else row for row in rows)
    return rows


def _working(rows: tuple[Row, ...], name: str, at: datetime) -> tuple[Row, ...]:
    """The named step begins: what was under way has ended, what comes after it waits (again)."""
    if name == ATTACH:
        # Only some tasks have it, and before all others.
        return (_begun(Row(name), at), *(Row(step) for step in PROVISIONING))
    rows = _of_this_way(rows, name)
    known = [row.name for row in rows]
    if name not in known:
        return (*(_ended(row, RowStatus.DONE, at) for row in rows), _begun(Row(name), at))
    place = known.index(name)
    if rows[place].status is RowStatus.WORKING:
        return rows
    before = tuple(_passed(_ended(row, RowStatus.DONE, at)) for row in rows[:place])
    after = tuple(Row(row.name) for row in rows[place + 1 :] if row.name in PROVISIONING)
    return (*before, _begun(Row(name), at), *after)


def _of_this_way(rows: tuple[Row, ...], name: str) -> tuple[Row, ...]:
    """The rows that belong together with the named step: those of one leaving, or those of coming up, from it on."""
    way = next((way for way in _LEAVING if name.startswith(way)), None)
    if way is not None:
        return tuple(row for row in rows if row.name.startswith(way))
    if name in PROVISIONING and all(row.name != name for row in rows):
        kept = tuple(row for row in rows if not row.name.startswith(_LEAVING))
        return (*kept, *(Row(step) for step in PROVISIONING[PROVISIONING.index(name) :]))
    return rows


def _begun(row: Row, at: datetime) -> Row:
    return evolve(row, status=RowStatus.WORKING, started_at=at)


def _ended(row: Row, how: RowStatus, at: datetime) -> Row:
    return evolve(row, status=how, ended_at=at) if row.status is RowStatus.WORKING else row


def _passed(row: Row) -> Row:
    """A step that the machine went past without stopping in it."""
    return evolve(row, status=RowStatus.DONE) if row.status is RowStatus.WAITING else row


def _ends_after(ends: Mapping[str, str], stored: StoredEvent) -> Mapping[str, str]:
    """How turns ended; a turn that begins anew has not."""
    message = stored.event.data.get("message")
    if stored.event.kind is HistoryKind.TURN_ENDED and message is not None:
        return {**ends, str(message): str(stored.event.data["end"])}
    if stored.event.kind is HistoryKind.TURN_STARTED and message is not None:
        return {other: end for other, end in ends.items() if other != message}
    return ends


# What a row says now

_HEALING = {
    "init_create_sandbox/observe": "looking for the sandbox",
    "init_create_sandbox/collect": "bringing work out of the one that failed",
    "init_create_sandbox/destroy": "releasing the old one",
    "running/observe": "looking for the sandbox",
}
"""Steps that share a row with another, or whose name does not say what is done."""


def note_of(live: Live, row: Row) -> str:
    """What stands beside a row: what it brought; under way, how far it has come or what it waits for."""
    if row.status is not RowStatus.WORKING:
        return (row.trouble if row.status is RowStatus.FAILED else row.note) or ""
    step = live.task.step if live.task else None
    if step is None or _row_name(step.name) != row.name:
        return row.note or ""
    if step.name == WAIT_REPO and live.repo is not None:
        return sayings.of_clone(live.repo)
    if live.waits_for:
        return f"waits for {live.waits_for}"
    return step.progress or row.trouble or _HEALING.get(step.name) or row.note or ""
