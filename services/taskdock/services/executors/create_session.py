"""Create session: the tab's session with its agent.

Owns: the executor of `CreateSession`, and what it has in common with that of `ResumeSession`.
Never: two sessions of one tab at once; the earlier ones are ended before this one is opened.
Reads as: scheduler -> `create_session` -> access (server runs), gateway (session) -> SessionReady.
"""

from taskdock.core.errors import Unreachable
from taskdock.core.inputs import SessionReady
from taskdock.core.intents import CreateSession, ResumeSession
from taskdock.ports.agent import Conversation, SessionOpened
from taskdock.ports.sandbox import Endpoint
from taskdock.services.execution import Execution
from taskdock.services.links import Followed
from taskdock.services.sandboxes import conversation_of, ref_of
from taskdock.services.tools import Tools


async def create_session(body: CreateSession, execution: Execution, tools: Tools) -> SessionReady:
    """Ensure the server, end earlier sessions, open this one or adopt it."""
    endpoint, conversation = await ready_for(body, execution, tools)
    opened = await tools.gateway.open_session(endpoint, conversation, endpoint.checkout)
    await tools.gateway.settle(endpoint, conversation, opened.session_id, body.settings)
    return follow_opened(body, opened, tools)


async def ready_for(
    body: CreateSession | ResumeSession, execution: Execution, tools: Tools
) -> tuple[Endpoint, Conversation]:
    """Ensure the server, which may have died with the earlier session, and end every earlier agent process of the tab."""
    site = tools.sites.of(body.sandbox)
    service = await tools.gateway.service(body.agent, execution.progress)
    try:
        endpoint = await site.access.ensure_service(ref_of(body.sandbox), service)
    except Unreachable:
        await tools.links.tell_if_sandbox_lost(body.sandbox)
        raise
    for earlier in range(1, body.session):
        await tools.gateway.close(endpoint, conversation_of(body.sandbox, body.tab_id, earlier, body.agent))
    return endpoint, conversation_of(body.sandbox, body.tab_id, body.session, body.agent)


def follow_opened(body: CreateSession | ResumeSession, opened: SessionOpened, tools: Tools) -> SessionReady:
    """Follow the session from its first event on."""
    tools.links.follow(Followed(body.sandbox, body.tab_id, body.agent, body.session, opened.session_id))
    return SessionReady(opened.session_id, opened.agent_process)
