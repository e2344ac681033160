"""Observe sandbox: what its provider says of it now.

Owns: the executor of `ObserveSandbox`.
Never: a change; looking is safe beside whatever else is under way.
Reads as: scheduler -> `observe_sandbox` -> provider -> Observed.
"""

from taskdock.core.inputs import Observed
from taskdock.core.intents import ObserveSandbox
from taskdock.services.execution import Execution
from taskdock.services.sandboxes import ref_of
from taskdock.services.tools import Tools


async def observe_sandbox(body: ObserveSandbox, _execution: Execution, tools: Tools) -> Observed:
    """Look once; what it means, and whether to look again, is for the core to say."""
    seen = await tools.sites.of(body.sandbox).provider.observe(ref_of(body.sandbox))
    return Observed(seen.phase, seen.read_at, seen.reason)
