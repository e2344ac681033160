"""Front page: short, and with a program early."""

from architecture.source_tree import REPOSITORY
from docs.pages import blocks, documents, prose

PAGE = REPOSITORY / "README.md"

LINES_MAX = 120
FIRST_PROGRAM_LINE_MAX = 40
LINE_CHARACTERS_MAX = 125


def test_front_page_is_short() -> None:
    """It is read in a few minutes: at most 120 lines, and the first program begins within 40."""
    assert len(PAGE.read_text().splitlines()) <= LINES_MAX
    assert next(one.line for one in blocks(PAGE) if one.language == "python") <= FIRST_PROGRAM_LINE_MAX


def test_front_page_leads_everywhere() -> None:
    """Every document that is not generated and not a single decision is reached from the front page."""
    text = PAGE.read_text()
    wanted = [path.relative_to(REPOSITORY).as_posix() for path in documents() if path != PAGE]
    wanted = [path for path in wanted if not path.startswith("docs/adr/0")]
    assert [path for path in wanted if f"({path})" not in text] == []


def test_lines_of_prose_can_be_read() -> None:
    """Prose is broken at the width of the code; only tables and links may be longer."""
    long: list[str] = []
    for path in documents():
        if path.parent.name not in {"adr", "diagrams"}:
            lines = prose(path).splitlines()
            long += [line for line in lines if len(line) > LINE_CHARACTERS_MAX and not line.startswith("|")]
    assert long == []
