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

RUNS_THAT_PROVE = 5
"""From this run on a server that cannot be reached is taken for one that does not run; a network is silent for a moment, too."""


async def close_session(body: CloseSession, execution: Execution, tools: Tools) -> SessionClosed:
    """End every conversation of the tab; a server that does not run holds none."""
    site = tools.sites.of(body.sandbox)
    try:
        endpoint = await site.access.endpoint(ref_of(body.sandbox), SERVICE)
    except Unreachable:
        if execution.intent.attempt < RUNS_THAT_PROVE:
            raise
        # Whatever it says: that it can be asked shows that there is a network.
        await site.provider.observe(ref_of(body.sandbox))
        return SessionClosed()
    for session in range(1, body.sessions + 1):
        await tools.gateway.close(endpoint, conversation_of(body.sandbox, body.tab_id, session, body.agent))
    return SessionClosed()
