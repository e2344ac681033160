"""Links: what a document points to is there: files, headings, and paths that are named."""

import re
from pathlib import Path

import pytest

from architecture.source_tree import REPOSITORY
from docs.pages import code, documents, headings, prose

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(
    r"(?:core|ports|adapters|services|tests|docs|tools|requirements)/[\w./-]*|[A-Z]{6,}\.md|Makefile|pyproject\.toml"
)


def anchor(heading: str) -> str:
    """The fragment under which a heading is found."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def ids(path: Path) -> str:
    """A document's name for a test."""
    return path.relative_to(REPOSITORY).as_posix()


def broken(path: Path, text: str) -> list[str]:
    """The links of a text that lead nowhere, as seen from a document."""
    found = []
    for link in _LINK.findall(text):
        target, _, fragment = link.partition("#")
        if "://" in target:
            continue
        file = (path.parent / target).resolve() if target else path
        anchors = (
            {anchor(heading) for heading in headings(file)} if fragment and file.is_file() else {fragment}
        )
        if not file.exists() or fragment not in anchors:
            found.append(link)
    return found


def missing(text: str) -> list[str]:
    """The paths set as code in a text that are not in the repository; `<...>` and `*` stand for many."""
    found = []
    for named in code(text):
        path = named.partition("::")[0]
        if _PATH.fullmatch(path) and not (REPOSITORY / path).exists():
            found.append(named)
    return found


@pytest.mark.parametrize("path", documents(), ids=ids)
def test_links_lead_somewhere(path: Path) -> None:
    """Each relative link leads to a file of the repository, and its fragment to a heading of it."""
    assert broken(path, prose(path)) == []


@pytest.mark.parametrize("path", [path for path in documents() if path.parent.name != "adr"], ids=ids)
def test_named_paths_exist(path: Path) -> None:
    """Each path that a document sets as code is there; a decision alone may name what was there on its date."""
    assert missing(prose(path)) == []


def test_broken_ones_are_seen() -> None:
    """A missing file, a missing heading and a missing path are each found; what is there passes."""
    page = REPOSITORY / "README.md"
    text = "[a](docs/nothing.md) [b](docs/architecture.md#nothing) [c](docs/architecture.md#code-map) [d](https://x.org)"
    assert broken(page, text) == ["docs/nothing.md", "docs/architecture.md#nothing"]
    assert missing("`core/nothing.py` `core/taskdock/core/tab.py` `a/b` `docs/`") == ["core/nothing.py"]
