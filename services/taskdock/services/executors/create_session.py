"""Create session: the tab's session with its agent.

Owns: the executor of `CreateSession`.
Never: two sessions of one tab at once; the earlier ones are ended before this one is opened.
Reads as: scheduler -> `create_session` -> conversations.py, gateway (session, settings) -> SessionReady.
"""

from taskdock.core.inputs import SessionReady
from taskdock.core.intents import CreateSession
from taskdock.services.conversations import clear_way
from taskdock.services.execution import Execution
from taskdock.services.links import Followed
from taskdock.services.sandboxes import conversation_of
from taskdock.services.tools import Tools


async def create_session(body: CreateSession, execution: Execution, tools: Tools) -> SessionReady:
    """Open this session or adopt it, and set it as the tab is set."""
    endpoint = await clear_way(body, execution, tools)
    conversation = conversation_of(body.sandbox, body.tab_id, body.session, body.agent)
    opened = await tools.gateway.open_session(endpoint, conversation, endpoint.checkout)
    await tools.gateway.settle(endpoint, conversation, opened.session_id, body.settings)
    followed = Followed(body.sandbox, body.tab_id, body.agent, body.session, opened.session_id)
    tools.links.follow(followed)
    return SessionReady(opened.session_id, opened.agent_process)
