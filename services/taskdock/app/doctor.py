"""Doctor: what this installation needs, looked at on this machine.

Owns: `examine`.
Never: a change or a download; it looks, and says the command that mends what it found.
Reads as: `taskdock doctor` -> examine -> Checks.
"""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from taskdock.adapters.agent.fetch import VERSION, host_platform, npm_argv
from taskdock.adapters.clone.git import GitClones
from taskdock.adapters.entry.cli.checks import Check
from taskdock.adapters.store.sqlite.store import SqliteStore
from taskdock.app.config import Config
from taskdock.app.config_file import load_home
from taskdock.app.wiring import ports_of, scheduler_runs
from taskdock.core.errors import Permanent, PortError, StoreError
from taskdock.ports.sandbox import Capabilities


async def examine(home: Path) -> Sequence[Check]:
    """Look at everything that a task needs on this machine; what is essential comes first."""
    config = load_home(home)
    checks = [_python(), await _git(config), _agent(config), _home(home)]
    if checks[-1].ok and (home / "taskdock.db").exists():
        checks.append(await _store(home))
    checks += await _providers(config)
    running = await scheduler_runs(home)
    detail = "a process schedules this home" if running else "no process schedules this home now"
    return [*checks, Check("scheduler", ok=True, detail=detail, essential=False)]


def _python() -> Check:
    return Check("python", ok=True, detail=f"{platform.python_version()} on {platform.platform(terse=True)}")


async def _git(config: Config) -> Check:
    try:
        return Check("git", ok=True, detail=await GitClones(config.home / "repos").version())
    except PortError as error:
        return Check("git", ok=False, detail=error.reason, mend="install git 2.38 or newer")


def _agent(config: Config) -> Check:
    """The agent's server is fetched when it is first needed, so npm is only essential until then."""
    name = f"sandbox-agent {VERSION}"
    try:
        cached = (config.cache / f"sandbox-agent-{VERSION}-{host_platform()}").exists()
        if cached:
            return Check(name, ok=True, detail=f"in the cache, {config.cache}")
        npm = " ".join(npm_argv())
    except Permanent as error:
        return Check(
            name, ok=False, detail=error.reason, mend="install Node, or pip install 'taskdock[node]'"
        )
    return Check(name, ok=True, detail=f"is fetched with {npm} when the first agent starts")


def _home(home: Path) -> Check:
    nearest = next(folder for folder in (home, *home.parents) if folder.exists())
    if os.access(nearest, os.W_OK):
        return Check("home", ok=True, detail=str(home))
    mend = "name another folder with --home or TASKDOCK_HOME"
    return Check("home", ok=False, detail=f"{nearest} cannot be written", mend=mend)


async def _store(home: Path) -> Check:
    try:
        async with SqliteStore.open(home / "taskdock.db") as store:
            report = await store.report(datetime.now(UTC))
            waiting = sum(report.open_by_lane.values())
            return Check(
                "store", ok=True, detail=f"position {await store.position()}, {waiting} intents open"
            )
    except StoreError as error:
        return Check(
            "store", ok=False, detail=str(error), mend="restore a backup, or start with another --home"
        )


async def _providers(config: Config) -> list[Check]:
    """Each provider with what it cannot hold, which is no failure but must not surprise anybody."""
    async with ports_of(config) as ports:
        return [_provider(name, site.provider.capabilities) for name, site in ports.sites.by_provider.items()]


def _provider(name: str, capabilities: Capabilities) -> Check:
    held = " ".join(capabilities.not_enforced) or "What it promises is enforced."
    detail = f"isolation {capabilities.isolation}. {held}"
    return Check(f"provider {name}", ok=True, detail=detail, essential=False)
