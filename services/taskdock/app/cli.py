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
from taskdock.adapters.entry.cli.upkeep import Removed, StoreUpkeep

if TYPE_CHECKING:
    from taskdock.services.dock import Dock
    from taskdock.services.reaper import Reaper


def main() -> None:
    """Run the command line of this process."""
    build_cli(
        _open,
        checks=_checks,
        clone_path=_clone_path,
        scheduler_runs=_scheduler_runs,
        reapers=_reaper,
        store=StoreUpkeep(_check, _migrate, _backup),
        purge=_purge,
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
    from taskdock.app.config_file import load_home
    from taskdock.app.wiring import open_reaper

    async with open_reaper(load_home(home)) as reaper:
        yield reaper


def _check(home: Path) -> Sequence[str]:
    from taskdock.adapters.store.sqlite import upkeep
    from taskdock.app.wiring import STORE

    return upkeep.check(home / STORE)


def _migrate(home: Path) -> tuple[int, int]:
    from taskdock.adapters.store.sqlite import upkeep
    from taskdock.app.wiring import STORE

    return upkeep.migrate(home / STORE)


def _backup(home: Path, into: Path) -> int:
    from taskdock.adapters.store.sqlite import upkeep
    from taskdock.app.wiring import STORE

    return upkeep.backup(home / STORE, into)


async def _purge(home: Path, dry_run: bool) -> Sequence[Removed]:  # noqa: FBT001 - the seam's own shape
    from taskdock.app.config_file import load_home
    from taskdock.app.wiring import open_retention

    config = load_home(home)
    async with open_retention(config) as retention:
        counts = await (retention.plan() if dry_run else retention.prune())
    keep = config.keep
    rules = {
        "history": f"of tasks that are over, {keep.history_days:g} days after their last event",
        "feed": f"older than {keep.feed_days:g} days, or more than {keep.feed_rows_max:,} rows",
        "keys": f"older than {keep.keys_hours:g} hours",
    }
    return [Removed(kind, rows, rules.get(kind, "")) for kind, rows in counts.items()]
