"""Logs: where the command line writes them, and how an error is told in one line.

Owns: `log_to_stderr`, `innermost`.
Never: a traceback that nobody asked for; an error without the place that it came from; a token or a password in that line.
Reads as: runner.py -> this -> the logger `taskdock`, to stderr.
"""

import logging
import re
import traceback
from pathlib import Path
from types import FrameType, TracebackType

import click

_ErrorInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

_MESSAGE_LENGTH_MAX = 300
_BETWEEN = frozenset({"anyio", "asyncio", "concurrent", "contextlib", "functools", "threading", "trio"})
"""Modules that stand between us and what we call."""
_SECRETS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s'\"]{8,}"), r"\1 …"),
    (re.compile(r"(?i)(token|secret|password|key)(['\"]?\s*[:=]\s*['\"]?)[^\s'\",;)]+"), r"\1\2…"),
    (re.compile(r"//[^/\s@]+@"), "//…@"),
)
"""What an error of somebody else's may carry in its words, and what is shown instead."""


def log_to_stderr(verbose: int) -> None:
    """Errors and warnings always, in one line each; -v adds what happens and tracebacks, -vv everything."""
    kind = logging.Formatter if verbose else _OneLine
    handler = _ToStderr()
    handler.setFormatter(kind("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("taskdock")
    logger.handlers = [one for one in logger.handlers if not isinstance(one, _ToStderr)] + [handler]
    logger.setLevel([logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)])


def innermost(error: Exception) -> Exception:
    """The one error of a group of one: what a task group wrapped, a person need not unwrap."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class _ToStderr(logging.Handler):
    """Looks stderr up for each record, since the live view puts itself in between while it is up."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        click.echo(self.format(record), err=True)


class _OneLine(logging.Formatter):
    """A record in one line: a traceback is for those who asked to be told more."""

    def format(self, record: logging.LogRecord) -> str:
        """The message, and behind it the error."""
        return ": ".join(line for line in super().format(record).splitlines() if line)

    def formatException(self, ei: _ErrorInfo) -> str:  # noqa: N802 - logging's own name
        """Type, message and place; an error without a message is told by the other two."""
        error = innermost(ei[1]) if isinstance(ei[1], Exception) else ei[1]
        words = " ".join(str(error).split())
        for secret, shown in _SECRETS:
            words = secret.sub(shown, words)
        said = words[:_MESSAGE_LENGTH_MAX] + "…" * (len(words) > _MESSAGE_LENGTH_MAX)
        told = f"{type(error).__name__}: {said}" if said else type(error).__name__
        place = _place(error)
        return f"{told} ({place}; -v shows more)" if place else told


def _place(error: BaseException | None) -> str:
    """Where it came from: the call that left Taskdock, or the last one in it, and where it was raised if that is deeper."""
    ours = called = last = None
    for frame, line in traceback.walk_tb(error.__traceback__ if error else None):
        module = frame.f_globals.get("__name__", "").partition(".")[0]
        last = (frame, line)
        if module == "taskdock":
            ours, called = last, None
        elif called is None and module not in _BETWEEN:
            called = last
    first = called or ours
    if first is None or last is None:
        return ""
    called_at = f"in {_named(*first)}"
    return called_at if first[0] is last[0] else f"{called_at}, raised in {_named(*last)}"


def _named(frame: FrameType, line: int) -> str:
    code = frame.f_code
    return f"{code.co_qualname} at {Path(code.co_filename).name}:{line}"
