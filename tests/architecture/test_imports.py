"""Import contracts: the hexagon holds, and would be seen to break.

The contracts stand in pyproject.toml; here they are run, and shown to notice what they forbid.
"""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from architecture.source_tree import REPOSITORY, ROOTS, names_used, parsed, sources

PYPROJECT = REPOSITORY / "pyproject.toml"
SOURCE_ROOT = {"core": "core", "ports": "ports", "adapters": "adapters"}
"""Where the second part of a module's name lies; every other layer lies in services/."""

VIOLATIONS = {
    "the core reaches out to a port": ("taskdock.core", "taskdock.ports"),
    "the core opens a database": ("taskdock.core", "sqlite3"),
    "the core reads the clock": ("taskdock.core", "time"),
    "a port knows a service": ("taskdock.ports", "taskdock.services"),
    "a port knows a technology": ("taskdock.ports", "httpx"),
    "a service picks its store": ("taskdock.services", "taskdock.adapters.store"),
    "one driven adapter uses another": ("taskdock.adapters.agent", "taskdock.adapters.sandbox"),
    "a driven adapter calls a service": ("taskdock.adapters.store", "taskdock.services"),
    "an entry adapter wires itself": ("taskdock.adapters.entry", "taskdock.app"),
    "the app needs the kit": ("taskdock.app", "taskdock.testing"),
    "a service needs the kit": ("taskdock.services", "taskdock.testing"),
    "the kit needs a test runner": ("taskdock.testing", "pytest"),
    "a service is bound to one event loop": ("taskdock.services", "asyncio"),
}

ALLOWED = {
    "an entry adapter calls services": ("taskdock.adapters.entry", "taskdock.services"),
    "the kit builds on an adapter": ("taskdock.testing", "taskdock.adapters.store"),
    "the kit opens what a user opens": ("taskdock.testing", "taskdock.app"),
    "the composition root sees all": ("taskdock.app", "taskdock.adapters.entry"),
    "an adapter knows the core": ("taskdock.adapters.store", "taskdock.core"),
}


def contracts() -> list[dict[str, Any]]:
    """Read the contracts from pyproject.toml."""
    found: list[dict[str, Any]] = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"]
    return found


def layered_modules() -> set[str]:
    """Name every package that has a place in the layers."""
    layers = next(contract["layers"] for contract in contracts() if contract["id"] == "layers")
    return {module.strip() for layer in layers for module in layer.split("|")}


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """Judge the source roots under `root` by the contracts of this repository."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--config", str(PYPROJECT)],
        cwd=root,
        env={"PATH": "", "PYTHONPATH": ":".join(str(root / name) for name in ROOTS)},
        capture_output=True,
        text=True,
        check=False,
    )


def folder(root: Path, module: str) -> Path:
    """Locate a package under `root`."""
    return root / SOURCE_ROOT.get(module.split(".")[1], "services") / module.replace(".", "/")


@pytest.fixture
def empty_tree(tmp_path: Path) -> Path:
    """Make a tree with the packages of ours that the contracts name, and nothing in them."""
    for module in layered_modules() | {"taskdock.adapters"}:
        package = folder(tmp_path, module)
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
    return tmp_path


def plant(root: Path, importer: str, imported: str) -> None:
    """Add a module to `importer` that imports `imported` in a function, where it is easiest to overlook."""
    (folder(root, importer) / "planted.py").write_text(f"def lazily():\n    import {imported}\n")


def test_contracts_hold() -> None:
    """Every contract is kept by the code as it stands."""
    result = lint(REPOSITORY)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("importer", "imported"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_planted_violation_is_seen(empty_tree: Path, importer: str, imported: str) -> None:
    """Each direction that is forbidden breaks a contract, and the message names the import."""
    plant(empty_tree, importer, imported)
    result = lint(empty_tree)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{importer}.planted -> {imported}" in result.stdout


def test_allowed_directions_pass(empty_tree: Path) -> None:
    """The directions we want break nothing, even all at once."""
    for importer, imported in ALLOWED.values():
        plant(empty_tree, importer, imported)
    result = lint(empty_tree)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_contract_has_an_exception() -> None:
    """A hexagon leaks exactly where an ignored import stands, so none may."""
    assert [contract["id"] for contract in contracts() if "ignore_imports" in contract] == []


def test_every_adapter_family_has_a_layer() -> None:
    """A new folder under adapters/ must be given its place, or no contract would bind it; a file beside them may have one."""
    inside = [
        path
        for path in (REPOSITORY / "adapters/taskdock/adapters").iterdir()
        if path.name not in ("__pycache__", "__init__.py")
    ]
    families = {f"taskdock.adapters.{path.name}" for path in inside if path.is_dir()}
    files = {f"taskdock.adapters.{path.stem}" for path in inside if path.is_file()}
    layered = {module for module in layered_modules() if module.startswith("taskdock.adapters.")}
    assert families <= layered <= families | files


def test_folders_above_the_families_hold_no_code() -> None:
    """taskdock.adapters itself stands in no layer, so it may only be a docstring."""
    assert len(parsed(REPOSITORY / "adapters/taskdock/adapters/__init__.py").body) == 1


def test_taskdock_stays_a_namespace() -> None:
    """An __init__.py in one source root would hide the other three."""
    assert [root for root in ROOTS if (REPOSITORY / root / "taskdock/__init__.py").exists()] == []


def test_no_import_by_string_past_the_contracts() -> None:
    """Only the composition root may import by a computed name: no contract can see such an import."""
    offenders = [
        path.relative_to(REPOSITORY).as_posix()
        for path in sources()
        if names_used(parsed(path)) & {"import_module", "__import__"}
        and "taskdock/app" not in path.as_posix()
    ]
    assert offenders == []
