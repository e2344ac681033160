"""Resume session: the session that the tab had goes on in a new agent process.

Owns: the executor of `ResumeSession`.
Never: the past told again; the agent repeats it, and nobody hears it.
Reads as: scheduler -> `resume_session` -> conversations.py, gateway (load, settings) -> SessionReady.
"""

from taskdock.core.inputs import SessionReady
from taskdock.core.intents import ResumeSession
from taskdock.services.conversations import clear_way
from taskdock.services.execution import Execution
from taskdock.services.links import Followed
from taskdock.services.sandboxes import conversation_of
from taskdock.services.tools import Tools


async def resume_session(body: ResumeSession, execution: Execution, tools: Tools) -> SessionReady:
    """Have a new process load the session, and set it as the tab is set; an agent that cannot refuses for good."""
    endpoint = await clear_way(body, execution, tools)
    conversation = conversation_of(body.sandbox, body.tab_id, body.session, body.agent)
    opened = await tools.gateway.resume_session(endpoint, conversation, endpoint.checkout, body.session_id)
    await tools.gateway.settle(endpoint, conversation, opened.session_id, body.settings)
    followed = Followed(body.sandbox, body.tab_id, body.agent, body.session, opened.session_id)
    tools.links.follow(followed)
    return SessionReady(opened.session_id, opened.agent_process)
