"""Commands: every `taskdock`, `make` and pytest command in the documents would be taken as it stands there.

A `taskdock` command is parsed by the real command line, up to where it would open the store.
"""

import re
import shlex
import tomllib
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from click import ClickException
from click.exceptions import Exit

from architecture.source_tree import REPOSITORY
from docs.pages import blocks, code, documents, prose
from taskdock.adapters.entry.cli.app import build_cli
from taskdock.adapters.entry.cli.checks import Check
from taskdock.testing.conformance.__main__ import options
from taskdock.testing.kill_matrix.__main__ import main as kill_matrix
from taskdock.testing.kill_matrix.cells import chosen
from taskdock.testing.simulation import Script
from taskdock.testing.simulation.__main__ import parser

_ENVIRONMENT = ".venv/bin/"
ANY_FILE = str(REPOSITORY / "pyproject.toml")
"""Stands for the reader's own config, of which only the path is looked at."""


class Reached(Exception):
    """The command line was taken: the store would be opened now."""


def _open(*_where: Path, **_how: bool) -> NoReturn:
    raise Reached


async def _checks(_home: Path) -> Sequence[Check]:
    raise Reached


def is_taskdock(words: Sequence[str]) -> bool:
    """Whether our command line takes these words, all arguments and options included."""
    try:
        build_cli(_open, checks=_checks).main(list(words), "taskdock")
    except Reached:
        return True
    except SystemExit as ended:
        return ended.code == 0


def is_make(words: Sequence[str]) -> bool:
    """Whether the Makefile has these targets; settings are left out."""
    targets = [word for word in words if "=" not in word]
    rules = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    return set(targets) <= rules


def is_kill_matrix(words: Sequence[str]) -> bool:
    """Whether the command takes these options, and what it is asked for is there; a config is the reader's own."""
    arguments = [ANY_FILE if word == "taskdock.toml" else word for word in words]
    try:
        given = kill_matrix.make_context("kill_matrix", arguments)
    except (ClickException, Exit):
        return False
    return bool(chosen(given.params["only"]))


def is_python(words: Sequence[str]) -> bool:
    """Whether it is the kill matrix with options that fit, or pytest on a path that exists."""
    if [*words[:2]] == ["-m", "taskdock.testing.kill_matrix"]:
        return is_kill_matrix(words[2:])
    if [*words[:2]] == ["-m", "taskdock.testing.simulation"]:
        return is_simulation(words[2:])
    if [*words[:2]] == ["-m", "taskdock.testing.conformance"]:
        return is_parsed(options(), words[2:])
    return [*words[:2]] == ["-m", "pytest"] and all((REPOSITORY / word).exists() for word in words[2:3])


def is_simulation(words: Sequence[str]) -> bool:
    """Whether the simulation takes these options, the script among them included."""
    try:
        asked = parser().parse_args(words)
        Script.parse(asked.replay or "0")
    except (SystemExit, ValueError):
        return False
    return True


def is_parsed(taken: ArgumentParser, words: Sequence[str]) -> bool:
    """Whether these are options that it takes."""
    try:
        taken.parse_args(words)
    except SystemExit:
        return False
    return True


def is_pip(words: Sequence[str]) -> bool:
    """Whether it installs this project, with extras that it has."""
    extras = set(re.findall(r"\w+", "".join(words[1:]).partition("[")[2]))
    offered = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return words[0] == "install" and words[1].startswith(".") and extras <= offered.keys()


PROGRAMS: dict[str, Callable[[Sequence[str]], bool]] = {
    "taskdock": is_taskdock,
    "make": is_make,
    "python": is_python,
    "pip": is_pip,
}


def commands() -> list[tuple[str, str]]:
    """Every command that the documents show, with where it stands: lines of `sh` blocks, and those set as code."""
    found: list[tuple[str, str]] = []
    for path in documents():
        name = path.relative_to(REPOSITORY).as_posix()
        for block in blocks(path):
            if block.language == "sh":
                found += [(block.name, line) for line in block.text.splitlines() if line.strip()]
        for words in code(prose(path)):
            program, _, rest = words.removeprefix(_ENVIRONMENT).partition(" ")
            if program in PROGRAMS and rest:
                # In a sentence a command is named, not given: its arguments may be left out.
                found.append((name, f"{words} --help" if program == "taskdock" else words))
    return found


def is_taken(line: str) -> bool:
    """Whether a command would be taken by the program that it names."""
    program, *words = shlex.split(line, comments=True)
    return PROGRAMS[program.removeprefix(_ENVIRONMENT)](words)


@pytest.mark.parametrize(("where", "line"), commands())
def test_command_is_taken(where: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program takes it: a noun and a verb that exist with arguments that fit, a target, a path, an extra."""
    monkeypatch.setenv("TASKDOCK_HOME", str(tmp_path))
    assert is_taken(line), where


def test_there_are_commands() -> None:
    """The front page shows the two commands, and some of our own."""
    lines = [shlex.split(line, comments=True) for where, line in commands() if where.startswith("README.md")]
    assert ["make"] in lines
    assert ["make", "test"] in lines
    assert sum(words[0].endswith("taskdock") for words in lines) >= 3


@pytest.mark.parametrize(
    "line",
    [
        "taskdock task fly",
        "taskdock task create 'no repo'",
        "taskdock task list --fast",
        "taskdock job list",
        "make coffee",
        ".venv/bin/python -m pytest tests/nothing.py",
        "python -m taskdock.testing.simulation --fast",
        "python -m taskdock.testing.simulation --replay 7,send",
        "python -m taskdock.testing.kill_matrix --sorry",
        "python -m taskdock.testing.kill_matrix --only nothing",
        "pip install '.[nothing]'",
    ],
)
def test_wrong_command_is_seen(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb, option, argument, target, path or extra that is not there is noticed."""
    monkeypatch.setenv("TASKDOCK_HOME", str(tmp_path))
    assert not is_taken(line)
