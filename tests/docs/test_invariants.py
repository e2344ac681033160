"""Invariants: what docs/architecture.md says always holds, read off the syntax of the code."""

import ast
from typing import get_args

from architecture.source_tree import module_name, parsed, sources
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
    assert makers_everywhere("CreateTask") == ["taskdock.services.task_requests.create_task"]
    assert makers_everywhere("Task") == ["taskdock.core.task_commands.create"]


def test_one_function_makes_tabs() -> None:
    """The first tab of a task and every later one are made in one place."""
    assert makers_everywhere("Tab") == ["taskdock.core.tab_commands.open_tab"]


def test_a_stray_create_is_seen() -> None:
    """A second place that makes a task is found, also behind a module's name."""
    assert makers(ast.parse("def f():\n    g(inputs.CreateTask())\nCreateTask()"), "CreateTask") == ["f", ""]


def test_every_intent_has_one_executor() -> None:
    """The catalogue and the core's union name the same kinds, and no executor serves two."""
    assert set(EXECUTORS) == set(get_args(Body))
    assert len({id(executor) for executor in EXECUTORS.values()}) == len(EXECUTORS)
