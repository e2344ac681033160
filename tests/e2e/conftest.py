"""Fixtures of the end-to-end tests: an installation and a remote, ended with every process they started."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.installation import SOON, Installation
from e2e.providers import prepared
from e2e.world import World, end_processes
from git_repos import make_remote
from stack_fixture import GIT_SPICE


@pytest.fixture(scope="session", autouse=True)
def provider() -> Iterator[None]:
    """The provider that TASKDOCK_PROVIDER names, for every test here."""
    with prepared():
        yield


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Installation]:
    """One installation in the test's own process; sandboxes outlive their dock, so the test ends them."""
    yield Installation(tmp_path)
    end_processes(tmp_path)


@pytest.fixture
def soon(tmp_path: Path) -> Iterator[Installation]:
    """The same, where a sandbox that is gone is believed to be so at once."""
    yield Installation(tmp_path, SOON)
    end_processes(tmp_path)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One installation with a scheduling process of its own."""
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def stack_world(tmp_path: Path) -> Iterator[World]:
    """The same, with the git-spice that was built here."""
    world = World(tmp_path, settings=f'git_spice = "{GIT_SPICE}"')
    yield world
    world.close()


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A real remote with a commit."""
    return make_remote(tmp_path / "remote")
