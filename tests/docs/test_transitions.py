"""Transitions page: it names the test that takes each row, as it is today."""

import pytest
from attrs import evolve

import row_cases
from docs.pages import code, rows, section
from unit.core.arcs import TABLES, arcs
from unit.core.test_rows import CASES, PLAYED


def test_committed_page_is_current() -> None:
    """The page is what the tables and their cases give today; `make diagrams` writes it anew."""
    assert row_cases.PAGE.read_text() == row_cases.page()


@pytest.mark.parametrize("table", TABLES)
def test_page_names_each_row_and_its_test(table: str) -> None:
    """The section of a table has each of its rows once, and each is the name of a test that pytest finds."""
    named = [code(row[0])[0] for row in rows(section(row_cases.PAGE, table))]
    assert named == list(arcs(TABLES[table]))
    assert {f"{table}: {name}" for name in named} <= {str(param.id) for param in PLAYED}


@pytest.mark.parametrize("table", TABLES)
def test_row_without_a_case_is_named(table: str) -> None:
    """A case that is taken away is missed, and the row that nothing takes is told; so no page is written."""
    left_out = CASES[table][-1]
    with pytest.raises(row_cases.NotCovered) as caught:
        row_cases.taken(table, CASES[table][:-1])
    assert str(caught.value) == f"{table}: {left_out.arc}"


def test_case_that_takes_another_row_is_named() -> None:
    """A case counts for the row that it takes, not for the one that it claims to; and one without a row is told."""
    tab = CASES["tab"]
    swapped = [evolve(tab[0], arc=tab[1].arc), evolve(tab[1], arc=tab[0].arc), *tab[2:]]
    with pytest.raises(row_cases.NotCovered, match="open"):
        row_cases.taken("tab", swapped)
    with pytest.raises(row_cases.NotCovered, match="there is no such row"):
        row_cases.taken("tab", [*tab, evolve(tab[0], arc="fly: new -> away")])


def test_check_tells_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--check` passes on the page of today, and on another one says which command mends it."""
    monkeypatch.setattr("sys.argv", ["row_cases.py", "--check"])
    row_cases.main()
    monkeypatch.setattr(row_cases, "page", lambda: "another")
    with pytest.raises(SystemExit, match="run `make diagrams`"):
        row_cases.main()
