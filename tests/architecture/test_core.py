"""Core purity: the core imports little, runs alone, and cannot reach the world.

Import contracts forbid what they name; these tests allow what they name, and look at what is really loaded.
"""

import ast
import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from architecture.source_tree import REPOSITORY, imports, module_name, parsed, sources

ALLOWED_IMPORTS = {
    "__future__",
    "abc",
    "base64",
    "bisect",
    "collections",
    "collections.abc",
    "copy",
    "datetime",
    "enum",
    "fnmatch",
    "functools",
    "hashlib",
    "heapq",
    "hmac",
    "itertools",
    "json",
    "math",
    "operator",
    "re",
    "string",
    "textwrap",
    "types",
    "typing",
    "unicodedata",
    "urllib.parse",
    "attrs",
    "cattrs",
    "transitions",
}
"""Deterministic, silent and offline, every one of them. A new name here is a decision, not a chore."""

FORBIDDEN_BUILTINS = {"__import__", "breakpoint", "eval", "exec", "hash", "id", "input", "open", "print"}
"""`hash` and `id` answer differently in every process, so nothing decided by them could be replayed."""

FORBIDDEN_AT_RUN_TIME = {
    "anyio",
    "asyncio",
    "http.client",
    "httpx",
    "select",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "transitions.extensions",
    "trio",
}
"""What must not be loaded once the whole core is; the diagrams of `transitions` bring asyncio and sockets with them."""

IMPORT_EVERYTHING = """
import importlib, json, pkgutil, sys
sys.path[:0] = json.loads(sys.argv[1])
import taskdock.core
found = [module.name for module in pkgutil.walk_packages(taskdock.core.__path__, "taskdock.core.")]
for name in found:
    importlib.import_module(name)
print(json.dumps({"found": found, "loaded": sorted(sys.modules), "portions": list(sys.modules["taskdock"].__path__)}))
"""


def is_allowed(name: str) -> bool:
    """Judge one import: the whitelist, a part of our three libraries, or the core itself."""
    inside = ("taskdock.core", "attrs", "cattrs", "transitions")
    return name in ALLOWED_IMPORTS or any(name == room or name.startswith(f"{room}.") for room in inside)


def stray_imports(tree: ast.AST) -> set[str]:
    """Name the imports of a file that the whitelist does not hold."""
    return {name for name in imports(tree) if not is_allowed(name)}


def stray_calls(tree: ast.AST) -> set[str]:
    """Name what a file calls that would act on the world without any import, or ask for the time."""
    calls = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    builtins = {func.id for func in calls if isinstance(func, ast.Name) and func.id in FORBIDDEN_BUILTINS}
    clock = {"now", "today", "utcnow"}
    return builtins | {func.attr for func in calls if isinstance(func, ast.Attribute) and func.attr in clock}


@pytest.mark.parametrize("path", sources("core"), ids=module_name)
def test_module_imports_only_what_is_listed(path: Path) -> None:
    """Each module of the core imports from the whitelist only, and calls nothing that acts or tells the time."""
    assert stray_imports(parsed(path)) == set()
    assert stray_calls(parsed(path)) == set()


@pytest.mark.parametrize(
    "line",
    [
        "import time",
        "import os.path",
        "from random import random",
        "import requests",
        "from taskdock.ports import clock",
        "import transitions_extra",
        "from taskdock import services",
        "def f():\n    import socket",
    ],
)
def test_stray_import_is_seen(line: str) -> None:
    """The whitelist notices a forbidden, an unknown and a hidden import."""
    assert stray_imports(ast.parse(line))


@pytest.mark.parametrize(
    "line", ["open('x')", "print(1)", "datetime.now(UTC)", "__import__('os')", "hash('x')"]
)
def test_stray_call_is_seen(line: str) -> None:
    """The check of calls notices what needs no import."""
    assert stray_calls(ast.parse(line))


def test_core_runs_alone() -> None:
    """With nothing on the path but core/ and the libraries, every module of the core imports, and no way out is loaded."""
    libraries = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    path = json.dumps([str(REPOSITORY / "core"), *dict.fromkeys(libraries)])
    result = subprocess.run(
        # -S keeps out the .pth files, and with them the other source roots of an editable installation.
        [sys.executable, "-I", "-S", "-c", IMPORT_EVERYTHING, path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    seen = json.loads(result.stdout)
    assert set(seen["found"]) == {module_name(path) for path in sources("core")} - {"taskdock.core"}
    assert seen["portions"] == [str(REPOSITORY / "core/taskdock")]
    assert FORBIDDEN_AT_RUN_TIME.intersection(seen["loaded"]) == set()
