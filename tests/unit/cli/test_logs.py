"""Logs of the command line: an error in one line that says type, message and place, without secrets."""

import json
import logging
from collections.abc import Iterator
from typing import NoReturn

import pytest

from taskdock.adapters.entry.cli.logs import log_to_stderr

LOG = logging.getLogger("taskdock.services.scheduler")


@pytest.fixture(autouse=True)
def logger() -> Iterator[None]:
    """Leave the logger as it was."""
    parent = logging.getLogger("taskdock")
    handlers, level = parent.handlers, parent.level
    yield
    parent.handlers = handlers
    parent.setLevel(level)


def refuse(error: Exception) -> NoReturn:
    """Raise it, as a provider with a bug does."""
    raise error


def parse(text: str) -> object:
    """Hand what is no JSON to a library."""
    return json.loads(text)


def told(error: Exception | str, capsys: pytest.CaptureFixture[str], verbose: int = 0) -> list[str]:
    """What is written to stderr of a call that raises, or of a text that is parsed."""
    log_to_stderr(verbose)
    try:
        if isinstance(error, str):
            parse(error)
        else:
            refuse(error)
    except Exception:
        LOG.exception("the executor of %s failed", "task-1#3")
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (NotImplementedError(), "NotImplementedError (in told at test_logs.py:"),
        (
            RuntimeError("the shed is\n\nlocked"),
            "RuntimeError: the shed is locked (in told at test_logs.py:",
        ),
        (ExceptionGroup("several", [ValueError("one")]), "ValueError: one"),
        ("{", "JSONDecodeError: Expecting property name"),
    ],
    ids=["without a message", "of several lines", "in a group", "in a library"],
)
def test_a_bug_is_one_line(error: Exception | str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Type, message and place stand behind what was done, in one line, and the way to the traceback."""
    (line,) = told(error, capsys)
    assert "ERROR taskdock.services.scheduler: the executor of task-1#3 failed: " in line
    assert says in line
    if not isinstance(error, ExceptionGroup):
        assert ", raised in " in line
        assert line.endswith("; -v shows more)")


def test_a_library_is_told_beside_the_call_that_led_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the error was raised deeper than the call that left Taskdock, both places are told."""
    (line,) = told("{", capsys)
    assert "in told at test_logs.py:" in line
    assert "raised in JSONDecoder.raw_decode at decoder.py:" in line


@pytest.mark.parametrize(
    "words",
    [
        "401 for Authorization: Bearer hunter2hunter2",
        "no such field: token='hunter2hunter2'",
        'sent {"password": "hunter2hunter2"}',
        "cannot reach https://me:hunter2hunter2@example.org/repo.git",
    ],
)
def test_no_secret_is_told(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What looks like a token or a password in the words of somebody else's error is left out."""
    (line,) = told(RuntimeError(words), capsys)
    assert "hunter2" not in line
    assert words[:6] in line


def test_much_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """A message that is a page long is cut, and its place is still there."""
    (line,) = told(RuntimeError("x" * 10_000), capsys)
    assert len(line) < 600
    assert "x… (in " in line


def test_who_asks_gets_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """With -v the traceback is there."""
    lines = told(NotImplementedError(), capsys, verbose=1)
    assert "Traceback (most recent call last):" in lines
    assert lines[-1] == "NotImplementedError"
