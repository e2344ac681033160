"""Providers: how the names in a config become open sandbox providers, ours and those of other distributions alike.

Owns: `provider_names`, `find_provider`, `open_provider`, `open_sites`.
Never: an import of a provider that is not asked for; a name that means two things.
Reads as: config_file.py, wiring, doctor -> these -> an entry point -> `ProviderSpec.open`.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from attrs import NOTHING, fields

from taskdock.app.config import Config
from taskdock.core.errors import InvalidCommand, PortError, Unsupported
from taskdock.ports.clock import Clock
from taskdock.ports.provider import GROUP, AnyProviderSpec, Opening, ProviderSpec, Sandboxes
from taskdock.services.sites import Site, Sites

_LOCAL = "taskdock.adapters.sandbox.local.spec"
OWN = (
    EntryPoint("local", f"{_LOCAL}:LOCAL", GROUP),
    EntryPoint("local-process", f"{_LOCAL}:LOCAL_PROCESS", GROUP),
    EntryPoint("local-bubblewrap", f"{_LOCAL}:LOCAL_BUBBLEWRAP", GROUP),
    EntryPoint("local-bubblewrap-netns", f"{_LOCAL}:LOCAL_BUBBLEWRAP_NETNS", GROUP),
    EntryPoint("daytona", "taskdock.adapters.sandbox.daytona.spec:DAYTONA", GROUP),
)
"""Those that come with Taskdock, found also where it runs without being installed."""
_OWN_FOLDERS = {
    entry.name: "sandboxes" + entry.name.removeprefix("local")
    for entry in OWN
    if entry.name.startswith("local")
}


def provider_names() -> tuple[str, ...]:
    """Every provider that is installed here, sorted. Imports none of them."""
    return tuple(sorted({entry.name for entry in (*OWN, *entry_points(group=GROUP))}))


def find_provider(name: str) -> AnyProviderSpec:
    """Import the spec of a provider. InvalidCommand for a name that is none or two; Unsupported when it cannot be imported."""
    entry = _entry(name)
    try:
        spec = entry.load()
    except (ImportError, AttributeError) as error:
        raise Unsupported(
            f"The provider {name!r} cannot be imported ({entry.value}): {error}.", mend=_reinstall(entry)
        ) from error
    if not isinstance(spec, ProviderSpec) or spec.id != name:
        raise Unsupported(
            f"The provider {name!r} is broken: {entry.value} is no ProviderSpec of that id, but {spec!r}."
        )
    return spec


async def open_provider(name: str, config: Config, clock: Clock) -> Sandboxes:
    """Open one provider with its settings; whoever asks closes it. InvalidCommand as above; Unsupported, with what mends it."""
    spec = find_provider(name)
    settings = config.provider.get(name)
    if settings is None:
        settings = _defaults(spec)
    if not isinstance(settings, spec.config):
        wanted = f"{spec.config.__module__}.{spec.config.__qualname__}"
        raise InvalidCommand(
            f"The settings of {name!r} are one {wanted}, not {settings!r}.", field="provider"
        )
    opening = Opening(_folder(config.home, name), clock.now)
    try:
        sandboxes = await spec.open(settings, opening)
    except ImportError as error:
        mend = None if spec.install is None else f"pip install '{spec.install}'"
        raise Unsupported(f"The provider {name!r} lacks a module: {error}.", mend=mend) from error
    except PortError as error:
        raise Unsupported(f"The provider {name!r} cannot be opened: {error.reason}") from error
    if sandboxes.id != name:
        # Tasks would be told to look for their sandboxes at a provider that is not configured.
        await sandboxes.aclose()
        raise Unsupported(f"The provider {name!r} is broken: what it opens calls itself {sandboxes.id!r}.")
    return sandboxes


@asynccontextmanager
async def open_sites(config: Config, clock: Clock) -> AsyncIterator[Sites]:
    """Every configured provider, open until the block is left; none stays open when one of them cannot be opened."""
    async with AsyncExitStack() as stack:
        sites = {}
        for name in dict.fromkeys(config.providers):
            sandboxes = await open_provider(name, config, clock)
            stack.push_async_callback(sandboxes.aclose)
            sites[name] = Site(sandboxes, sandboxes)
        yield Sites(sites)


def _entry(name: str) -> EntryPoint:
    """The one entry point of this name."""
    found = [entry for entry in OWN if entry.name == name]
    # Looked through also for our own names: another distribution that takes one would decide by chance who is meant.
    found += [entry for entry in entry_points(group=GROUP, name=name) if entry.value not in _values(found)]
    if not found:
        known = ", ".join(repr(one) for one in provider_names())
        raise InvalidCommand(f"Unknown provider {name!r}: there is {known}.", field="providers")
    if len(found) > 1:
        both = " and ".join(sorted(f"{_distribution(entry)} ({entry.value})" for entry in found))
        raise InvalidCommand(f"The provider {name!r} is brought by {both}: uninstall one.", field="providers")
    return found[0]


def _values(entries: Sequence[EntryPoint]) -> set[str]:
    return {entry.value for entry in entries}


def _distribution(entry: EntryPoint) -> str:
    return "taskdock" if entry.dist is None else entry.dist.name


def _reinstall(entry: EntryPoint) -> str:
    """Installing what is there already brings what it asks for and lacks."""
    extras = f"[{','.join(entry.extras)}]" if entry.extras else ""
    return f"pip install '{_distribution(entry)}{extras}'"


def _defaults(spec: AnyProviderSpec) -> object:
    lacks = [one.alias for one in fields(spec.config) if one.init and one.default is NOTHING]
    if lacks:
        raise InvalidCommand(f"[provider.{spec.id}] lacks {' and '.join(lacks)}.", field="provider")
    return spec.config()


def _folder(home: Path, name: str) -> Path:
    return home / _OWN_FOLDERS.get(name, f"providers/{name}")
