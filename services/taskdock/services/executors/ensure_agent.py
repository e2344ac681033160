"""Ensure agent: the agent's server runs in the sandbox.

Owns: the executor of `EnsureAgent`.
Never: a second server; the provider adopts a running one of the same version.
Reads as: scheduler -> `ensure_agent` -> gateway (what to run), access (run it) -> AgentReady.
"""

from taskdock.core.inputs import AgentReady
from taskdock.core.intents import EnsureAgent
from taskdock.services.execution import Execution
from taskdock.services.sandboxes import ref_of
from taskdock.services.tools import Tools


async def ensure_agent(body: EnsureAgent, execution: Execution, tools: Tools) -> AgentReady:
    """Fetch what the agent needs, then start its server or adopt it."""
    site = tools.sites.of(body.sandbox)
    service = await tools.gateway.service(body.agent, execution.progress)
    await execution.progress("starting the agent")
    await site.access.ensure_service(ref_of(body.sandbox), service)
    return AgentReady()
