"""Output: how text, tables, ids and JSON leave on stdout.

Owns: alignment, durations and ages in words, and that no text of an agent steers the terminal.
Never: colour or cursor movement; that is the live view's alone. No write in the event loop of a process that schedules.
Reads as: a command -> this -> stdout.
"""

import functools
import json
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import anyio
import anyio.to_thread
import click

_LAST_SECONDS_MAX = 1.0
_GAP = "  "
_WIDE = {"W", "F"}
_CONTROL: dict[int, str | None] = {
    number: "�" for number in (*range(0x20), *range(0x7F, 0xA0)) if chr(number) not in "\n\t"
}
_CONTROL[ord("\r")] = None
# What turns text around on the screen, so that it reads as what it is not.
_CONTROL |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "�")


def printable(text: str) -> str:
    """The text without what a terminal would obey: escapes, carriage returns, turned directions."""
    return text.translate(_CONTROL)


def one_line(text: str) -> str:
    """The text in one line."""
    return " ".join(printable(text).split())


def echo(text: str = "", *, err: bool = False) -> None:
    """Print a line of text."""
    click.echo(printable(text), err=err)


async def say(text: str = "", *, err: bool = False) -> None:
    """Print a line from the event loop: in a thread, since who reads it may be slow while this process schedules."""
    call = functools.partial(echo, text, err=err)
    await anyio.to_thread.run_sync(call, abandon_on_cancel=True)


async def say_at_the_end(text: str) -> None:
    """Print a line on stderr though this task is cancelled; a reader that stands still for a second misses it."""
    with anyio.move_on_after(_LAST_SECONDS_MAX, shield=True):
        await say(text, err=True)


def lines(texts: Iterable[str]) -> None:
    """Print lines of text."""
    for text in texts:
        echo(text)


def document(value: Mapping[str, Any]) -> None:
    """Print one JSON document, in one line."""
    click.echo(json.dumps(value))


def json_line(value: Mapping[str, Any]) -> str:
    """One JSON document with its line end, to be written with others."""
    return json.dumps(value) + "\n"


def terminal_columns() -> int | None:
    """How many columns the terminal on stdout has; None when there is none, and nothing need be cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], columns: int | None = None) -> list[str]:
    """Align cells; with a number of columns the last cell of each row is cut to it."""
    cells = [list(headings), *([one_line("" if cell is None else str(cell)) for cell in row] for row in rows)]
    widths = [max(width(row[column]) for row in cells) for column in range(len(headings))]
    taken = sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)
    room = widths[-1] if columns is None else max(columns - taken, width(headings[-1]))
    return [_aligned(row, widths, room) for row in cells]


def _aligned(row: Sequence[str], widths: Sequence[int], room: int) -> str:
    padded = [cell + " " * (wide - width(cell)) for cell, wide in zip(row[:-1], widths[:-1], strict=True)]
    return _GAP.join([*padded, cut(row[-1], room)]).rstrip()


def cut(text: str, room: int) -> str:
    """The text, shortened to so many columns."""
    if width(text) <= room:
        return text
    while text and width(text) > room - 1:
        text = text[:-1]
    return f"{text.rstrip()}…"


def width(text: str) -> int:
    """How many columns a text takes."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in _WIDE else 1


def fields(pairs: Iterable[tuple[str, object]]) -> list[str]:
    """Lines of `name  value`, aligned; what is None or empty is left out."""
    shown = [(name, str(value)) for name, value in pairs if value not in (None, "")]
    wide = max((width(name) for name, _ in shown), default=0)
    return [f"{name:<{wide}}{_GAP}{one_line(value)}" for name, value in shown]


def seconds(length: timedelta) -> str:
    """A duration in words: `0.4 s`, `2 min 05 s`, `1 h 02 min`."""
    total = max(length.total_seconds(), 0.0)
    if round(total, 1) < 60:  # noqa: PLR2004 - a minute
        return f"{total:.1f} s"
    minutes, rest = divmod(round(total), 60)
    if minutes < 60:  # noqa: PLR2004 - an hour
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def age(at: datetime, now: datetime) -> str:
    """How long ago, in its largest unit: `12 s`, `3 min`, `5 h`, `2 d`."""
    total = max(int((now - at).total_seconds()), 0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if total >= size:
            return f"{total // size} {unit}"
    return f"{total} s"
