"""Locks: what is installed is pinned by digest, and where it comes from is the machine's business."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from architecture.source_tree import REPOSITORY, project_files

REQUIREMENTS = sorted((REPOSITORY / "requirements").glob("*.txt"))
LOCK_NAMES = {
    "package-lock.json",
    "npm-shrinkwrap.json",
    "uv.lock",
    "poetry.lock",
    "pylock.toml",
    "go.sum",
    "go.mod",
}
LOCKS = [*REQUIREMENTS, *(path for path in project_files() if path.name in LOCK_NAMES)]
NPM_LOCKS = [path for path in LOCKS if path.name == "package-lock.json"]
SOURCE_OPTIONS = ("--index-url", "--extra-index-url", "--find-links", "--trusted-host", "-f ", "-i ")

_PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ ;\\]+)")


def relative(path: Path) -> str:
    """Name a lock as a reader finds it."""
    return path.relative_to(REPOSITORY).as_posix()


def entries(path: Path) -> list[str]:
    """Join the lines of each requirement of a pip lock, its digests included."""
    return [entry for entry in path.read_text().replace("\\\n", " ").splitlines() if entry.strip()]


def pins(path: Path) -> dict[str, str]:
    """Map each pinned distribution of a pip lock to its version."""
    return {found["name"]: found["version"] for entry in entries(path) if (found := _PIN.match(entry))}


@pytest.mark.parametrize("path", LOCKS, ids=relative)
def test_lock_names_no_source(path: Path) -> None:
    """No lock holds a URL or an option that says where to fetch from."""
    lines = path.read_text().splitlines()
    assert [line for line in lines if "://" in line or line.strip().startswith(SOURCE_OPTIONS)] == []


@pytest.mark.parametrize("path", REQUIREMENTS, ids=relative)
def test_requirements_are_pinned_by_digest(path: Path) -> None:
    """Every line of a pip lock is an exact pin with at least one sha256."""
    assert [entry for entry in entries(path) if not (_PIN.match(entry) and "--hash=sha256:" in entry)] == []
    assert pins(path)


@pytest.mark.parametrize("path", NPM_LOCKS, ids=relative)
def test_npm_packages_are_pinned_by_digest(path: Path) -> None:
    """Every package of an npm lock has its integrity, and nothing that names a host."""
    packages = {name: entry for name, entry in json.loads(path.read_text())["packages"].items() if name}
    assert [name for name, entry in packages.items() if "integrity" not in entry] == []
    assert [name for name, entry in packages.items() if {"resolved", "funding"} & entry.keys()] == []


def test_dev_lock_holds_the_run_lock() -> None:
    """What is tested is what runs: every pin of run.txt stands in dev.txt, at the same version."""
    run, dev = (pins(REPOSITORY / "requirements" / name) for name in ("run.txt", "dev.txt"))
    assert run.items() <= dev.items()


def test_locks_cover_what_is_declared() -> None:
    """A dependency declared in pyproject.toml and not locked would be found missing on a stranger's machine."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    declared = {"run.txt": project["project"]["dependencies"] + project["dependency-groups"]["build"]}
    declared["dev.txt"] = [line for line in project["dependency-groups"]["dev"] if isinstance(line, str)]
    for name, lines in declared.items():
        names = {re.split(r"[^A-Za-z0-9-]", line, maxsplit=1)[0] for line in lines}
        assert names - pins(REPOSITORY / "requirements" / name).keys() == set()


def test_agent_lock_offers_every_platform_we_name() -> None:
    """The sandbox-agent of every platform is in the lock, each at the version its package.json asks for."""
    folder = REPOSITORY / "adapters/taskdock/adapters/agent/npm"
    wanted = json.loads((folder / "package.json").read_text())["optionalDependencies"]
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    locked = {name: packages[f"node_modules/{name}"]["version"] for name in wanted}
    assert locked == wanted
