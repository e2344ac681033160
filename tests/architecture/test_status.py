"""Status: only the table assigns it."""

import ast
from pathlib import Path

import pytest

from architecture.source_tree import module_name, parsed, sources

CORE = [path for path in sources() if module_name(path).startswith("taskdock.core.")]


def assignments(tree: ast.AST) -> list[int]:
    """The lines of calls that give `at=...`, outside the setter of a cursor's `state`."""
    setters = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(one, ast.Attribute) and one.attr == "setter" for one in node.decorator_list)
        and node.name == "state"
    ]
    allowed = {id(inner) for setter in setters for inner in ast.walk(setter)}
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and id(node) not in allowed
        and any(key.arg == "at" for key in node.keywords)
    ]


@pytest.mark.parametrize("path", CORE, ids=module_name)
def test_no_status_is_assigned_outside_the_table(path: Path) -> None:
    """A record's `at` is written by a cursor's `state` alone, which `transitions` calls row by row."""
    assert assignments(parsed(path)) == []


def test_an_assignment_elsewhere_is_found() -> None:
    """The check sees what it is there to see."""
    tree = ast.parse("def settle(task):\n    return evolve(task, at='running')\n")
    assert assignments(tree) == [2]
