"""Job following: watch one job of a repo until it is over, in the same view as a task's steps.

Owns: `follow_job`, and `Working`, the picture of one job with a row for each step.
Never: git; a job is carried out by whoever schedules.
Reads as: job.py, branch_actions.py -> `follow_job` -> feed -> a view.
"""

from datetime import UTC, datetime

from attrs import evolve, frozen

from taskdock.adapters.entry.cli import job_text, past, sayings
from taskdock.adapters.entry.cli.following import TICK_SECONDS, Shielded, Shown, View, next_change
from taskdock.adapters.entry.cli.live import Line, Live, Row, RowStatus
from taskdock.adapters.entry.cli.rests import Rest
from taskdock.core.history import HistoryKind
from taskdock.core.job import FINAL, Job
from taskdock.core.job_record import JobStatus
from taskdock.ports.store import Snapshot, StoredEvent
from taskdock.services.dock import Dock
from taskdock.services.feed import Happened, RecordChanged, Seen

_ENDS = (HistoryKind.JOB_COMPLETED, HistoryKind.JOB_FAILED, HistoryKind.JOB_CANCELLED)


@frozen
class Working:
    """One job as it is seen: the record, and the rows that history makes."""

    job_id: str
    job: Job | None = None
    rows: tuple[Row, ...] = ()
    event_number: int = 0
    is_over: bool = False

    @property
    def rest(self) -> Rest | None:
        """How it ended; None while it is under way."""
        if self.job is None or not self.is_over or self.job.at not in FINAL:
            return None
        failure = self.job.failure
        return Rest(
            ok=self.job.status is JobStatus.COMPLETED,
            reason=failure.reason if failure else "it was cancelled",
        )

    def shown(self, now: datetime, lines: tuple[Line, ...], seen: Seen | None) -> Shown:
        """The moment for a view."""
        rows = self.rows
        if (
            rows
            and rows[-1].status is RowStatus.WORKING
            and self.job is not None
            and self.job.step is not None
        ):
            rows = (*rows[:-1], evolve(rows[-1], note=self.job.step.progress or rows[-1].trouble))
        return Shown(Live(self.job_id, rows=rows), now, lines, (), seen)


def take_job(working: Working, seen: Seen) -> tuple[Working, tuple[Line, ...]]:
    """Take what the feed gave into the picture; an event that was taken before changes nothing."""
    if isinstance(seen, Snapshot):
        for versioned in seen.records:
            working = _with_record(working, versioned.record)
    elif isinstance(seen, RecordChanged):
        working = _with_record(working, seen.changed.record)
    elif isinstance(seen, Happened) and seen.happened.number > working.event_number:
        return _take_event(working, seen.happened)
    return working, ()


def _with_record(working: Working, record: object) -> Working:
    if isinstance(record, Job) and record.id == working.job_id:
        return evolve(working, job=record)
    return working


def _take_event(working: Working, stored: StoredEvent) -> tuple[Working, tuple[Line, ...]]:
    kind, at, data = stored.event.kind, stored.event.at, stored.event.data
    working = evolve(working, event_number=stored.number)
    if data.get("job") != working.job_id:
        return working, ()
    if kind is HistoryKind.JOB_STEP and data.get("reason") is not None:
        trouble = sayings.of_attempt({"class": "transient", **data})
        return working, (Line(trouble, of_step=True),)
    if kind is HistoryKind.JOB_STARTED:
        return evolve(working, rows=(*working.rows, Row("lock", RowStatus.WORKING, at))), ()
    if kind is HistoryKind.JOB_STEP:
        ended, lines = _ended(working.rows, at, RowStatus.DONE)
        return evolve(working, rows=(*ended, Row(str(data["step"]), RowStatus.WORKING, at))), lines
    if kind in _ENDS:
        status = RowStatus.DONE if kind is HistoryKind.JOB_COMPLETED else RowStatus.FAILED
        ended, lines = _ended(working.rows, at, status)
        return evolve(working, rows=ended, is_over=True), lines
    return working, ()


def _ended(
    rows: tuple[Row, ...], at: datetime, status: RowStatus
) -> tuple[tuple[Row, ...], tuple[Line, ...]]:
    """The last row comes to its end."""
    if not rows or rows[-1].started_at is None or rows[-1].status is not RowStatus.WORKING:
        return rows, ()
    last = evolve(rows[-1], status=status, ended_at=at, note=None)
    line = Line(sayings.of_row(last.name, at - rows[-1].started_at, ""), of_step=True)
    return (*rows[:-1], last), (line,)


async def follow_job(dock: Dock, job: Job | str, repo_id: str, workspace: str, view: View) -> Rest:
    """Watch until the job is over, then say branch by branch what it did."""
    job_id = job if isinstance(job, str) else job.id
    shielded = Shielded(view)
    changes = dock.watch(repo=repo_id, workspace=workspace)
    working = Working(job_id)
    try:
        while True:
            seen = await next_change(changes, TICK_SECONDS)
            working, lines = (working, ()) if seen is None else take_job(working, seen)
            if isinstance(seen, Snapshot):
                working, lines = await _take_past(dock, working, repo_id, workspace)
                # A job that is over is no part of a snapshot.
                working = evolve(working, job=await dock.job(job_id, workspace=workspace))
            rest = working.rest
            if rest is not None and working.job is not None:
                lines = (*lines, *(Line(text) for text in job_text.result_lines(working.job)))
            await shielded.show(working.shown(datetime.now(UTC), lines, seen))
            if rest is not None:
                return rest
    finally:
        await shielded.close()


async def _take_past(
    dock: Dock, working: Working, repo_id: str, workspace: str
) -> tuple[Working, tuple[Line, ...]]:
    """What happened to the job before the snapshot."""
    lines: list[Line] = []
    async for page in past.events(dock, repo_id, workspace):
        for event in page:
            working, said = take_job(working, Happened(0, event))
            lines += said
    return working, tuple(lines)
