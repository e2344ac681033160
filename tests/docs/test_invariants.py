"""Invariants: what docs/architecture.md says always holds, read off the syntax of the code."""

import ast
from pathlib import Path
from typing import get_args

import pytest

from architecture.source_tree import REPOSITORY, module_name, parsed, sources
from taskdock.core.intents import Body
from taskdock.services.executors.catalogue import EXECUTORS


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def makers(tree: ast.AST, kind: str) -> list[str]:
    """Name the functions of a file that make a `kind`, one entry for each call; '' stands for the module itself."""
    found: list[str] = []

    def look(node: ast.AST, function: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, ast.Call) and _called(node) == kind:
            found.append(function)
        for child in ast.iter_child_nodes(node):
            look(child, function)

    look(tree, "")
    return found


def makers_everywhere(kind: str) -> list[str]:
    """Name every place of the product that makes a `kind`, as module and function; the test kit is no part of it."""
    product = [path for path in sources() if not module_name(path).startswith("taskdock.testing")]
    return [f"{module_name(path)}.{function}" for path in product for function in makers(parsed(path), kind)]


def test_one_function_makes_tasks() -> None:
    """There is one create path: one function makes the command, whichever way in asks, and one makes the record."""
    assert makers_everywhere("CreateTask") == ["taskdock.services.workbench.create_task"]
    assert makers_everywhere("Task") == ["taskdock.core.task_boundary._create"]


def test_one_function_makes_tabs() -> None:
    """The first tab of a task and every later one are made in one place."""
    assert makers_everywhere("Tab") == ["taskdock.core.task_boundary._open_tab"]


def status_writers(tree: ast.AST) -> list[str]:
    """Name the functions of a file that give a record another `at`, by a call's keyword or by assignment."""
    found: list[str] = []

    def look(node: ast.AST, function: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, ast.Call) and any(keyword.arg == "at" for keyword in node.keywords):
            found.append(function)
        if isinstance(node, ast.Attribute) and node.attr == "at" and isinstance(node.ctx, ast.Store):
            found.append(function)
        for child in ast.iter_child_nodes(node):
            look(child, function)

    look(tree, "")
    return found


@pytest.mark.parametrize("path", sources("core"), ids=module_name)
def test_a_status_is_set_by_its_row_alone(path: Path) -> None:
    """In the core a record's `at` is written in the `state` setter of its cursor, which only a row reaches."""
    assert set(status_writers(parsed(path))) <= {"state"}


def test_the_rooms_have_cursors() -> None:
    """Each room of the core has a setter that the rule above is about."""
    rooms = ("task_orders", "tab", "message", "repo")
    found = {room: status_writers(parsed(REPOSITORY / f"core/taskdock/core/{room}.py")) for room in rooms}
    assert [room for room in rooms if "state" not in found[room]] == []


@pytest.mark.parametrize(
    "source",
    ["def f(t):\n    return evolve(t, at='ready')", "def f(t):\n    t.at = 'ready'", "evolve(t, at='ready')"],
)
def test_a_stray_status_is_seen(source: str) -> None:
    """A status written elsewhere is found, whichever way it is written."""
    assert set(status_writers(ast.parse(source))) <= {"f", ""}
    assert status_writers(ast.parse(source))


def test_a_stray_create_is_seen() -> None:
    """A second place that makes a task is found, also behind a module's name."""
    assert makers(ast.parse("def f():\n    g(inputs.CreateTask())\nCreateTask()"), "CreateTask") == ["f", ""]


def test_every_intent_has_one_executor() -> None:
    """The catalogue and the core's union name the same kinds, and no executor serves two."""
    assert set(EXECUTORS) == set(get_args(Body))
    assert len({id(executor) for executor in EXECUTORS.values()}) == len(EXECUTORS)
