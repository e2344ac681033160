"""Cancel turn: ask the agent to end the running turn.

Owns: the executor of `CancelTurn`.
Never: a claim that the turn ended; only its end is. A cancel that overtakes its prompt, which the agent would not know of.
Reads as: scheduler -> `cancel_turn` -> link (the agent has the prompt) -> gateway -> Asked.
"""

from taskdock.core.inputs import Asked
from taskdock.core.intents import CancelTurn
from taskdock.core.tab import Tab
from taskdock.services.execution import Execution
from taskdock.services.links import SERVICE, Followed
from taskdock.services.sandboxes import conversation_of, ref_of
from taskdock.services.tools import Tools


async def cancel_turn(body: CancelTurn, _execution: Execution, tools: Tools) -> Asked:
    """Ask once, as soon as there is proof that the agent has the prompt; asking again is harmless."""
    endpoint = await tools.sites.of(body.sandbox).access.endpoint(ref_of(body.sandbox), SERVICE)
    found = await tools.reads.record("tab", body.tab_id)
    if found is not None and isinstance(found.record, Tab) and found.record.turn.message_id is not None:
        followed = Followed(body.sandbox, body.tab_id, body.agent, body.session, body.session_id)
        await tools.links.follow(followed).until_seen(found.record.turn.message_id)
    conversation = conversation_of(body.sandbox, body.tab_id, body.session, body.agent)
    await tools.gateway.cancel(endpoint, conversation, body.session_id)
    return Asked()
