"""Conversations: the way to a tab's next one is cleared: its server runs, and the earlier ones of the generation are ended.

Owns: `clear_way`.
Never: two sessions of one tab at once.
Reads as: create_session.py, resume_session.py -> `clear_way` -> access (server), gateway (close).
"""

from taskdock.core.errors import Unreachable
from taskdock.core.intents import CreateSession, ResumeSession
from taskdock.ports.sandbox import Endpoint
from taskdock.services.execution import Execution
from taskdock.services.sandboxes import conversation_of, ref_of
from taskdock.services.tools import Tools


async def clear_way(body: CreateSession | ResumeSession, execution: Execution, tools: Tools) -> Endpoint:
    """Ensure the server (it may have died with the earlier session), then end sessions 1 to `session` - 1."""
    site = tools.sites.of(body.sandbox)
    service = await tools.gateway.service(body.agent, execution.progress)
    try:
        endpoint = await site.access.ensure_service(ref_of(body.sandbox), service)
    except Unreachable:
        await tools.links.tell_if_sandbox_lost(body.sandbox)
        raise
    for earlier in range(1, body.session):
        await tools.gateway.close(endpoint, conversation_of(body.sandbox, body.tab_id, earlier, body.agent))
    return endpoint
