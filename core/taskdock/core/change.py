"""Change: a boundary as it was loaded, and what one step makes of it.

Owns: `Slice` (in), `Change` (out) and `Draft` (the one mutable thing between them, frozen once).
Never: a write that is not in the Change; the store commits one whole or not at all.
Reads as: store loads a Slice -> `step` works on a Draft -> `Draft.freeze` -> the store commits the Change.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from attrs import evolve, frozen

from taskdock.core.errors import InvariantViolated
from taskdock.core.history import HistoryEvent, HistoryKind, Json
from taskdock.core.inputs import Failed, FailureClass
from taskdock.core.intents import Body, Figures, Intent, Wake
from taskdock.core.step import Tries


class Record(Protocol):
    """What a boundary is made of: a frozen attrs record with a durable id."""

    @property
    def id(self) -> str:
        """The record's id, unique in its kind."""
        ...


_MAY_PASS = frozenset({FailureClass.TRANSIENT, FailureClass.UNREACHABLE, FailureClass.UNKNOWN})

_RecordT = TypeVar("_RecordT", bound=Record)


@frozen
class Slice:
    """Everything that is loaded, decided and committed together, as it stood at `version` (0: nothing yet)."""

    boundary: str
    workspace: str
    version: int = 0
    runs: int = 0
    """How many intents this boundary has ordered so far; the next one's number."""
    records: tuple[Record, ...] = ()
    intents: tuple[Intent, ...] = ()
    """The open ones."""


@frozen
class BranchHold:
    """A branch name reserved for a task: unique per repo while it stands."""

    repo_id: str
    branch: str
    task_id: str


@frozen
class Change:
    """One step's result: written in one transaction, or nothing of it.

    `ignored` says why nothing is to be written; then everything else is empty.
    """

    boundary: str
    workspace: str
    expect_version: int
    runs: int = 0
    records: tuple[Record, ...] = ()
    history: tuple[HistoryEvent, ...] = ()
    ordered: tuple[Intent, ...] = ()
    marked_started: tuple[str, ...] = ()
    """Open intents that have accepted a `Started`."""
    closed: tuple[str, ...] = ()
    """Intents whose outcome was accepted."""
    cancelled: tuple[str, ...] = ()
    """Intents that are not wanted any more; one that is being executed blocks its subject until that ended."""
    hold: BranchHold | None = None
    release: BranchHold | None = None
    needs_repo: str | None = None
    """This repo must not be removed when all of the commit is written."""
    needs_no_task_of: str | None = None
    """No live task of this repo may be there then."""
    ignored: str | None = None

    @property
    def version(self) -> int:
        """The boundary's version once this is committed."""
        return self.expect_version if self.ignored else self.expect_version + 1


@frozen
class Place:
    """Where an intent queues: one execution per subject at a time, `lane` is the limit it counts against."""

    subject: str
    lane: str


class Draft:
    """A boundary while one step works on it. Records are replaced, never changed; `freeze` gives the Change."""

    def __init__(self, slice_: Slice, now: datetime, figures: Figures) -> None:
        self.slice = slice_
        self.now = now
        self.figures = figures
        self._records: dict[type[Record], dict[str, Record]] = {}
        for record in slice_.records:
            self._records.setdefault(type(record), {})[record.id] = record
        self.open: dict[str, Intent] = {intent.id: intent for intent in slice_.intents}
        self.workspace = slice_.workspace
        self.entered: list[str] = []
        self.hold: BranchHold | None = None
        self.release: BranchHold | None = None
        self.needs_repo: str | None = None
        self.needs_no_task_of: str | None = None
        self._dirty: dict[tuple[type[Record], str], None] = {}
        self._history: list[HistoryEvent] = []
        self._ordered: dict[str, Intent] = {}
        self._started: list[str] = []
        self._closed: list[str] = []
        self._cancelled: list[str] = []
        self._runs = slice_.runs

    def get(self, kind: type[_RecordT], record_id: str) -> _RecordT:
        """The record as it stands in this draft; KeyError when there is none."""
        record = self._records[kind][record_id]
        assert isinstance(record, kind)
        return record

    def find(self, kind: type[_RecordT], record_id: str) -> _RecordT | None:
        """The record, or None: a message that is final is not part of the slice any more."""
        record = self._records.get(kind, {}).get(record_id)
        return record if isinstance(record, kind) else None

    def all(self, kind: type[_RecordT]) -> Iterator[_RecordT]:
        """Every record of a kind, in the order of the slice, as it stands when this is asked."""
        records: Any = tuple(self._records.get(kind, {}).values())
        found: tuple[_RecordT, ...] = records
        return iter(found)

    def put(self, record: Record) -> None:
        """Replace or add a record."""
        kind, of_kind = type(record), self._records.setdefault(type(record), {})
        if of_kind.get(record.id) != record:
            of_kind[record.id] = record
            self._dirty[kind, record.id] = None

    def note(self, kind: HistoryKind, tab_id: str | None = None, **data: Json) -> None:
        """Add a history event."""
        self._history.append(HistoryEvent(kind, self.now, tab_id, data))

    def order(
        self,
        body: Body,
        place: Place,
        *,
        not_before: datetime | None = None,
        after: Intent | Tries | None = None,
    ) -> None:
        """Order an intent: the first run of its kind, or with `after` the run after that one."""
        self._runs += 1
        intent = Intent(
            id=f"{self.slice.boundary}#{self._runs}",
            boundary=self.slice.boundary,
            workspace=self.workspace,
            subject=place.subject,
            lane=place.lane,
            body=body,
            attempt=1 if after is None else after.attempt + 1,
            created_at=self.now,
            not_before=not_before,
            deadline_at=None if after is None else after.deadline_at,
        )
        self._ordered[intent.id] = intent
        self.open[intent.id] = intent

    def order_again(self, intent: Intent, failed: Failed) -> bool:
        """Order the next run of an intent that belongs to no step; False when nothing is left to try."""
        at = self.next_attempt_at(intent, failed)
        if at is not None:
            self.order(intent.body, Place(intent.subject, intent.lane), not_before=at, after=intent)
        return at is not None

    def matching(self, intent_id: str, issue: int) -> Intent | str:
        """The open intent that an input names, or why the input is stale."""
        intent = self.open.get(intent_id)
        if intent is None:
            return "the intent is not open"
        return intent if intent.issue == issue else f"issue {issue} is over, {intent.issue} is running"

    @property
    def next_run(self) -> int:
        """The number that the next ordered intent will get."""
        return self._runs + 1

    def intents(self, kind: type[Body]) -> list[Intent]:
        """The open intents of a kind."""
        return [intent for intent in self.open.values() if isinstance(intent.body, kind)]

    def of_tab(self, tab_id: str, *kinds: type[Body]) -> list[Intent]:
        """The open intents of these kinds that name the tab."""
        return [
            intent
            for intent in self.open.values()
            if isinstance(intent.body, kinds) and getattr(intent.body, "tab_id", None) == tab_id
        ]

    def cancel_wakes(self, reason: str) -> None:
        """Take back the wakes of this reason, and of every reason that goes on after it with a colon."""
        for intent in list(self.open.values()):
            if isinstance(intent.body, Wake) and f"{intent.body.reason}:".startswith(f"{reason}:"):
                self.cancel(intent)

    def cancel_wake(self, wake: Wake) -> None:
        """Take this one wake back, if it is open."""
        for intent in self.intents(Wake):
            if intent.body == wake:
                self.cancel(intent)

    def after(self, seconds: float) -> datetime:
        """The time `seconds` from now."""
        return self.now + timedelta(seconds=seconds)

    def next_attempt_at(self, intent: Intent | None, failed: Failed | None) -> datetime | None:
        """When the run after this failed one may begin; None when the failure is final or nothing is left to try."""
        if intent is None or failed is None or failed.failure_class not in _MAY_PASS:
            return None
        if intent.attempt >= self.figures.of(intent.body).attempts_max:
            return None
        pause = self.figures.backoff(intent.id, intent.attempt)
        at = self.now + max(pause, timedelta(seconds=failed.retry_after_seconds or 0))
        return at if intent.deadline_at is None or at < intent.deadline_at else None

    def mark_started(self, intent: Intent) -> None:
        """Remember that an execution of this intent may have called the outside."""
        self.open[intent.id] = evolve(intent, started=True)
        self._started.append(intent.id)

    def close(self, intent: Intent) -> None:
        """Take an intent out of the outbox: its outcome is accepted."""
        del self.open[intent.id]
        self._closed.append(intent.id)

    def cancel(self, intent: Intent) -> None:
        """Take an intent back; if it was ordered in this very step, it never was."""
        del self.open[intent.id]
        if self._ordered.pop(intent.id, None) is None:
            self._cancelled.append(intent.id)

    def freeze(self, ignored: str | None = None) -> Change:
        """The Change; `ignored` is only allowed while nothing was drafted."""
        drafted = bool(
            self._dirty or self._history or self._ordered or self._started or self._closed or self._cancelled
        )
        if ignored is not None and drafted:
            raise InvariantViolated(f"ignored ({ignored}), yet something was drafted")
        if not drafted:
            return Change(
                self.slice.boundary,
                self.workspace,
                self.slice.version,
                runs=self.slice.runs,
                ignored=ignored or "it changes nothing",
            )
        return Change(
            boundary=self.slice.boundary,
            workspace=self.workspace,
            expect_version=self.slice.version,
            runs=self._runs,
            records=tuple(self._records[kind][id_] for kind, id_ in self._dirty),
            history=tuple(self._history),
            ordered=tuple(self._ordered.values()),
            marked_started=tuple(self._started),
            closed=tuple(self._closed),
            cancelled=tuple(self._cancelled),
            hold=self.hold,
            release=self.release,
            needs_repo=self.needs_repo,
            needs_no_task_of=self.needs_no_task_of,
        )
