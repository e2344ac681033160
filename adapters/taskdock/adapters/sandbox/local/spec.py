"""Local specs: the names under which sandboxes on this machine are configured, one per level and one for the best.

Owns: `LOCAL`, `LOCAL_PROCESS`, `LOCAL_BUBBLEWRAP`, `LOCAL_BUBBLEWRAP_NETNS`.
Never: a lower level than the one asked for by name; only `local` takes what works.
Reads as: app/providers.py -> one of these -> levels.py -> provider.py.
"""

import platform

from anyio import to_thread

from taskdock.adapters.sandbox.local.levels import Level, best, prepare
from taskdock.adapters.sandbox.local.limits import LimitFigures
from taskdock.adapters.sandbox.local.provider import LocalSandboxes
from taskdock.core.errors import Unsupported
from taskdock.ports.provider import Opening, ProviderSpec


def _spec(name: str, level: Level | None) -> ProviderSpec[LimitFigures]:
    """The spec of a level; None: the best one that works."""

    async def open_level(figures: LimitFigures, opening: Opening) -> LocalSandboxes:
        """Try the level. Unsupported, with what mends it, where it does not work."""
        if level is None:
            ground = await to_thread.run_sync(best, figures)
        else:
            ground = await to_thread.run_sync(prepare, level, figures)
        if ground.wrong is not None:
            wrong = f"isolation {ground.level.value} does not work here: {ground.wrong}"
            raise Unsupported(f"{name}: {wrong}. The provider 'local' uses what works.", mend=ground.mend)
        return LocalSandboxes(opening.folder, platform.node(), opening.now, ground=ground, id=name)

    return ProviderSpec(name, LimitFigures, open_level)


LOCAL = _spec("local", None)
LOCAL_PROCESS = _spec("local-process", Level.PROCESS)
LOCAL_BUBBLEWRAP = _spec("local-bubblewrap", Level.BUBBLEWRAP)
LOCAL_BUBBLEWRAP_NETNS = _spec("local-bubblewrap-netns", Level.BUBBLEWRAP_NETNS)
