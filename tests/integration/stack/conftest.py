"""Stack tests: the repository that they share, made once and copied for each."""

from pathlib import Path

import pytest

from stack_fixture import StackRepo, copy_stacks, make_stacks, require_git_spice


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> StackRepo:
    """Make the repository that every test gets a copy of."""
    return make_stacks(tmp_path_factory.mktemp("stacks") / "template")


@pytest.fixture
def plain(template: StackRepo, tmp_path: Path) -> StackRepo:
    """Give the test its own repository, for use without git-spice."""
    return copy_stacks(template, tmp_path / "repo")


@pytest.fixture
def stacks(plain: StackRepo) -> StackRepo:
    """Give the test its own repository, for use with the real git-spice."""
    require_git_spice()
    return plain
