"""Screen: the live view on a terminal: rows that move while steps are under way, then the conversation as it comes.

Owns: the rows' look, and the moment when they stand still and the text goes on below.
Never: imported without a terminal (it loads rich).
Reads as: views.py -> Screen -> rich.
"""

from datetime import datetime
from typing import TextIO

from attrs import field, mutable
from rich.console import Console
from rich.live import Live as RichLive
from rich.table import Table
from rich.text import Text

from taskdock.adapters.entry.cli.following import Shown
from taskdock.adapters.entry.cli.live import Live, Row, RowStatus, note_of
from taskdock.adapters.entry.cli.output import one_line, printable, seconds
from taskdock.adapters.entry.cli.speech import Speech

_MARKS = {
    RowStatus.WAITING: ("·", "dim"),
    RowStatus.DONE: ("✓", "green"),
    RowStatus.FAILED: ("✗", "red"),
}
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_SPINNER_PLAIN = "-\\|/"
_MARKS_PLAIN = {"·": " ", "✓": "+", "✗": "x"}
_TURNS_PER_SECOND = 10


@mutable(eq=False)
class Screen:
    """One terminal."""

    stream: TextIO
    ticks: bool = True
    _console: Console = field(init=False)
    _speech: Speech = field(factory=Speech, init=False)
    _moving: RichLive | None = field(default=None, init=False)
    _rows: tuple[Row, ...] = field(default=(), init=False)

    def __attrs_post_init__(self) -> None:
        self._console = Console(file=self.stream, highlight=False, markup=False, soft_wrap=False)

    def show(self, shown: Shown) -> None:
        """Show a moment: rows first, since what is said comes below them."""
        self._show_rows(shown)
        lines = [line.text for line in shown.lines if not line.of_step]
        for line in lines:
            self._write_below(f"{self._speech.end()}{printable(line)}\n")
        self._speech.names = {tab.id: tab.name for tab in shown.live.tabs.values()}
        self._write_below("".join(self._speech.of(item) for item in shown.items))

    def close(self) -> None:
        """Let the rows stand as they are, and end the line that was begun."""
        self._stand_still()
        self._write_below(self._speech.end())

    def _show_rows(self, shown: Shown) -> None:
        rows = shown.live.rows
        under_way = any(row.status is RowStatus.WORKING for row in rows)
        if self._moving is None and rows == self._rows:
            return
        if self._moving is None:
            self._write_below(self._speech.end())
            self._moving = RichLive(console=self._console, auto_refresh=False, transient=False)
            self._moving.start()
        self._rows = rows
        self._moving.update(self.table(shown.live, shown.now), refresh=True)
        if not under_way:
            self._stand_still()

    def _stand_still(self) -> None:
        moving, self._moving = self._moving, None
        if moving is not None:
            moving.stop()

    def _write_below(self, text: str) -> None:
        if not text:
            return
        if self._moving is not None:
            self._console.print(Text(text.rstrip("\n")))
            return
        self.stream.write(text)
        self.stream.flush()

    def table(self, live: Live, now: datetime) -> Table:
        """The rows as they are at a moment."""
        # What a step brought may be longer than the line: it is cut, never the names and times beside it.
        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, justify="right")
        grid.add_column(no_wrap=True, overflow="ellipsis", style="dim", ratio=1)
        for row in live.rows:
            mark, style = self._mark(row, now)
            grid.add_row(
                Text(mark, style), Text(row.name), Text(_duration(row, now)), Text(one_line(_note(live, row)))
            )
        return grid

    def _mark(self, row: Row, now: datetime) -> tuple[str, str]:
        plain = self._console.encoding.lower() != "utf-8"
        if row.status is RowStatus.WORKING:
            frames = _SPINNER_PLAIN if plain else _SPINNER
            return frames[int(now.timestamp() * _TURNS_PER_SECOND) % len(frames)], "cyan"
        mark, style = _MARKS[row.status]
        return _MARKS_PLAIN[mark] if plain else mark, style


def _duration(row: Row, now: datetime) -> str:
    return "" if row.started_at is None else seconds((row.ended_at or now) - row.started_at)


def _note(live: Live, row: Row) -> str:
    attempt = f"attempt {row.attempt}: " if row.attempt > 1 and row.status is RowStatus.WORKING else ""
    return attempt + note_of(live, row)
