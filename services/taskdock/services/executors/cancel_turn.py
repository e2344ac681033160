"""Cancel turn: ask the agent to end the running turn.

Owns: the executor of `CancelTurn`.
Never: a claim that the turn ended; only its end is.
Reads as: scheduler -> `cancel_turn` -> gateway -> Asked.
"""

from taskdock.core.inputs import Asked
from taskdock.core.intents import CancelTurn
from taskdock.services.execution import Execution
from taskdock.services.links import SERVICE
from taskdock.services.sandboxes import conversation_of, ref_of
from taskdock.services.tools import Tools


async def cancel_turn(body: CancelTurn, _execution: Execution, tools: Tools) -> Asked:
    """Ask once; asking again is harmless."""
    endpoint = await tools.sites.of(body.sandbox).access.endpoint(ref_of(body.sandbox), SERVICE)
    conversation = conversation_of(body.sandbox, body.tab_id, body.session, body.agent)
    await tools.gateway.cancel(endpoint, conversation, body.session_id)
    return Asked()
