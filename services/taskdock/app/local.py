"""Local: which provider names stand for sandboxes on this machine, and at which level.

Owns: `LOCAL_PROVIDERS`, `ground_of`, `local_site`.
Never: a lower level than the one asked for by name; only `local` takes what works.
Reads as: wiring, doctor -> these -> adapters/sandbox/local.
"""

import platform
from collections.abc import Mapping
from types import MappingProxyType

from anyio import to_thread

from taskdock.adapters.sandbox.local.levels import Ground, Level, best, prepare
from taskdock.adapters.sandbox.local.provider import LocalSandboxes
from taskdock.app.config import Config
from taskdock.core.errors import InvalidCommand, Unsupported
from taskdock.ports.clock import Clock
from taskdock.services.sites import Site

LOCAL_PROVIDERS: Mapping[str, Level | None] = MappingProxyType(
    {"local": None, **{f"local-{level.value}": level for level in Level}}
)
"""Each provider of this machine; None: the best level that works."""


async def ground_of(name: str, config: Config) -> Ground:
    """Try the level of a provider on this machine. InvalidCommand for a name that there is not."""
    if name not in LOCAL_PROVIDERS:
        known = ", ".join(repr(one) for one in LOCAL_PROVIDERS)
        raise InvalidCommand(f"Unknown provider {name!r}: there is {known}.", field="providers")
    level = LOCAL_PROVIDERS[name]
    if level is None:
        return await to_thread.run_sync(best, config.local)
    return await to_thread.run_sync(prepare, level, config.local)


async def local_site(name: str, config: Config, clock: Clock) -> Site:
    """One provider of this machine, with a folder of its own. Unsupported, with what mends it, where it does not work."""
    ground = await ground_of(name, config)
    if ground.wrong is not None:
        raise Unsupported(
            f"The provider {name} does not work on this machine: {ground.wrong}."
            f" To mend it: {ground.mend}; or take the provider 'local', which uses what works."
        )
    root = config.home / name.replace("local", "sandboxes", 1)
    local = LocalSandboxes(root, platform.node(), clock.now, ground=ground, id=name)
    return Site(local, local)
