"""Exit codes: what the process says to the shell, in one table that the code and the docs both use.

Owns: `ExitCode`, what each means, and which error ends in which.
Never: a code with two meanings.
Reads as: runner.py and app.py -> `exit_code_of(error)` -> the shell.
"""

from enum import IntEnum

from taskdock.core.errors import (
    CapacityExceeded,
    CommandRejected,
    Conflict,
    NotFound,
    StoreError,
    Unsupported,
)


class ExitCode(IntEnum):
    """Every code that `taskdock` ends with on purpose."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    UNSUPPORTED = 5
    CAPACITY_EXCEEDED = 6
    STORE_FAILED = 7
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS = {
    ExitCode.OK: "done; for what was waited for: it came to rest well",
    ExitCode.FAILED: "the task, tab or repo ended in error, its turn did not complete, a check failed, or a bug",
    ExitCode.USAGE: "the command line or a value in it is wrong; nothing was written",
    ExitCode.NOT_FOUND: "it names something that does not exist in this workspace",
    ExitCode.CONFLICT: "it does not fit the status of the record; the message says what would",
    ExitCode.UNSUPPORTED: "what it needs is not installed here; the message says how to get it",
    ExitCode.CAPACITY_EXCEEDED: "a bounded queue is full; come back later",
    ExitCode.STORE_FAILED: "the store could not be opened, read or written",
    ExitCode.INTERRUPTED: "SIGINT; what was accepted is kept and goes on when a process schedules",
    ExitCode.TERMINATED: "SIGTERM; the same",
}

_BY_ERROR: tuple[tuple[type[Exception], ExitCode], ...] = (
    (NotFound, ExitCode.NOT_FOUND),
    (Conflict, ExitCode.CONFLICT),
    (Unsupported, ExitCode.UNSUPPORTED),
    (CapacityExceeded, ExitCode.CAPACITY_EXCEEDED),
    (CommandRejected, ExitCode.USAGE),
    (StoreError, ExitCode.STORE_FAILED),
)
"""The first row that fits: a kind stands before the kinds it is one of."""


def exit_code_of(error: Exception) -> ExitCode:
    """The code that an error ends in; what no row names is unexpected, and FAILED."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), ExitCode.FAILED)


def table() -> str:
    """The table as Markdown, for the docs."""
    rows = [f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(["| exit code | meaning |", "|---|---|", *rows, ""])
