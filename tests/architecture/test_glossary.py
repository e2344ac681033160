"""Glossary: one word per thing, in the code as in docs/glossary.md."""

import ast
import re
from pathlib import Path

import pytest

from architecture.source_tree import REPOSITORY, module_name, parsed, sources

GLOSSARY = REPOSITORY / "docs/glossary.md"
COLUMNS = 3

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def rows(text: str) -> list[list[str]]:
    """Read the one table of the glossary: term, meaning, not."""
    table = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def refused_words(text: str) -> dict[str, str]:
    """Map each refused word to the term that stands for it: what the last column shows as code."""
    return {word: row[0] for row in rows(text) for word in re.findall(r"`([a-z]+)`", row[-1])}


def defined_names(tree: ast.AST) -> set[str]:
    """Name what a file itself defines; what it merely uses may carry somebody else's words."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
    return found


def words(name: str) -> set[str]:
    """Split a name at underscores and capitals, plural endings dropped."""
    return {form for word in _WORDS.findall(name) for form in (word.lower(), word.lower().removesuffix("s"))}


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_code_speaks_the_glossary(path: Path) -> None:
    """No name that a module defines contains a word that the glossary refuses."""
    refused = refused_words(GLOSSARY.read_text())
    named = {*defined_names(parsed(path)), path.stem}
    found = {name: f"say {refused[word]}" for name in named for word in words(name) if word in refused}
    assert found == {}


def test_every_row_is_whole() -> None:
    """Each row has a term, a meaning and a last column, and no term is explained twice."""
    table = rows(GLOSSARY.read_text())
    assert [row for row in table if len(row) != COLUMNS or not row[0] or not row[1]] == []
    terms = [row[0] for row in table]
    assert len(terms) == len(set(terms)) > 0


def test_no_refused_word_is_a_term() -> None:
    """What one row refuses, no other row may explain."""
    text = GLOSSARY.read_text()
    assert refused_words(text).keys() & {row[0] for row in rows(text)} == set()
    assert refused_words(text)


@pytest.mark.parametrize(
    "source",
    ["class TaskWorkflow: ...", "def f(tenant_id): ...", "for workflows in x: ...", "HANDOFF_MAX: int = 3"],
)
def test_refused_word_is_seen(source: str) -> None:
    """A refused word is found in a class, an argument, a plural and a constant."""
    refused = {"workflow", "tenant", "handoff"}
    assert any(words(name) & refused for name in defined_names(ast.parse(source)))


def test_words_of_others_pass() -> None:
    """Calling a library by its own words is no offence."""
    assert defined_names(ast.parse("x = library.workflow(tenant=1)")) == {"x"}
    assert words("projection") == {"projection"}
