"""Boundary: one task or one repo held in memory and driven by hand.

Owns: `Boundary`, which takes Changes in as a store would, hands intents out as a queue would, and refuses what neither could.
Never: a decision (the core's), a clock (the caller says what time it is) or I/O; two boundaries know nothing of each other.
Reads as: a test or the simulated world -> `Boundary.step` -> the core's `step` -> the Change is taken in.

    task = Boundary("task-1")
    task.step(CreateTask(...), now)
    intent = task.claim(task.claimable(now)[0].id, now)
    task.report(intent, Succeeded(NameEnsured(...)), now)
"""

import json
from datetime import datetime, timedelta
from typing import TypeVar

from attrs import evolve, field, mutable

from taskdock.core import inputs, repo_boundary, task_boundary
from taskdock.core.branches import Branches
from taskdock.core.change import BranchHold, Change, Record, Slice
from taskdock.core.codec import decode, encode
from taskdock.core.errors import InvariantViolated, StaleVersion
from taskdock.core.history import HistoryEvent
from taskdock.core.inputs import Input, Outcome, OutcomeReported
from taskdock.core.intents import Figures, Intent
from taskdock.core.job import FINAL as OVER
from taskdock.core.job import Job
from taskdock.core.message import Message, MessageStatus, MessageText
from taskdock.core.reader import DraftText, ReadMarker

FINAL = (MessageStatus.DELIVERED, MessageStatus.FAILED, MessageStatus.WITHDRAWN)
"""Messages that a store does not load again, so that a step costs the same after a thousand of them."""

_T = TypeVar("_T")
_RecordT = TypeVar("_RecordT", bound=Record)


def as_stored(document: _T) -> _T:
    """The record or intent after a trip through the codec and UTF-8; InvariantViolated when it comes back different."""
    text = encode(document).encode().decode()
    read = decode(type(document), text)
    if read != document:
        raise InvariantViolated(f"{document!r} is read back as {read!r}")
    return read


@mutable
class Boundary:
    """What a store and its outbox hold of one boundary; every value in it is immutable, so `copy` is cheap.

    `now` is aware and never goes back. Methods that take an input or a Change raise what the core raises, and then
    nothing was taken in.
    """

    id: str
    workspace: str = ""
    """Known from the first Change on, as in a store."""
    figures: Figures = field(factory=Figures)
    version: int = 0
    runs: int = 0
    records: dict[tuple[type[Record], str], Record] = field(factory=dict)
    """Everything ever written, the texts and the final messages too."""
    outbox: dict[str, Intent] = field(factory=dict)
    """The open intents by id, in the order in which they were ordered."""
    running: dict[str, Intent] = field(factory=dict)
    """The intents that are being executed, as they were claimed; cancelled ones stay here until their execution ended."""
    history: tuple[HistoryEvent, ...] = ()
    hold: BranchHold | None = None

    @property
    def slice(self) -> Slice:
        """What a store would load: the root, its tabs, its messages that are not final, its open intents."""
        loaded = (record for record in self.records.values() if not _stays_behind(record))
        return Slice(
            self.id, self.workspace, self.version, self.runs, tuple(loaded), tuple(self.outbox.values())
        )

    def get(self, kind: type[_RecordT], record_id: str) -> _RecordT:
        """A record by its kind and id, final or not; KeyError when there is none."""
        record = self.records[kind, record_id]
        assert isinstance(record, kind)
        return record

    def all(self, kind: type[_RecordT]) -> list[_RecordT]:
        """Every record of a kind, in the order in which they were first written."""
        return [record for record in self.records.values() if isinstance(record, kind)]

    def decide(self, input_: Input, now: datetime) -> Change:
        """What the input would make of it; takes nothing in. Ids that begin with `repo-` are repos, others tasks."""
        if self.id.startswith("repo-"):
            assert isinstance(input_, inputs.RepoInput)
            return repo_boundary.step(self.slice, input_, now, self.figures)
        assert isinstance(input_, inputs.TaskInput)
        return task_boundary.step(self.slice, input_, now, self.figures)

    def step(self, input_: Input, now: datetime) -> Change:
        """Decide and take in; an ignored input changes nothing."""
        change = self.decide(input_, now)
        self.take(change)
        return change

    def take(self, change: Change) -> None:
        """Take a Change in: StaleVersion for one against another version, InvariantViolated for one no store could write."""
        if change.ignored is not None:
            return
        if change.expect_version != self.version:
            raise StaleVersion(f"{self.id} is at {self.version}, the change expects {change.expect_version}")
        outbox = self._outbox_after(change)
        records = {(type(record), record.id): as_stored(record) for record in change.records}
        for event in change.history:
            _check_plain(event)
        self.history += change.history
        self.records |= records
        self.outbox = outbox
        self.workspace, self.version, self.runs = change.workspace, change.version, change.runs
        self.hold = change.hold or (None if change.release else self.hold)

    def _outbox_after(self, change: Change) -> dict[str, Intent]:
        outbox = dict(self.outbox)
        unknown = [
            id_ for id_ in (*change.marked_started, *change.closed, *change.cancelled) if id_ not in outbox
        ]
        numbers = [int(intent.id.rpartition("#")[2]) for intent in change.ordered]
        if unknown or any(not self.runs < number <= change.runs for number in numbers):
            raise InvariantViolated(
                f"{self.id} names intents that are not open {unknown} or reuses ids {numbers}"
            )
        for id_ in change.marked_started:
            outbox[id_] = evolve(outbox[id_], started=True)
        for id_ in (*change.closed, *change.cancelled):
            del outbox[id_]
        return outbox | {intent.id: as_stored(intent) for intent in change.ordered}

    def claimable(self, now: datetime) -> list[Intent]:
        """The open intents that are due and whose subject has no execution, also none of a cancelled intent."""
        busy = {intent.subject for intent in self.running.values()}
        due = (
            intent for intent in self.outbox.values() if intent.not_before is None or intent.not_before <= now
        )
        return [intent for intent in due if intent.subject not in busy]

    def claim(self, intent_id: str, now: datetime) -> Intent:
        """Hand an open intent out: its issue rises, its deadline is set once. Claiming again is what a crash leads to."""
        intent = self.outbox[intent_id]
        deadline = now + timedelta(seconds=self.figures.of(intent.body).deadline_seconds)
        claimed = evolve(intent, issue=intent.issue + 1, deadline_at=intent.deadline_at or deadline)
        self.outbox[intent_id] = self.running[intent_id] = as_stored(claimed)
        return claimed

    def report(self, intent: Intent, outcome: Outcome, now: datetime) -> Change:
        """Report what became of a claimed intent, and end its execution; stale when its issue is not the latest."""
        change = self.step(OutcomeReported(intent.id, intent.issue, outcome), now)
        self.end(intent)
        return change

    def end(self, intent: Intent) -> None:
        """The execution is over, with an outcome or without; its subject is free. Idempotent."""
        if intent.id in self.running and self.running[intent.id].issue == intent.issue:
            del self.running[intent.id]

    def restart(self) -> None:
        """The process was killed: nothing runs any more, and every open intent can be claimed again."""
        self.running = {}

    def copy(self) -> "Boundary":
        """An independent boundary that stands where this one does."""
        return evolve(self, records=dict(self.records), outbox=dict(self.outbox), running=dict(self.running))


def _check_plain(event: HistoryEvent) -> None:
    """History is written and shown, never loaded: its data must survive as JSON, and its texts as UTF-8."""
    if json.loads(encode(event).encode()).get("data", {}) != dict(event.data):
        raise InvariantViolated(f"{event!r} holds what JSON does not")


def _stays_behind(record: Record) -> bool:
    if isinstance(record, MessageText | ReadMarker | DraftText | Branches):
        return True
    if isinstance(record, Job):
        return record.at in OVER
    return isinstance(record, Message) and record.status in FINAL
