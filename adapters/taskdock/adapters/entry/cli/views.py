"""Views: the ways a task that is followed is shown: lines, JSON lines, or not at all.

Owns: `view_for`, which picks one, and every view but the screen.
Never: rich, unless a person watches; the screen is loaded then.
Reads as: a command -> `view_for(...)` -> following.py calls it.
"""

import json
from datetime import datetime
from typing import TextIO

from attrs import field, mutable

from taskdock.adapters.entry.cli import documents
from taskdock.adapters.entry.cli.following import Shown, View
from taskdock.adapters.entry.cli.invocation import is_terminal
from taskdock.adapters.entry.cli.live import RowStatus, note_of
from taskdock.adapters.entry.cli.output import printable
from taskdock.adapters.entry.cli.sayings import NAME_COLUMNS
from taskdock.adapters.entry.cli.speech import Speech
from taskdock.ports.store import Snapshot
from taskdock.services.feed import Happened, RecordChanged, Reset, Seen

NOTE_SECONDS = 10.0
"""How often a log hears of a step that takes long."""


def view_for(stream: TextIO) -> View:
    """The screen for a person at a terminal, lines for everything else."""
    if is_terminal(stream):
        from taskdock.adapters.entry.cli.screen import Screen

        return Screen(stream)
    return Lines(stream)


@mutable(eq=False)
class Quiet:
    """Shows nothing: stdout has its one document, and stderr is kept for a problem."""

    ticks: bool = False

    def show(self, shown: Shown) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


@mutable(eq=False)
class Lines:
    """Plain lines as they come: each step once when it ends, each attempt that failed, and what the agent says."""

    stream: TextIO
    ticks: bool = True
    _speech: Speech = field(factory=Speech, init=False)
    _noted_at: datetime | None = field(default=None, init=False)
    _note: str = field(default="", init=False)

    def show(self, shown: Shown) -> None:
        """Write what is new."""
        lines = [line.text for line in shown.lines]
        lines += self._late_note(shown)
        self._speech.names = {tab.id: tab.name for tab in shown.live.tabs.values()}
        text = "".join([*(f"{self._speech.end()}{printable(line)}\n" for line in lines)])
        text += "".join(self._speech.of(item) for item in shown.items)
        self._write(text)

    def close(self) -> None:
        """End the line that was begun."""
        self._write(self._speech.end())

    def _late_note(self, shown: Shown) -> list[str]:
        """How far the step under way has come, now and then: a log that is silent for minutes looks dead."""
        row = next((row for row in shown.live.rows if row.status is RowStatus.WORKING), None)
        if row is None or row.started_at is None:
            self._noted_at = None
            return []
        since = max(row.started_at, self._noted_at or row.started_at)
        note = note_of(shown.live, row)
        if (shown.now - since).total_seconds() < NOTE_SECONDS or not note or note == self._note:
            return []
        self._noted_at, self._note = shown.now, note
        return [f"{row.name:<{NAME_COLUMNS}}{'':>10}  {note}"]

    def _write(self, text: str) -> None:
        if text:
            self.stream.write(text)
            self.stream.flush()


@mutable(eq=False)
class JsonLines:
    """Each change in one line of JSON, as the feed gave it."""

    stream: TextIO
    ticks: bool = False

    def show(self, shown: Shown) -> None:
        """Write the change."""
        if shown.seen is not None:
            for document in seen_documents(shown.seen):
                self.stream.write(json.dumps(document) + "\n")
            self.stream.flush()

    def close(self) -> None:
        """Nothing is left open."""


def seen_documents(seen: Seen) -> list[documents.Document]:
    """What the feed gave as documents, one a line; see documents.py for the keys."""
    if isinstance(seen, Snapshot):
        records = [documents.record_document(one.record) for one in seen.records]
        listed = [{"type": kind, kind: document} for kind, document in records]
        return [{"position": seen.position, "type": "snapshot", "snapshot": listed}]
    if isinstance(seen, RecordChanged):
        kind, document = documents.record_document(seen.changed.record)
        return [{"position": seen.position, "type": kind, "version": seen.changed.version, kind: document}]
    if isinstance(seen, Happened):
        return [
            {"position": seen.position, "type": "history", "history": documents.event_document(seen.happened)}
        ]
    if isinstance(seen, Reset):
        return [{"position": seen.lost, "type": "reset"}]
    return [
        {"position": seen.position, "type": "transcript", "transcript": documents.item_document(item)}
        for item in seen.items
    ]
