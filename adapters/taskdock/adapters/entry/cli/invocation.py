"""Invocation: one run of the command line: what the app brought, and the options that every command takes.

Owns: `Installation`, `Invocation`, and the options that may stand before or after any command.
Never: an open store; a command opens it when its arguments are known to be right.
Reads as: the app -> `Installation` -> a command -> `Invocation.of(context)`.
"""

import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import frozen

from taskdock.adapters.entry.cli.checks import Check
from taskdock.adapters.entry.cli.homes import find_home
from taskdock.adapters.entry.cli.upkeep import Purge, StoreUpkeep

if TYPE_CHECKING:
    from taskdock.services.dock import Dock
    from taskdock.services.reaper import Reaper

Opener = Callable[..., AbstractAsyncContextManager["Dock"]]
"""`opener(home, *, schedule, read_only=False)`; `schedule`: take the scheduler's seat if it is free."""

Reapers = Callable[[Path], AbstractAsyncContextManager["Reaper"]]
"""Opens the reaper of a home."""


@frozen
class Installation:
    """What the app brings; what is None this installation cannot tell or do."""

    open_dock: Opener
    checks: Callable[[Path], Awaitable[Sequence[Check]]] | None = None
    """The checks of `doctor`, of one home."""
    clone_path: Callable[[Path, str], Path] | None = None
    """Where the service-owned clone of a repo id is in a home."""
    scheduler_runs: Callable[[Path], Awaitable[bool]] | None = None
    """Whether some process schedules a home now."""
    reapers: Reapers | None = None
    store: StoreUpkeep | None = None
    purge: Purge | None = None


@frozen
class Invocation:
    """One run: the installation, the home and the workspace it is about, and how to print."""

    installation: Installation
    home: Path
    workspace: str
    json: bool

    @classmethod
    def of(cls, context: click.Context) -> "Invocation":
        """The invocation of a command's context."""
        meta = context.meta
        home = find_home(meta.get(_key("home")), os.environ, Path.cwd())
        workspace = meta.get(_key("workspace"), "default")
        return cls(context.find_object(Installation), home, workspace, bool(meta.get(_key("json"))))  # type: ignore[arg-type]

    @property
    def tells_people(self) -> bool:
        """Whether stdout is a terminal and text was not asked to be JSON."""
        return is_terminal(sys.stdout) and not self.json


def is_terminal(stream: Any) -> bool:  # noqa: ANN401 - whatever stands in for stdout
    """Whether a person watches this stream on something that can move its cursor."""
    return bool(stream.isatty()) and os.environ.get("TERM", "dumb") != "dumb"


def _key(name: str) -> str:
    return f"taskdock.{name}"


def _remember(context: click.Context, option: click.Parameter, value: object) -> None:
    """Keep a value that was given; the innermost place where it was given wins."""
    if value:
        context.meta[_key(option.name or "")] = value


def _options(*, hidden: bool) -> list[click.Option]:
    told: dict[str, Any] = {"expose_value": False, "callback": _remember, "is_eager": True, "hidden": hidden}
    return [
        click.Option(
            ["--home"],
            metavar="PATH",
            help="Where the state is kept. Else TASKDOCK_HOME, a .taskdock folder here or upwards, or the XDG state folder.",
            **told,
        ),
        click.Option(["--workspace"], metavar="NAME", help="Which workspace; else 'default'.", **told),
        click.Option(["--json"], is_flag=True, help="Print JSON.", **told),
        click.Option(["-v", "--verbose"], count=True, help="Log to stderr; twice for more.", **told),
    ]


_SHOWN = _options(hidden=False)
_HIDDEN = _options(hidden=True)


class _TakesOptions(click.Command):
    """A command that takes the options of every command, wherever they stand on the line."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own parameters and the shared ones, which only the outermost help shows."""
        return [*super().get_params(ctx), *(_SHOWN if ctx.parent is None else _HIDDEN)]


class Command(_TakesOptions):
    """A verb."""


class Group(_TakesOptions, click.Group):
    """A noun."""

    command_class = Command


def verbosity(context: click.Context) -> int:
    """How often -v was given."""
    return int(context.meta.get(_key("verbose"), 0))
