"""Glossary: each word has its place in the code, or says that it is to come."""

import importlib

import pytest

from architecture.source_tree import REPOSITORY
from docs.pages import code, rows

PAGE = REPOSITORY / "docs/glossary.md"

CHARTER = """
    workspace, repo, task, sandbox, tab, session, turn, message, repo job, command, event, intent, outcome, status,
    boundary, outbox, lease, attempt, idempotency key, projection, snapshot, position, feed, receipt, rescue, drain,
    capability
"""
"""The words that the project was chartered with; the glossary may hold more, never fewer."""


def terms() -> dict[str, str]:
    """The meaning of each term."""
    return {row[0]: row[1] for row in rows(PAGE.read_text())}


def places(meaning: str) -> list[str]:
    """Where a meaning says that its word is in the code."""
    _, mark, after = meaning.partition("*in code* ")
    return [name for name in code(after) if name.startswith("taskdock.")] if mark else []


def resolves(name: str) -> bool:
    """Whether a dotted name leads to a module, or to something in one."""
    parts = name.split(".")
    for length in range(len(parts), 1, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        return all((found := getattr(found, part, None)) is not None for part in parts[length:])
    return False


def test_every_word_of_the_charter_is_there() -> None:
    """No word that the project was chartered with has got lost."""
    assert {" ".join(word.split()) for word in CHARTER.split(",")} - terms().keys() == set()


def test_every_word_says_where_it_is() -> None:
    """A word names its place in the code, or says that it is to come."""
    silent = [term for term, meaning in terms().items() if not places(meaning) and "to come" not in meaning]
    assert silent == []


@pytest.mark.parametrize("term", terms())
def test_its_place_is_there(term: str) -> None:
    """What the glossary names is found under that name."""
    assert [name for name in places(terms()[term]) if not resolves(name)] == []


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("taskdock.core.tab.Tab.session_id", True),
        ("taskdock.services.feed", True),
        ("taskdock.core.tab.Tab.colour", False),
        ("taskdock.core.colour", False),
        ("taskdock.core.tab.Colour.red", False),
    ],
)
def test_a_wrong_place_is_seen(name: str, there: bool) -> None:
    """A module, class or field that is not there is noticed."""
    assert resolves(name) is there
