"""Beginning: how an agent process that runs gets its session, a new one or one from before.

Owns: the two ways, and what an agent must be able to do for each.
Never: a start of a process, nor a second try (sandbox_agent.py does both).
Reads as: sandbox_agent.py -> one of these -> exchange.py.
"""

from collections.abc import Awaitable, Callable

from taskdock.adapters.agent import acp
from taskdock.adapters.agent.catalogue import AgentSpec
from taskdock.adapters.agent.exchange import Line
from taskdock.adapters.agent.shapes import mapping
from taskdock.core.errors import Permanent

Beginning = Callable[[Line, AgentSpec], Awaitable[str]]
"""Gets the session and returns its id; `Permanent` with the agent's words when it refuses."""


def new_session(cwd: str) -> Beginning:
    """Begin a session of its own."""

    async def begin(line: Line, spec: AgentSpec) -> str:
        await line.agree("init", "initialize", acp.INITIALIZE)
        result = await line.agree("new", "session/new", {"cwd": cwd, "mcpServers": []})
        session_id = result.get("sessionId")
        if not isinstance(session_id, str) or not session_id:
            raise Permanent(f"The agent {spec.id} gave no session id")
        return session_id

    return begin


def loaded_session(cwd: str, session_id: str) -> Beginning:
    """Go on with a session that the agent kept."""

    async def begin(line: Line, spec: AgentSpec) -> str:
        known = await line.agree("init", "initialize", acp.INITIALIZE)
        if mapping(known.get("agentCapabilities")).get("loadSession") is not True:
            raise Permanent(f"The agent {spec.id} cannot load sessions")
        params = {"sessionId": session_id, "cwd": cwd, "mcpServers": []}
        await line.agree("load", "session/load", params)
        return session_id

    return begin
