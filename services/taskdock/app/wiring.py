"""Wiring: the composition root, the one place that knows every adapter.

Owns: `open_dock`, and which adapters a config stands for.
Never: a rule of the domain.
Reads as: `taskdock.app.open(config)` -> store, ports, background -> Dock.
"""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path

import anyio

from taskdock.adapters.agent.real import specs_of
from taskdock.adapters.agent.sandbox_agent import SandboxAgentGateway
from taskdock.adapters.clock import SystemClock
from taskdock.adapters.clone.git import GitClones
from taskdock.adapters.clone.stack.jobs import GitStackJobs
from taskdock.adapters.clone.stack.tool import STACK_TOOLS
from taskdock.adapters.naming.chat import ChatNamer
from taskdock.adapters.naming.heuristic import HeuristicNamer
from taskdock.adapters.seat.unix import UnixSeat
from taskdock.adapters.store.sqlite.store import SqliteStore
from taskdock.app.config import Config, home_folder
from taskdock.app.config_file import load_config, load_home
from taskdock.app.providers import open_sites
from taskdock.core.errors import InvalidCommand, Unreachable
from taskdock.ports.clock import Clock
from taskdock.services.background import Background, Work
from taskdock.services.capacity import Capacity
from taskdock.services.carrier import BundleCarrier
from taskdock.services.dock import Dock
from taskdock.services.feed import Hub
from taskdock.services.links import Links
from taskdock.services.reaper import Reaper
from taskdock.services.retention import Retention
from taskdock.services.stepping import Stepper
from taskdock.services.tools import Outside, Tools
from taskdock.services.workbench import Offer

STORE = "taskdock.db"
"""The store's file in a home."""

Wrapper = Callable[[Outside], Outside]

_LOOK_SECONDS = 0.2
"""Who schedules lets itself be followed at once, and as long as it lives; asking for its seat would disturb a start."""


@asynccontextmanager
async def open_dock(
    config: Config | Path | str | None = None, *, schedule: bool = True, outside: Outside | None = None
) -> AsyncIterator[Dock]:
    """Open the store of `config`: a Config, the path of a TOML file, or None for the defaults.

    With `schedule` this process runs the background work, unless another one does already: then it waits, and takes over
    when that one ends or dies (`dock.schedules` tells). Without, it submits and reads only. `outside` brings other ports
    than the configured ones. On leaving the block, short work is given `drain_seconds` to end, and everything else is handed
    to whoever schedules next.
    """
    config = _config(config)
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    clock = SystemClock()
    hub = Hub()
    seat = UnixSeat(config.home)
    background = Background(hub, seat, config.drain_seconds)
    async with AsyncExitStack() as stack:
        path = config.home / STORE
        store = await stack.enter_async_context(
            SqliteStore.open(path, synchronous=config.synchronous, on_commit=background.committed)
        )
        stack.push_async_callback(seat.leave)
        capacity = Capacity(store, config.open_intents_max)
        dock = Dock(
            stepper=Stepper(store, clock, config.figures, capacity=capacity),
            reads=store,
            clock=clock,
            offer=Offer(config.providers, config.agents, stack_tool=has_stack_tool(config)),
            owner=await store.owner(),
            store=store,
            hub=hub,
            home=config.home,
            schedules_now=lambda: background.schedules,
        )
        work = None
        if schedule:
            if outside is None:
                outside = await stack.enter_async_context(ports_of(config, clock))
            work = Work(
                queue=store,
                tools=_tools(dock, outside),
                lanes=config.lanes,
                retention=Retention(store, clock, config.keep),
                reaper=_reaper(config, dock, outside),
                reap_seconds=config.reap_seconds,
            )
        async with background.running(store, work):
            yield dock


@asynccontextmanager
async def open_reaper(config: Config) -> AsyncIterator[Reaper]:
    """The reaper of a home, for one round on demand; it may run beside the process that schedules."""
    async with ports_of(config) as outside, open_dock(config, schedule=False, outside=outside) as dock:
        yield _reaper(config, dock, outside)


@asynccontextmanager
async def open_retention(config: Config) -> AsyncIterator[Retention]:
    """The retention of a home, for one round on demand; it may run beside the process that schedules."""
    clock = SystemClock()
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with SqliteStore.open(config.home / STORE, synchronous=config.synchronous) as store:
        yield Retention(store, clock, config.keep)


def _reaper(config: Config, dock: Dock, outside: Outside) -> Reaper:
    return Reaper(outside.sites, dock.stepper, dock.reads, dock.clock, dock.owner, config.reap_age_seconds)


def _tools(dock: Dock, outside: Outside) -> Tools:
    """What executors work with."""
    links = Links(dock.stepper, dock.store, dock.reads, dock.clock, outside.sites, outside.gateway)
    return Tools(
        stepper=dock.stepper,
        store=dock.store,
        reads=dock.reads,
        clock=dock.clock,
        sites=outside.sites,
        gateway=outside.gateway,
        clones=outside.clones,
        namer=outside.namer,
        fallback_namer=outside.fallback_namer,
        links=links,
        carrier=BundleCarrier(outside.clones),
        stack=outside.stack,
    )


def clone_path(config: Config, repo_id: str) -> Path:
    """Where the service-owned clone of a repo is on this machine."""
    return GitClones(config.home / "repos").path(repo_id)


def has_stack_tool(config: Config) -> bool:
    """Whether there is a program that may be git-spice; a request asks no more, and its job finds out what it is."""
    if config.git_spice is not None:
        return config.git_spice.exists()
    return any(shutil.which(name) for name in STACK_TOOLS)


async def scheduler_runs(home: Path) -> bool:
    """Whether some process schedules this home now."""
    if not await anyio.Path(home).is_dir():
        return False
    with anyio.move_on_after(_LOOK_SECONDS) as look:
        try:
            await UnixSeat(home).follow(lambda _position: None)
        except Unreachable:
            return False
    return look.cancelled_caught


def _config(config: Config | Path | str | None) -> Config:
    if isinstance(config, Config):
        return config
    if config is not None:
        return load_config(Path(config))
    return load_home(home_folder())


@asynccontextmanager
async def ports_of(config: Config, clock: Clock | None = None) -> AsyncIterator[Outside]:
    """The ports that a config stands for, closed on leaving; a backend may replace some and give them to `open_dock`."""
    gateway = SandboxAgentGateway(config.cache, agents=specs_of(config.agents, config.agent))
    heuristic = HeuristicNamer()
    chat = ChatNamer(config.chat_namer) if config.namer == "chat" and config.chat_namer else None
    async with AsyncExitStack() as stack:
        sites = await stack.enter_async_context(open_sites(config, clock or SystemClock()))
        stack.push_async_callback(gateway.aclose)
        if chat is not None:
            stack.push_async_callback(chat.aclose)
        clones = GitClones(config.home / "repos")
        jobs = GitStackJobs(clones, tool_path=config.git_spice)
        outside = Outside(sites, gateway, clones, chat or heuristic, heuristic, jobs)
        yield outside if config.wrap is None else _load(config.wrap)(outside)


def _load(name: str) -> Wrapper:
    """The function that a config names as `module:attribute`."""
    module, _, attribute = name.partition(":")
    try:
        wrapper: Wrapper = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InvalidCommand(f"wrap = {name!r} cannot be loaded: {error}", field="wrap") from error
    return wrapper
