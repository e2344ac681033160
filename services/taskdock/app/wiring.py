"""Wiring: the composition root, the one place that knows every adapter.

Owns: `open_dock`, and which adapters a config stands for.
Never: a rule of the domain.
Reads as: `taskdock.app.open(config)` -> store, ports, background -> Dock.
"""

import platform
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path

import anyio

from taskdock.adapters.agent.sandbox_agent import SandboxAgentGateway
from taskdock.adapters.clock import SystemClock
from taskdock.adapters.clone.git import GitClones
from taskdock.adapters.naming.heuristic import HeuristicNamer
from taskdock.adapters.sandbox.local.provider import LocalSandboxes
from taskdock.adapters.seat.unix import UnixSeat
from taskdock.adapters.store.sqlite.store import SqliteStore
from taskdock.app.background import Background
from taskdock.app.config import Config, home_folder, load_config, load_home
from taskdock.core.errors import InvalidCommand, Unreachable
from taskdock.ports.clock import Clock
from taskdock.services.dock import Dock
from taskdock.services.feed import Hub
from taskdock.services.sites import Site, Sites
from taskdock.services.stepping import Stepper
from taskdock.services.tools import Outside
from taskdock.services.workbench import Offer

Wrapper = Callable[[Outside], Outside]

_LOOK_SECONDS = 0.2
"""Who schedules lets itself be followed at once, and as long as it lives; asking for its seat would disturb a start."""


@asynccontextmanager
async def open_dock(
    config: Config | Path | str | None = None, *, schedule: bool = True, outside: Outside | None = None
) -> AsyncIterator[Dock]:
    """Open the store of `config`: a Config, the path of a TOML file, or None for the defaults.

    With `schedule` this process runs the background work, unless another one does already; without, it submits and
    reads only. `outside` brings other ports than the configured ones. On leaving the block, short work is given
    `drain_seconds` to end, and everything else is handed to whoever schedules next.
    """
    config = _config(config)
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    clock = SystemClock()
    hub = Hub()
    seat = UnixSeat(config.home)
    background = Background(hub, seat, config.drain_seconds)
    async with AsyncExitStack() as stack:
        path = config.home / "taskdock.db"
        store = await stack.enter_async_context(
            SqliteStore.open(path, synchronous=config.synchronous, on_commit=background.committed)
        )
        stack.push_async_callback(seat.leave)
        schedules = schedule and await seat.take()
        dock = Dock(
            stepper=Stepper(store, clock, config.figures),
            reads=store,
            clock=clock,
            offer=Offer(config.providers, config.agents),
            owner=await store.owner(),
            store=store,
            hub=hub,
            home=config.home,
            schedules=schedules,
        )
        if schedules:
            if outside is None:
                outside = await stack.enter_async_context(ports_of(config, clock))
            background.schedule(dock, store, outside, config.lanes)
        async with background.running(store):
            yield dock


def clone_path(config: Config, repo_id: str) -> Path:
    """Where the service-owned clone of a repo is on this machine."""
    return GitClones(config.home / "repos").path(repo_id)


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
    clock = clock or SystemClock()
    gateway = SandboxAgentGateway(config.cache)
    namer = HeuristicNamer()
    sites = Sites({name: _site(name, config, clock) for name in config.providers})
    outside = Outside(sites, gateway, GitClones(config.home / "repos"), namer, namer)
    try:
        yield outside if config.wrap is None else _load(config.wrap)(outside)
    finally:
        await gateway.aclose()
        for site in sites.by_provider.values():
            await site.provider.aclose()


def _site(name: str, config: Config, clock: Clock) -> Site:
    if name != LocalSandboxes.id:
        raise InvalidCommand(f"Unknown provider {name!r}: there is {LocalSandboxes.id!r}.", field="providers")
    local = LocalSandboxes(config.home / "sandboxes", platform.node(), clock.now)
    return Site(local, local)


def _load(name: str) -> Wrapper:
    """The function that a config names as `module:attribute`."""
    module, _, attribute = name.partition(":")
    try:
        wrapper: Wrapper = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InvalidCommand(f"wrap = {name!r} cannot be loaded: {error}", field="wrap") from error
    return wrapper
