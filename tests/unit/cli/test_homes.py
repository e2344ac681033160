"""Which folder holds the state: the order in which it is looked for."""

import os
from pathlib import Path

import pytest

from taskdock.adapters.entry.cli.homes import find_home


def test_the_named_home_wins(tmp_path: Path) -> None:
    """`--home` beats the variable, which beats a folder upwards."""
    (tmp_path / ".taskdock").mkdir()
    environment = {"TASKDOCK_HOME": str(tmp_path / "variable"), "XDG_STATE_HOME": "/xdg"}
    assert find_home(str(tmp_path / "named"), environment, tmp_path) == tmp_path / "named"
    assert find_home(None, environment, tmp_path) == tmp_path / "variable"
    assert find_home(None, {"XDG_STATE_HOME": "/xdg"}, tmp_path) == tmp_path / ".taskdock"


def test_a_relative_home_is_meant_from_here(tmp_path: Path) -> None:
    """A home is absolute whatever was written, so that it may be printed for another terminal."""
    (tmp_path / "a").mkdir()
    assert find_home("../state", {}, tmp_path / "a") == tmp_path / "state"
    assert find_home(None, {"TASKDOCK_HOME": "state"}, tmp_path) == tmp_path / "state"


def test_a_folder_upwards_is_found(tmp_path: Path) -> None:
    """The nearest `.taskdock` on the way up is the home of everything below."""
    (tmp_path / ".taskdock").mkdir()
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert find_home(None, {}, deep) == tmp_path / ".taskdock"
    (tmp_path / "a" / ".taskdock").mkdir()
    assert find_home(None, {}, deep) == tmp_path / "a" / ".taskdock"


def test_a_file_of_that_name_is_no_home(tmp_path: Path) -> None:
    """Only a folder counts."""
    (tmp_path / ".taskdock").touch()
    assert find_home(None, {"XDG_STATE_HOME": "/xdg"}, tmp_path) == Path("/xdg/taskdock")


def test_a_folder_of_somebody_else_is_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config may name code to load, so a folder that another user put there is passed over."""
    (tmp_path / ".taskdock").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    assert find_home(None, {"XDG_STATE_HOME": "/xdg"}, tmp_path) == Path("/xdg/taskdock")


@pytest.mark.parametrize("chosen", [None, "", "relative/path"])
def test_the_state_folder_is_the_last_resort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str | None
) -> None:
    """Without an absolute XDG_STATE_HOME it is ~/.local/state, as the specification says."""
    monkeypatch.setenv("HOME", "/home/ada")
    environment = {} if chosen is None else {"XDG_STATE_HOME": chosen}
    assert find_home(None, environment, tmp_path) == Path("/home/ada/.local/state/taskdock")
