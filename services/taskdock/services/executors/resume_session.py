"""Resume session: the agent's own session goes on in a new agent process.

Owns: the executor of `ResumeSession`.
Never: two agent processes of one tab at once; the earlier ones are ended before this one begins.
Reads as: scheduler -> `resume_session` -> access (server runs), gateway (load) -> SessionReady.
"""

from taskdock.core.inputs import SessionReady
from taskdock.core.intents import ResumeSession
from taskdock.services.execution import Execution
from taskdock.services.executors.create_session import follow_opened, ready_for
from taskdock.services.tools import Tools


async def resume_session(body: ResumeSession, execution: Execution, tools: Tools) -> SessionReady:
    """Ensure the server, end earlier agent processes, load the session or adopt the process that holds it."""
    endpoint, conversation = await ready_for(body, execution, tools)
    opened = await tools.gateway.resume_session(endpoint, conversation, endpoint.checkout, body.session_id)
    await tools.gateway.settle(endpoint, conversation, opened.session_id, body.settings)
    return follow_opened(body, opened, tools)
