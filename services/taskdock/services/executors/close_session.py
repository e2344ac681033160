"""Close session: no session of a closed tab is left in its generation.

Owns: the executor of `CloseSession`.
Never: a session id; the names of all the tab's conversations are known, so one that appeared late is ended too.
Reads as: scheduler -> `close_session` -> gateway -> SessionClosed.
"""

from taskdock.core.errors import Unreachable
from taskdock.core.inputs import SessionClosed
from taskdock.core.intents import CloseSession
from taskdock.services.execution import Execution
from taskdock.services.links import SERVICE
from taskdock.services.sandboxes import conversation_of, ref_of
from taskdock.services.tools import Tools


async def close_session(body: CloseSession, _execution: Execution, tools: Tools) -> SessionClosed:
    """End every conversation of the tab; a server that does not run holds none."""
    access = tools.sites.of(body.sandbox).access
    try:
        endpoint = await access.endpoint(ref_of(body.sandbox), SERVICE)
    except Unreachable:
        return SessionClosed()
    for session in range(1, body.sessions + 1):
        await tools.gateway.close(endpoint, conversation_of(body.sandbox, body.tab_id, session, body.agent))
    return SessionClosed()
