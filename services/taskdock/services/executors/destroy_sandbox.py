"""Destroy sandbox: no process and no file of it is left.

Owns: the executor of `DestroySandbox`.
Never: a success before the provider says that the sandbox is absent.
Reads as: scheduler -> `destroy_sandbox` -> provider -> SandboxReleased.
"""

from taskdock.core.inputs import SandboxReleased
from taskdock.core.intents import DestroySandbox
from taskdock.ports.sandbox import Phase
from taskdock.services.execution import Execution
from taskdock.services.sandboxes import ref_of, until
from taskdock.services.tools import Tools


async def destroy_sandbox(body: DestroySandbox, execution: Execution, tools: Tools) -> SandboxReleased:
    """Ask for its end and wait until it is gone; what was never made is gone already."""
    provider = tools.sites.of(body.sandbox).provider
    seen = await provider.destroy(ref_of(body.sandbox), body.sandbox.owner)
    seen = await until(provider, seen, (Phase.ABSENT,), execution.progress)
    window = provider.capabilities.create_window_seconds
    return SandboxReleased(tools.creates.time_of(seen), window)
