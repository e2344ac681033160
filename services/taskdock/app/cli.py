"""Command line: the `taskdock` command, wired to the real app.

Owns: `main`, and how a home becomes a Dock for one command.
Never: a heavy import before a command needs it; `--help` and shell completion stay fast.
Reads as: the console script -> `main` -> adapters/entry/cli -> open_dock.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from taskdock.adapters.entry.cli.app import build_cli
from taskdock.adapters.entry.cli.checks import Check

if TYPE_CHECKING:
    from taskdock.services.dock import Dock
    from taskdock.services.reaper import Reaper


def main() -> None:
    """Run the command line of this process."""
    build_cli(
        _open, checks=_checks, clone_path=_clone_path, scheduler_runs=_scheduler_runs, reapers=_reaper
    ).main()


@asynccontextmanager
async def _open(home: Path, *, schedule: bool, read_only: bool = False) -> AsyncIterator["Dock"]:
    from taskdock.app.config_file import load_home
    from taskdock.app.wiring import open_dock

    async with open_dock(load_home(home), schedule=schedule and not read_only) as dock:
        yield dock


async def _checks(home: Path) -> Sequence[Check]:
    from taskdock.app.doctor import examine

    return await examine(home)


def _clone_path(home: Path, repo_id: str) -> Path:
    from taskdock.app.config_file import load_home
    from taskdock.app.wiring import clone_path

    return clone_path(load_home(home), repo_id)


async def _scheduler_runs(home: Path) -> bool:
    from taskdock.app.wiring import scheduler_runs

    return await scheduler_runs(home)


@asynccontextmanager
async def _reaper(home: Path) -> AsyncIterator["Reaper"]:
    from taskdock.app.config import load_home
    from taskdock.app.wiring import open_reaper

    async with open_reaper(load_home(home)) as reaper:
        yield reaper
