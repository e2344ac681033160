"""Send prompt: one message, once, and its turn to the end.

Owns: the executor of `SendPrompt`.
Never: a second send; after a crash it looks for the first one, and where nobody can tell it says so.
Reads as: scheduler -> `send_prompt` -> link (proof, end), gateway (send) -> TurnEnded.
"""

import anyio

from taskdock.core.errors import OutcomeUnknown, Permanent, PortError, Transient, Unreachable
from taskdock.core.inputs import TurnEnd, TurnEnded
from taskdock.core.intents import SendPrompt
from taskdock.core.message import DELIVERED, Message
from taskdock.ports.agent import Conversation, Delivery, ItemKind, StopReason
from taskdock.ports.sandbox import Endpoint
from taskdock.ports.store import NewItem
from taskdock.services.execution import Execution
from taskdock.services.links import SERVICE, AgentLink, Followed
from taskdock.services.sandboxes import conversation_of, ref_of
from taskdock.services.tools import Tools

NOT_CALLED_SECONDS_MAX = 10.0
"""After its Started an attempt that has not sent gives up: proof for the core that nothing was sent."""

_TURN_END = {
    StopReason.COMPLETED: TurnEnd.COMPLETED,
    StopReason.FAILED: TurnEnd.FAILED,
    StopReason.CANCELLED: TurnEnd.CANCELLED,
}


async def send_prompt(body: SendPrompt, execution: Execution, tools: Tools) -> TurnEnded:
    """Send unless it was sent, prove the delivery, and stay until the turn has ended."""
    maybe_sent = execution.intent.started
    await execution.start()
    conversation = conversation_of(body.sandbox, body.tab_id, body.session, body.agent)
    if maybe_sent:
        endpoint, link, was_sent = await _find_again(body, tools, conversation)
    else:
        endpoint, link = await _reach_in_time(body, tools)
        was_sent = False
    if not was_sent:
        await _send(body, tools, endpoint, conversation, link)
    await link.until_seen(body.message_id)
    await execution.delivered()
    replied = await link.until_replied(body.message_id)
    return TurnEnded(_TURN_END[replied.stop], replied.detail)


async def _reach(body: SendPrompt, tools: Tools) -> tuple[Endpoint, AgentLink]:
    """Find the server and follow the session before anything is sent, so that nothing of the turn is missed."""
    site = tools.sites.of(body.sandbox)
    endpoint = await site.access.endpoint(ref_of(body.sandbox), SERVICE)
    link = tools.links.follow(Followed(body.sandbox, body.tab_id, body.agent, body.session, body.session_id))
    await link.attached.wait()
    return endpoint, link


async def _reach_in_time(body: SendPrompt, tools: Tools) -> tuple[Endpoint, AgentLink]:
    """Reach a session to which nothing was sent yet, or prove by giving up that nothing will be."""
    try:
        with anyio.fail_after(NOT_CALLED_SECONDS_MAX):
            endpoint, link = await _reach(body, tools)
    except TimeoutError as error:
        raise Transient("not_called: the agent could not be reached in time; nothing was sent.") from error
    if link.over is not None:
        raise Unreachable(link.over)
    return endpoint, link


async def _find_again(
    body: SendPrompt, tools: Tools, conversation: Conversation
) -> tuple[Endpoint, AgentLink, bool]:
    """Whether an earlier attempt's prompt reached the agent; whatever hinders the answer makes it unknown, never "no"."""
    try:
        endpoint, link = await _reach(body, tools)
    except PortError as error:
        raise OutcomeUnknown(
            f"The agent cannot be asked for the message from before: {error.reason}"
        ) from error
    stored = await tools.reads.record("message", body.message_id)
    if stored is not None and isinstance(stored.record, Message) and stored.record.at == DELIVERED:
        link.received.add(body.message_id)
        return endpoint, link, True
    return endpoint, link, await _was_delivered(body, tools, endpoint, conversation, link)


async def _was_delivered(
    body: SendPrompt, tools: Tools, endpoint: Endpoint, conversation: Conversation, link: AgentLink
) -> bool:
    """The evidence; OutcomeUnknown when there is none, also when it could not be asked for."""
    if link.has_seen(body.message_id):
        return True
    try:
        found = await tools.gateway.delivery(endpoint, conversation, body.message_id, body.agent_process)
    except PortError as error:
        raise OutcomeUnknown(f"Nobody can tell whether the agent has the message: {error.reason}") from error
    if found is Delivery.UNKNOWN:
        raise OutcomeUnknown("The message may have been sent, and the agent's log does not tell.")
    return found is Delivery.SEEN


async def _send(
    body: SendPrompt, tools: Tools, endpoint: Endpoint, conversation: Conversation, link: AgentLink
) -> None:
    """Set the session as its tab is set, show the message in the transcript, then send it.

    A broken connection is settled by evidence.
    """
    text = await tools.reads.message_text(body.message_id)
    if text is None:
        raise Permanent(f"The text of {body.message_id} is not in the store.")
    await tools.gateway.settle(endpoint, conversation, body.session_id, body.settings)
    await tools.store.append([_user_item(body, text, tools)])
    try:
        await tools.gateway.prompt(endpoint, conversation, body.session_id, body.message_id, text)
    except OutcomeUnknown as error:
        if not await _was_delivered(body, tools, endpoint, conversation, link):
            raise Transient(f"The message was not sent: {error.reason}") from error


def _user_item(body: SendPrompt, text: str, tools: Tools) -> NewItem:
    return NewItem(
        tab_id=body.tab_id,
        task_id=body.sandbox.task_id,
        source="taskdock",
        event=body.message_id,
        kind=ItemKind.USER.value,
        body={"text": text, "message": body.message_id},
        at=tools.clock.now(),
    )
