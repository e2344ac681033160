"""Pages: the documents of the project, read as Markdown.

Owns: which files are documents; their fenced blocks, table rows and headings, with the lines they stand on.
Never: a rule; rules are tests.
Reads as: tests/docs/test_*.py -> this -> README.md, CONTRIBUTING.md, CHANGELOG.md, docs/.
"""

import functools
import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from architecture.source_tree import REPOSITORY

_FENCE = re.compile(r"^\s*```(\w*)\s*$")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*$")


@frozen
class Block:
    """A fenced block: `line` is that of its opening fence, counted from 1; `next` is the block that follows it."""

    path: Path
    line: int
    language: str
    text: str
    before: str
    """The prose between the block before and this one."""

    @property
    def name(self) -> str:
        """Where it stands, for a test's id."""
        return f"{self.path.relative_to(REPOSITORY).as_posix()}:{self.line}"


@functools.cache
def documents() -> tuple[Path, ...]:
    """Every document that people read, generated ones too."""
    top = [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return (*top, *sorted((REPOSITORY / "docs").rglob("*.md")))


@functools.cache
def blocks(path: Path) -> tuple[Block, ...]:
    """The fenced blocks of a document, in order."""
    return tuple(_blocks(path))


def _blocks(path: Path) -> Iterator[Block]:
    prose: list[str] = []
    inside: list[str] | None = None
    opened, language = 0, ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if inside is None and fence is not None:
            inside, opened, language = [], number, fence[1]
        elif inside is not None and fence is not None:
            yield Block(
                path, opened, language, "".join(f"{one}\n" for one in inside), "\n".join(prose).strip()
            )
            prose, inside = [], None
        else:
            (prose if inside is None else inside).append(line)


def prose(path: Path) -> str:
    """A document without its fenced blocks."""
    kept, outside = [], True
    for line in path.read_text().splitlines():
        if _FENCE.match(line):
            outside = not outside
        elif outside:
            kept.append(line)
    return "\n".join(kept)


def headings(path: Path) -> list[str]:
    """The headings of a document, in order, without their marks."""
    return [found[1] for line in prose(path).splitlines() if (found := _HEADING.match(line))]


def section(path: Path, heading: str) -> str:
    """What stands under a heading up to the next one, fenced blocks left out; empty when there is no such heading."""
    kept: list[str] = []
    inside = False
    for line in prose(path).splitlines():
        found = _HEADING.match(line)
        if found:
            inside = found[1] == heading
        elif inside:
            kept.append(line)
    return "\n".join(kept)


def rows(text: str) -> list[list[str]]:
    """The cells of every table row in a text, headers and rulers left out."""
    found: list[list[str]] = []
    header = True
    for line in text.splitlines():
        if not line.startswith("|"):
            header = True
        elif header:
            header = False
        elif not set(line) <= set("|-: "):
            found.append([cell.strip() for cell in line.strip().strip("|").split("|")])
    return found


def code(text: str) -> list[str]:
    """What is set as code in a text, in order."""
    return re.findall(r"`([^`]+)`", text)
