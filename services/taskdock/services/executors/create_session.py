"""Create session: the tab's session with its agent.

Owns: the executor of `CreateSession`.
Never: two sessions of one tab at once; the earlier ones are ended before this one is opened.
Reads as: scheduler -> `create_session` -> access (server runs), gateway (session) -> SessionReady.
"""

from taskdock.core.errors import Unreachable
from taskdock.core.inputs import SessionReady
from taskdock.core.intents import CreateSession
from taskdock.services.execution import Execution
from taskdock.services.links import Followed
from taskdock.services.sandboxes import conversation_of, ref_of
from taskdock.services.tools import Tools


async def create_session(body: CreateSession, execution: Execution, tools: Tools) -> SessionReady:
    """Ensure the server (it may have died with the earlier session), end earlier sessions, open or adopt this one."""
    site = tools.sites.of(body.sandbox)
    service = await tools.gateway.service(body.agent, execution.progress)
    try:
        endpoint = await site.access.ensure_service(ref_of(body.sandbox), service)
    except Unreachable:
        await tools.links.tell_if_sandbox_lost(body.sandbox)
        raise
    for earlier in range(1, body.session):
        await tools.gateway.close(endpoint, conversation_of(body.sandbox, body.tab_id, earlier, body.agent))
    conversation = conversation_of(body.sandbox, body.tab_id, body.session, body.agent)
    opened = await tools.gateway.open_session(endpoint, conversation, endpoint.checkout)
    followed = Followed(body.sandbox, body.tab_id, body.agent, body.session, opened.session_id)
    tools.links.follow(followed)
    return SessionReady(opened.session_id, opened.agent_process)
