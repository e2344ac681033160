"""Alignment, durations and ages, as people read them."""

from datetime import UTC, datetime, timedelta

import pytest

from taskdock.adapters.entry.cli import output

T0 = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (0.04, "0.0 s"),
        (12.34, "12.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7260, "2 h 01 min"),
        (-3, "0.0 s"),
    ],
)
def test_durations_are_said_in_the_unit_that_fits(seconds: float, words: str) -> None:
    """Tenths below a minute, seconds below an hour, minutes above; a clock that was set back is no negative time."""
    assert output.seconds(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (90_000, "1 d"), (-5, "0 s")],
)
def test_ages_are_said_in_their_largest_unit(seconds: int, words: str) -> None:
    """One number and one unit."""
    assert output.age(T0, T0 + timedelta(seconds=seconds)) == words


def test_columns_line_up() -> None:
    """Cells start at the same column, also after wide letters and marks that take no room."""
    rows = [("日本", "x", "end"), ("e\u0301te", None, "end")]
    assert output.table(("A", "B", "C"), rows) == ["A     B  C", "日本  x  end", "e\u0301te      end"]


def test_the_last_column_is_cut_to_the_terminal() -> None:
    """A long title is cut, and ids never are; where there is no terminal nothing is."""
    rows = [("task-0001", "a very long title")]
    assert output.table(("ID", "TITLE"), rows, 20)[1] == "task-0001  a very l…"
    assert output.table(("ID", "TITLE"), rows, 5)[1].startswith("task-0001")
    assert output.table(("ID", "TITLE"), rows)[1] == "task-0001  a very long title"


def test_a_cell_is_one_line() -> None:
    """A title with line ends or escapes stays in its cell."""
    assert output.table(("T",), [("a\nb\x1b[0m",)])[1] == "a b�[0m"


def test_fields_that_are_not_there_are_left_out() -> None:
    """Only what has a value is a line."""
    assert output.fields([("id", "x"), ("branch", None), ("title", "")]) == ["id  x"]
