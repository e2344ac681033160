"""Doctor: what this installation needs, looked at on this machine.

Owns: `examine`.
Never: a change or a download; it looks, and says the command that mends what it found.
Reads as: `taskdock doctor` -> examine -> Checks.
"""

import os
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote

from taskdock.adapters.agent.catalogue import DEMO
from taskdock.adapters.agent.fetch import VERSION, host_platform, npm_argv
from taskdock.adapters.agent.real import specs_of
from taskdock.adapters.clock import SystemClock
from taskdock.adapters.clone.git import GitClones
from taskdock.adapters.clone.stack.jobs import GitStackJobs
from taskdock.adapters.entry.cli.checks import Check
from taskdock.adapters.store.sqlite.store import SqliteStore
from taskdock.app.config import Config
from taskdock.app.config_file import FILE_NAME, load_home
from taskdock.app.providers import open_provider
from taskdock.app.wiring import STORE, open_reaper, scheduler_runs
from taskdock.core.errors import InvalidCommand, Permanent, PortError, SchemaMismatch, StoreError, Unsupported
from taskdock.ports.sandbox import Capabilities
from taskdock.services.reaper import Fate, Found


async def examine(home: Path) -> Sequence[Check]:
    """Look at everything that a task needs on this machine; what is essential comes first."""
    config = load_home(home)
    checks = [_python(), await _git(config), _agent(config), _config(home, Path.cwd()), _home(home)]
    providers = await _providers(config)
    waiting = 0
    if checks[-1].ok and (home / STORE).exists():
        store, waiting = await _store(home)
        checks.append(store)
        if store.ok and all(one.ok or not one.essential for one in providers):
            checks.append(await _left_over(config))
    checks += [*providers, *_real_agents(config)]
    return [*checks, await _stack_tool(config), _namer(config), await _scheduler(home, waiting)]


def _python() -> Check:
    return Check("python", ok=True, detail=f"{platform.python_version()} on {platform.platform(terse=True)}")


async def _git(config: Config) -> Check:
    try:
        return Check("git", ok=True, detail=await GitClones(config.home / "repos").version())
    except PortError as error:
        return Check("git", ok=False, detail=error.reason, mend="install git 2.38 or newer")


async def _stack_tool(config: Config) -> Check:
    """Restacks need git-spice; without it syncing and registering work all the same."""
    found = await GitStackJobs(GitClones(config.home / "repos"), tool_path=config.git_spice).probe()
    if found.is_available:
        return Check("git-spice", ok=True, detail=f"{found.version}")
    return Check(
        "git-spice",
        ok=False,
        essential=False,
        detail=found.hint,
        mend="install git-spice, or name it as git_spice",
    )


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


def _real_agents(config: Config) -> Iterator[Check]:
    """Whether each agent but the demo can be run, and gets a variable of those that are named for it."""
    for agent in dict.fromkeys(config.agents):
        if agent == DEMO.id:
            continue
        try:
            (spec,) = specs_of((agent,), config.agent)
        except InvalidCommand as error:
            yield Check(f"agent {agent}", ok=False, detail=error.message, mend="mend `agents` in the config")
            continue
        given = [name for name in spec.environment if os.environ.get(name)]
        if spec.environment and not given:
            detail = f"nothing is set here of {', '.join(spec.environment)}"
            mend = f"export {spec.environment[0]}=... where the process that schedules is started"
            yield Check(f"agent {agent}", ok=False, detail=detail, mend=mend, essential=False)
            continue
        detail = f"{' '.join(spec.argv)}, given {', '.join(given) or 'no variable'}"
        yield Check(f"agent {agent}", ok=True, detail=detail, essential=False)


def _config(home: Path, here: Path) -> Check:
    """One config is read, that of the home; who wrote another one where they stand would wait for it in vain."""
    path, other = home / FILE_NAME, here / FILE_NAME
    detail = str(path) if path.exists() else f"the defaults: there is no {path}"
    if here.resolve() == home.resolve() or not other.exists():
        return Check("config", ok=True, detail=detail, essential=False)
    make = "" if home.exists() else f"mkdir -p {quote(str(home))} && "
    mend = f"{make}mv {quote(str(other))} {quote(str(path))}, or make this folder the home: taskdock --home ."
    if path.exists():
        mend = f"write what is in it into {path}, or make this folder the home: taskdock --home ."
    return Check("config", ok=False, detail=f"{detail}; {other} is not read", mend=mend, essential=False)


def _home(home: Path) -> Check:
    nearest = next(folder for folder in (home, *home.parents) if folder.exists())
    if os.access(nearest, os.W_OK):
        return Check("home", ok=True, detail=str(home))
    mend = "name another folder with --home or TASKDOCK_HOME"
    return Check("home", ok=False, detail=f"{nearest} cannot be written", mend=mend)


async def _store(home: Path) -> tuple[Check, int]:
    """The store, and how many intents lie in its outbox."""
    try:
        async with SqliteStore.open(home / STORE) as store:
            report = await store.report(datetime.now(UTC))
            waiting = sum(report.open_by_lane.values())
            detail = f"position {await store.position()}, {waiting} intents open"
            return Check("store", ok=True, detail=detail), waiting
    except SchemaMismatch as error:
        mend = "install the version of Taskdock that wrote it, or start with another --home"
        return Check("store", ok=False, detail=str(error), mend=mend), 0
    except StoreError as error:
        mend = "taskdock store check; then put a backup back, or start with another --home"
        return Check("store", ok=False, detail=str(error), mend=mend), 0


async def _left_over(config: Config) -> Check:
    """Sandboxes that no task needs cost money, or disk, until somebody ends them."""
    async with open_reaper(config) as reaper:
        found = await reaper.plan()
    names = [one.ref.name for one in found.of(Fate.TO_REAP)]
    if names:
        detail = f"{len(names)} of {len(found.found)} are needed by no task{_bill(found.found)}"
        return Check("sandboxes", ok=False, detail=detail, mend="taskdock reap", essential=False)
    if found.failures:
        detail = "; ".join(f"{name}: {reason}" for name, reason in found.failures.items())
        return Check("sandboxes", ok=False, detail=f"cannot be listed at {detail}", essential=False)
    detail = f"{len(found.found)}, none left over{_bill(found.found)}"
    return Check("sandboxes", ok=True, detail=detail, essential=False)


def _bill(found: Sequence[Found]) -> str:
    """What all of them take up where their provider says so, and what an hour of that costs where prices are set."""
    takes: dict[str, float] = {}
    for one in found:
        for unit, much in one.takes.items():
            takes[unit] = takes.get(unit, 0.0) + much
    costs = [one.cost_hourly for one in found if one.cost_hourly is not None]
    told = [", ".join(f"{much:g} {unit}" for unit, much in takes.items())] if takes else []
    told += [f"{sum(costs):.4g} an hour"] if costs else []
    return "".join(f"; {one}" for one in told)


def _namer(config: Config) -> Check:
    """Without its model the heuristic names tasks, so nothing is missing but good names."""
    chat = config.chat_namer
    if config.namer != "chat" or chat is None:
        return Check("namer", ok=True, detail=config.namer, essential=False)
    if chat.key_variable is not None and not os.environ.get(chat.key_variable):
        detail = f"{chat.key_variable} is not set here, so the heuristic would name tasks"
        mend = f"export {chat.key_variable}=... where the process that schedules is started"
        return Check("namer", ok=False, detail=detail, mend=mend, essential=False)
    return Check("namer", ok=True, detail=f"chat, model {chat.model}", essential=False)


async def _scheduler(home: Path, waiting: int) -> Check:
    """Nobody need schedule while nothing waits."""
    if await scheduler_runs(home):
        return Check("scheduler", ok=True, detail="a process schedules this home", essential=False)
    detail = "no process schedules this home now"
    if not waiting:
        return Check("scheduler", ok=True, detail=detail, essential=False)
    mend = "start your backend, or drive one task from here: taskdock task watch TASK"
    return Check(
        "scheduler", ok=False, detail=f"{detail}, and {waiting} intents wait", mend=mend, essential=False
    )


async def _providers(config: Config) -> list[Check]:
    """Each provider with what it cannot hold, which is no failure but must not surprise anybody."""
    return [await _provider(name, config) for name in dict.fromkeys(config.providers)]


async def _provider(name: str, config: Config) -> Check:
    check = f"provider {name}"
    try:
        sandboxes = await open_provider(name, config, SystemClock())
    except Unsupported as error:
        return Check(check, ok=False, detail=error.reason, mend=error.mend)
    except InvalidCommand as error:
        mend = f"mend `providers` or [provider.{name}] in the config, or install what brings it"
        return Check(check, ok=False, detail=error.message, mend=mend)
    await sandboxes.aclose()
    return _held(check, sandboxes.capabilities)


def _held(check: str, says: Capabilities) -> Check:
    sentences = [f"isolation {says.isolation}", *says.limits, *says.not_enforced]
    detail = " ".join(map(_ended, sentences))
    return Check(check, ok=says.mend is None, detail=detail, mend=says.mend, essential=False)


def _ended(sentence: str) -> str:
    """With its full stop, which a provider may have left to us."""
    told = sentence.strip()
    return told if told.endswith((".", "!", "?", "…")) else f"{told}."
