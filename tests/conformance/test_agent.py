"""Every agent gateway of ours keeps every promise of the agent port."""

from pathlib import Path

import pytest

from agent_server import gateway, running
from taskdock.testing.conformance.agent import AGENT_CHECKS, AgentCheck, AgentUnderTest

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("check", AGENT_CHECKS, ids=lambda check: check.__name__)
async def test_sandbox_agent(check: AgentCheck, tmp_path: Path) -> None:
    """The gateway to sandbox-agent keeps the promise, on the real server with the demo agent."""
    async with running(tmp_path) as (agents, host):

        async def prompts_seen() -> list[str]:
            return [entry["request"] for entry in host.prompts()]

        await check(AgentUnderTest(agents, host.endpoint, gateway, prompts_seen))
