"""Stop sandbox: nothing runs in it any more, its files stay.

Owns: the executor of `StopSandbox`.
Never: a success before the provider says that the sandbox is stopped, or that there is none.
Reads as: scheduler -> `stop_sandbox` -> provider -> SandboxStopped.
"""

from taskdock.core.inputs import SandboxStopped
from taskdock.core.intents import StopSandbox
from taskdock.ports.sandbox import Phase
from taskdock.services.execution import Execution
from taskdock.services.sandboxes import ref_of, until
from taskdock.services.tools import Tools

_DOES_NOT_RUN = (Phase.STOPPED, Phase.ABSENT, Phase.FAILED)
"""Also one that failed: what it had to give was collected, or given up, before; a resume looks at it and replaces it."""


async def stop_sandbox(body: StopSandbox, execution: Execution, tools: Tools) -> SandboxStopped:
    """Ask for the stop and wait until it is seen; what is not there does not run either."""
    provider = tools.sites.of(body.sandbox).provider
    seen = await provider.stop(ref_of(body.sandbox), body.sandbox.owner)
    while seen.phase is Phase.PENDING:
        # Nothing stops a sandbox that is still coming up, so it is asked once more when it runs.
        seen = await until(provider, seen, (*_DOES_NOT_RUN, Phase.RUNNING), execution.progress)
        if seen.phase is Phase.RUNNING:
            seen = await provider.stop(ref_of(body.sandbox), body.sandbox.owner)
    seen = await until(provider, seen, _DOES_NOT_RUN, execution.progress)
    window = provider.capabilities.create_window_seconds
    return SandboxStopped(tools.creates.time_of(seen), window, is_absent=seen.phase is Phase.ABSENT)
