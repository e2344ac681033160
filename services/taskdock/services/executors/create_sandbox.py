"""Create sandbox: a running sandbox with the task's branch checked out in it.

Owns: the executor of `CreateSandbox`.
Never: a second sandbox; the name was chosen before the first call and is ensured again after every doubt.
Reads as: scheduler -> `create_sandbox` -> provider, carrier -> SandboxReady.
"""

from taskdock.core.inputs import SandboxReady
from taskdock.core.intents import CreateSandbox
from taskdock.ports.sandbox import Phase
from taskdock.services.execution import Execution
from taskdock.services.sandboxes import mark_of, ref_of, spec_of, until
from taskdock.services.tools import Tools


async def create_sandbox(body: CreateSandbox, execution: Execution, tools: Tools) -> SandboxReady:
    """Ensure the sandbox, start it where it is stopped, and ensure the checkout; adopts both where a crash left them."""
    site = tools.sites.of(body.sandbox)
    ref = ref_of(body.sandbox)
    before = await site.provider.observe(ref)
    tools.creates.begin(ref)
    await execution.start()
    seen = await site.provider.ensure(spec_of(body.sandbox))
    seen = await until(site.provider, seen, (Phase.RUNNING, Phase.STOPPED), execution.progress)
    if seen.phase is Phase.STOPPED:
        await execution.progress("starting the sandbox")
        seen = await site.provider.start(ref, body.sandbox.owner)
        await until(site.provider, seen, (Phase.RUNNING,), execution.progress)
    await execution.progress("checking out the code")
    await tools.carrier.carry_in(site.access, body)
    # A run before this one may have made it anew, and died before it could say so: then it is adopted, and is another one.
    return SandboxReady(adopted=before.phase is not Phase.ABSENT, mark=mark_of(seen))
