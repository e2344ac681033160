"""Decisions: each has the form that the index shows, and its line there."""

import re
from pathlib import Path

import pytest

from architecture.source_tree import REPOSITORY
from docs.pages import blocks, headings, rows, section

FOLDER = REPOSITORY / "docs/adr"
INDEX = FOLDER / "README.md"
_FRONT = re.compile(
    r"---\nstatus: (proposed|accepted|superseded by \d{4})\ndate: \d{4}-\d{2}-\d{2}\n---\n# (\d{4}) (.+)\n"
)


def decisions() -> list[Path]:
    """Every decision, by number."""
    return sorted(path for path in FOLDER.glob("*.md") if path != INDEX)


def form() -> list[str]:
    """The headings that the index asks for."""
    (block,) = (one for one in blocks(INDEX) if one.language == "markdown")
    return re.findall(r"^## (.+)$", block.text, re.MULTILINE)


@pytest.mark.parametrize("path", decisions(), ids=lambda path: path.stem)
def test_decision_has_its_form(path: Path) -> None:
    """It opens with status, date, number and statement, and then has the headings of the form, in order."""
    front = _FRONT.match(path.read_text())
    assert front is not None
    assert path.name.startswith(f"{front[2]}-")
    assert headings(path)[1:] == form()


def test_numbers_have_no_gap() -> None:
    """Decisions are numbered from 1 on, each number once."""
    assert [int(path.name[:4]) for path in decisions()] == list(range(1, len(decisions()) + 1))


def test_every_decision_is_in_the_index() -> None:
    """The index has one line for each, in order, with its statement and a sentence on it."""
    listed = rows(section(INDEX, "Decisions"))
    titles = [headings(path)[0].partition(" ") for path in decisions()]
    wanted = [
        (f"[{number}]({path.name})", title)
        for path, (number, _, title) in zip(decisions(), titles, strict=True)
    ]
    assert [(row[0], row[1]) for row in listed] == wanted
    assert all(row[2] for row in listed)
