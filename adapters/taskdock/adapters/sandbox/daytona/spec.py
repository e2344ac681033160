"""Spec: under which name Daytona is configured.

Owns: `DAYTONA`.
Never: a request; opening it reads the key and makes the client.
Reads as: app/providers.py -> this -> settings.py, provider.py.
"""

from taskdock.adapters.sandbox.daytona.settings import DaytonaConfig, key_of
from taskdock.ports.provider import Opening, ProviderSpec, Sandboxes


async def _open(config: DaytonaConfig, opening: Opening) -> Sandboxes:
    """Unsupported, with what mends it, where there is no key."""
    from taskdock.adapters.sandbox.daytona.provider import DaytonaSandboxes  # noqa: PLC0415 - who only reads a config

    return DaytonaSandboxes(config, key_of(config), opening.now)


DAYTONA = ProviderSpec("daytona", DaytonaConfig, _open)
