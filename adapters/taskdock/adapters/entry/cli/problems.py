"""Problems: how an error is told, to a person in one sentence or to a program in one JSON document.

Owns: the problem document.
Never: a traceback for what Taskdock raises on purpose; what it does not is a bug and keeps its traceback.
Reads as: app.py -> `tell` -> stderr.

The document: `code` (stable, for programs), `message`, `exit_code`, `status` and `available_actions` (of the record, for
a conflict), `record_id` (which record), `field` (for an invalid command), `retry_after_seconds`. What does not apply is null, or empty.
"""

import json as json_text

import click

from taskdock.adapters.entry.cli.actions import what_fits
from taskdock.adapters.entry.cli.exit_codes import ExitCode
from taskdock.core.errors import CommandRejected, Conflict, StoreError, TaskdockError

USAGE_CODE = "invalid_usage"
"""Of a command line that could not be parsed."""


def problem(error: TaskdockError, exit_code: int) -> dict[str, object]:
    """The problem document of an error."""
    return _document(_code(error), str(error), exit_code) | {
        key: _plain(getattr(error, key))
        for key in ("status", "available_actions", "record_id", "field", "retry_after_seconds")
        if getattr(error, key, None)
    }


def tell(error: TaskdockError, exit_code: int, *, json: bool) -> None:
    """Write it to stderr."""
    if json:
        click.echo(json_text.dumps(problem(error, exit_code)), err=True)
        return
    click.echo(f"taskdock: {error}", err=True)
    if isinstance(error, Conflict):
        for line in what_fits(error):
            click.echo(line, err=True)


def tell_usage(error: click.ClickException, *, json: bool) -> None:
    """Write what is wrong with the command line to stderr, with the usage of the command for people."""
    if json:
        document = _document(USAGE_CODE, error.format_message(), ExitCode.USAGE)
        click.echo(json_text.dumps(document), err=True)
    else:
        error.show()


def _document(code: str, message: str, exit_code: int) -> dict[str, object]:
    return {
        "code": code,
        "message": message,
        "exit_code": int(exit_code),
        "status": None,
        "available_actions": [],
        "record_id": None,
        "field": None,
        "retry_after_seconds": None,
    }


def _code(error: TaskdockError) -> str:
    if isinstance(error, CommandRejected):
        return error.code
    return "store_error" if isinstance(error, StoreError) else "failed"


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
