"""Answer permission: give the agent the answer to what it asked.

Owns: the executor of `AnswerPermission`.
Never: a claim about the turn; what the agent makes of the answer comes through its stream.
Reads as: scheduler -> `answer_permission` -> gateway -> Asked.
"""

from taskdock.core.inputs import Asked
from taskdock.core.intents import AnswerPermission
from taskdock.services.execution import Execution
from taskdock.services.links import SERVICE
from taskdock.services.sandboxes import conversation_of, ref_of
from taskdock.services.tools import Tools


async def answer_permission(body: AnswerPermission, _execution: Execution, tools: Tools) -> Asked:
    """Answer; the first answer counts, so answering again is harmless."""
    endpoint = await tools.sites.of(body.sandbox).access.endpoint(ref_of(body.sandbox), SERVICE)
    conversation = conversation_of(body.sandbox, body.tab_id, body.session, body.agent)
    await tools.gateway.answer_permission(endpoint, conversation, body.permission_id, body.option_id)
    return Asked()
