"""Sites: the sandbox providers of this installation, each with the way into its sandboxes.

Owns: `Site` and `Sites`.
Never: an adapter's name; the composition root fills it.
Reads as: executors and links -> `Sites.of(sandbox)` -> ports.
"""

from collections.abc import Mapping

from attrs import frozen

from taskdock.core.errors import Permanent
from taskdock.core.intents import Sandbox
from taskdock.ports.sandbox import SandboxAccess, SandboxProvider


@frozen
class Site:
    """One provider of sandboxes, and the way into them."""

    provider: SandboxProvider
    access: SandboxAccess


@frozen
class Sites:
    """Every provider, by the name that tasks know it by."""

    by_provider: Mapping[str, Site]

    def of(self, sandbox: Sandbox) -> Site:
        """The provider of this sandbox; Permanent when this installation has it no more."""
        try:
            return self.by_provider[sandbox.provider]
        except KeyError:
            known = ", ".join(sorted(self.by_provider)) or "none"
            reason = f"The provider {sandbox.provider!r} is not configured here (there is: {known})."
            raise Permanent(reason) from None
