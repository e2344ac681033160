"""Cloning: watch one repo until its clone is ready or has failed, in the same view as a task's steps.

Owns: `follow_clone` and the one row it shows.
Never: git; the clone is made by whoever schedules.
Reads as: repo.py -> `follow_clone` -> feed -> a view.
"""

from datetime import UTC, datetime

from attrs import evolve, field, mutable

from taskdock.adapters.entry.cli import sayings
from taskdock.adapters.entry.cli.following import TICK_SECONDS, Shielded, Shown, View, next_change
from taskdock.adapters.entry.cli.live import Line, Live, Row, RowStatus
from taskdock.adapters.entry.cli.rests import Rest
from taskdock.core.history import HistoryKind
from taskdock.core.repo import Repo, RepoStatus
from taskdock.ports.store import Snapshot
from taskdock.services.dock import Dock
from taskdock.services.feed import Happened, RecordChanged, Seen

ROW = "clone"


async def follow_clone(dock: Dock, repo_id: str, workspace: str, view: View) -> Rest:
    """Watch until the clone is there or has failed."""
    shielded = Shielded(view)
    watch = _Watch(repo_id)
    changes = dock.watch(repo=repo_id, workspace=workspace)
    try:
        while (rest := watch.rest) is None:
            seen = await next_change(changes, TICK_SECONDS)
            await shielded.show(watch.take(seen, datetime.now(UTC)))
        return rest
    finally:
        await shielded.close()


@mutable(eq=False)
class _Watch:
    """One repo being watched."""

    repo_id: str
    rest: Rest | None = None
    _row: Row | None = field(default=None, init=False)

    def take(self, seen: Seen | None, now: datetime) -> Shown:
        """Take a change, or a tick, into the picture."""
        lines: list[Line] = []
        if isinstance(seen, Snapshot):
            for versioned in seen.records:
                lines += self._take_record(versioned.record)
        if isinstance(seen, RecordChanged):
            lines += self._take_record(seen.changed.record)
        if isinstance(seen, Happened) and seen.happened.event.kind is HistoryKind.REPO_STEP_FAILED:
            lines.append(Line(sayings.of_attempt(seen.happened.event.data), of_step=True))
        rows = () if self._row is None else (self._row,)
        return Shown(Live(self.repo_id, rows=rows), now, tuple(lines), (), seen)

    def _take_record(self, record: object) -> list[Line]:
        if not isinstance(record, Repo) or record.id != self.repo_id or self.rest is not None:
            return []
        if record.step is not None:
            step = record.step
            self._row = Row(ROW, RowStatus.WORKING, step.started_at, attempt=step.attempt, note=step.progress)
            return []
        ok = record.status is RepoStatus.READY
        reason = record.failure.reason if record.failure else None
        self.rest = Rest(ok=ok, reason=reason)
        if self._row is None or self._row.started_at is None:
            return []
        lasted = record.updated_at - self._row.started_at
        note = f"{record.trunk} at {sayings.commit(record.head)}" if ok else "failed"
        how = RowStatus.DONE if ok else RowStatus.FAILED
        self._row = evolve(self._row, status=how, ended_at=record.updated_at, note=note)
        return [Line(sayings.of_row(ROW, lasted, note), of_step=True)]
