"""Source tree: what the tests of the architecture read, found once.

Owns: where the layers lie, which files belong to the project, and how one of them is parsed.
Never: a rule; rules are tests.
Reads as: tests/architecture/test_*.py -> this -> the files of the checkout.
"""

import ast
import functools
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
ROOTS = ("core", "ports", "adapters", "services")
"""The source roots: each is to Python what `src/` would be, together they hold the package `taskdock`."""


@functools.cache
def sources(*roots: str) -> tuple[Path, ...]:
    """Every Python file under the given source roots, under all of them when none is given; sorted."""
    return tuple(
        sorted(path for root in roots or ROOTS for path in (REPOSITORY / root / "taskdock").rglob("*.py"))
    )


@functools.cache
def parsed(path: Path) -> ast.Module:
    """Parse a file of the tree."""
    return ast.parse(path.read_text(), str(path))


def module_name(path: Path) -> str:
    """Name a source file as it is imported: core/taskdock/core/task.py is taskdock.core.task."""
    parts = path.relative_to(REPOSITORY).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST) -> set[str]:
    """Name every absolute import, wherever in the file it stands; `from a import b` counts as `a`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def names_used(tree: ast.AST) -> set[str]:
    """Name everything a file mentions: bare names, attributes and what it imports from elsewhere."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return names | {node.name for node in ast.walk(tree) if isinstance(node, ast.alias)}


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """List every function and method of a file, nested ones too."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@functools.cache
def project_files() -> tuple[Path, ...]:
    """Every file that is or may be committed: what git tracks and what it does not ignore.

    Outside a git checkout (an unpacked sdist) every file counts but those of hidden folders and what running leaves.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        return tuple(path for path in sorted(REPOSITORY.rglob("*")) if path.is_file() and not _made(path))
    names = sorted(set(listed.stdout.split("\0")) - {""})
    return tuple(path for name in names if (path := REPOSITORY / name).is_file())


def _made(path: Path) -> bool:
    folders = path.relative_to(REPOSITORY).parts[:-1]
    return any(
        name.startswith(".") or name in {"__pycache__", "build", "dist", "node_modules"} for name in folders
    )
