"""Fixtures of the packaging tests: what is built of this checkout, and an environment that has nothing else of it."""

import sys
from pathlib import Path

import pytest

from architecture.source_tree import REPOSITORY
from clean_install import install, make_environment, run


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build sdist and wheel into an empty folder."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, REPOSITORY)
    return folder


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    """Name the one wheel that was built."""
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment of its own; answers the folder of its programs."""
    programs = make_environment(tmp_path_factory.mktemp("environment"))
    install(programs, wheel)
    return programs
