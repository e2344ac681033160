"""What is loaded, and when: help comes at once, and rich only for a person at a terminal."""

import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from taskdock.adapters.entry.cli.app import NOUNS, build_cli

HEAVY = (
    "anyio",
    "asyncio",
    "attr.validators",
    "cattrs",
    "httpx",
    "rich",
    "sqlite3",
    "sqlite_utils",
    "transitions",
)

LOAD = """
import contextlib, io, json, sys
sys.path[:] = json.loads(sys.argv[1])
from taskdock.adapters.entry.cli.app import build_cli
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    build_cli(None).main(json.loads(sys.argv[2]))
print(json.dumps(sorted(sys.modules)))
"""


def loaded_by(*words: str) -> set[str]:
    """The modules that are loaded after one run of the command line in a process of its own."""
    argv = [sys.executable, "-c", LOAD, json.dumps(sys.path), json.dumps(words)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    modules: list[str] = json.loads(done.stdout)
    return set(modules)


def test_help_loads_nothing_heavy() -> None:
    """`taskdock --help` knows its nouns without loading one of them, or what they need."""
    loaded = loaded_by("--help")
    assert [name for name in HEAVY if name in loaded and name != "attr.validators"] == []
    assert [noun for noun in NOUNS if f"taskdock.adapters.entry.cli.{noun}" in loaded] == []


@pytest.mark.parametrize("noun", NOUNS)
def test_a_noun_loads_neither_a_store_nor_rich(noun: str) -> None:
    """What a command prints to a pipe needs no rich, and the store is the app's to bring."""
    loaded = loaded_by(noun, "--help")
    assert f"taskdock.adapters.entry.cli.{noun}" in loaded
    assert [name for name in ("httpx", "rich", "sqlite_utils", "trio") if name in loaded] == []


def every_command() -> dict[str, click.Command]:
    """Each command by the words that call it."""
    root = build_cli(lambda *_, **__: None)  # type: ignore[arg-type]
    found: dict[str, click.Command] = {}
    context = click.Context(root)
    for noun in root.list_commands(context):
        command = root.get_command(context, noun)
        assert command is not None
        found[noun] = command
        if isinstance(command, click.Group):
            found |= {f"{noun} {verb}": one for verb, one in command.commands.items()}
    return found


def test_the_list_of_nouns_names_every_verb() -> None:
    """The sentence that stands for a noun in the help names its verbs, in their order."""
    for noun, command in every_command().items():
        if isinstance(command, click.Group):
            assert NOUNS[noun].partition(": ")[2] == f"{', '.join(command.commands)}."


def test_every_command_says_what_it_does() -> None:
    """Each command has a help text and each of its options one."""
    for words, command in every_command().items():
        assert command.help, words
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, f"{words} {parameter.name}"


@pytest.mark.parametrize(
    "words", [[], ["task"], ["frobnicate"], ["task", "frobnicate"], ["task", "list", "--no"]]
)
def test_a_wrong_line_is_a_usage_error(words: list[str]) -> None:
    """Help or the usage goes to stderr, and the exit code is 2."""
    result = CliRunner().invoke(build_cli(lambda *_, **__: None), words)  # type: ignore[arg-type]
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: taskdock" in result.stderr


def test_the_version_is_told() -> None:
    """`--version` names the program and its version."""
    result = CliRunner().invoke(build_cli(lambda *_, **__: None), ["--version"])  # type: ignore[arg-type]
    assert result.exit_code == 0
    assert result.stdout.startswith("taskdock ")
