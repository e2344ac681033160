"""Cloning: watch one repo until its clone is ready or has failed, or until it is gone or has to stay, in the same view as a task's steps.

Owns: `follow_clone`, and `Cloning`, the picture of one clone with its one row.
Never: git; the clone is made by whoever schedules.
Reads as: repo.py, demo.py -> `follow_clone` -> feed -> a view.
"""

from datetime import UTC, datetime

from attrs import evolve, frozen

from taskdock.adapters.entry.cli import past, sayings
from taskdock.adapters.entry.cli.following import TICK_SECONDS, Shielded, Shown, View, next_change
from taskdock.adapters.entry.cli.live import Line, Live, Row, RowStatus
from taskdock.adapters.entry.cli.rests import Rest
from taskdock.core.history import HistoryKind
from taskdock.core.repo import Repo, RepoStatus
from taskdock.ports.store import Snapshot, StoredEvent
from taskdock.services.dock import Dock
from taskdock.services.feed import Happened, RecordChanged, Seen

ROW = "clone"
_BEGINNINGS = (HistoryKind.REPO_ADDED, HistoryKind.REPO_RETRIED, HistoryKind.REPO_REMOVED)


@frozen
class Cloning:
    """One clone as it is seen: the record, and the row that history makes."""

    repo_id: str
    repo: Repo | None = None
    row: Row | None = None
    event_number: int = 0

    @property
    def rest(self) -> Rest | None:
        """How it came to rest; None while it is under way."""
        if self.repo is None or self.repo.step is not None:
            return None
        failure = self.repo.failure
        return Rest(ok=self.repo.status is not RepoStatus.ERROR, reason=failure.reason if failure else None)

    def shown(self, now: datetime, lines: tuple[Line, ...], seen: Seen | None) -> Shown:
        """The moment for a view."""
        progress = self.repo.step.progress if self.repo and self.repo.step else None
        row = self.row
        if row is not None and row.status is RowStatus.WORKING:
            row = evolve(row, note=progress or row.trouble)
        return Shown(Live(self.repo_id, rows=() if row is None else (row,)), now, lines, (), seen)


def take_clone(cloning: Cloning, seen: Seen) -> tuple[Cloning, tuple[Line, ...]]:
    """Take what the feed gave into the picture; an event that was taken before changes nothing."""
    if isinstance(seen, Snapshot):
        for versioned in seen.records:
            cloning = _with_record(cloning, versioned.record)
    elif isinstance(seen, RecordChanged):
        cloning = _with_record(cloning, seen.changed.record)
    elif isinstance(seen, Happened) and seen.happened.number > cloning.event_number:
        return _take_event(cloning, seen.happened)
    return cloning, ()


def _with_record(cloning: Cloning, record: object) -> Cloning:
    if isinstance(record, Repo) and record.id == cloning.repo_id:
        return evolve(cloning, repo=record)
    return cloning


def _take_event(cloning: Cloning, stored: StoredEvent) -> tuple[Cloning, tuple[Line, ...]]:
    kind, at, data = stored.event.kind, stored.event.at, stored.event.data
    cloning = evolve(cloning, event_number=stored.number)
    if kind in _BEGINNINGS:
        return evolve(cloning, row=Row(ROW, RowStatus.WORKING, at)), ()
    if kind is HistoryKind.REPO_STEP_FAILED:
        trouble = sayings.of_attempt(data)
        row = evolve(cloning.row or Row(ROW), trouble=trouble, attempt=int(data["attempt"] or 0) + 1)
        return evolve(cloning, row=row), (Line(trouble, of_step=True),)
    ok = kind is not HistoryKind.REPO_FAILED
    note = sayings.of_clone_end(kind, data)
    if cloning.row is None or cloning.row.started_at is None:
        return cloning, ()
    line = Line(sayings.of_row(ROW, at - cloning.row.started_at, note), of_step=True)
    status = RowStatus.DONE if ok else RowStatus.FAILED
    return evolve(cloning, row=evolve(cloning.row, status=status, ended_at=at, note=note)), (line,)


async def follow_clone(dock: Dock, repo_id: str, workspace: str, view: View, since: datetime) -> Rest:
    """Watch until nothing is done to the clone any more; what was before `since`, when the command was given, is not shown."""
    shielded = Shielded(view)
    changes = dock.watch(repo=repo_id, workspace=workspace)
    cloning = Cloning(repo_id)
    try:
        while True:
            seen = await next_change(changes, TICK_SECONDS)
            cloning, lines = (cloning, ()) if seen is None else take_clone(cloning, seen)
            if isinstance(seen, Snapshot):
                cloning, lines = await _take_past(dock, cloning, workspace, since)
            await shielded.show(cloning.shown(datetime.now(UTC), lines, seen))
            rest = cloning.rest
            if rest is not None and not await dock.history(
                repo_id, after=cloning.event_number, limit=1, workspace=workspace
            ):
                return rest
    finally:
        await shielded.close()


async def _take_past(
    dock: Dock, cloning: Cloning, workspace: str, since: datetime
) -> tuple[Cloning, tuple[Line, ...]]:
    """What happened between the command and the snapshot; what is older is taken and not shown."""
    lines: list[Line] = []
    async for page in past.events(dock, cloning.repo_id, workspace):
        for event in page:
            cloning, said = take_clone(cloning, Happened(0, event))
            if event.event.at >= since:
                lines += said
    if cloning.row is not None and cloning.row.ended_at is not None and cloning.row.ended_at < since:
        cloning = evolve(cloning, row=None)
    return cloning, tuple(lines)
