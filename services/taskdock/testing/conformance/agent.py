"""Agent conformance: what every agent gateway must keep, as checks without a test runner.

Owns: `AGENT_CHECKS`; each check takes an `AgentUnderTest` and raises AssertionError with the broken promise.
Never: a promise that is not in `taskdock.ports.agent`; a look into the adapter.
Reads as: your test -> a check (the later ones are in agent_sessions.py) -> your gateway, and the agent's own log from outside (`prompts_seen`).

How to use it, with pytest and anyio's plugin:

    @pytest.mark.anyio
    @pytest.mark.parametrize("check", AGENT_CHECKS, ids=lambda check: check.__name__)
    async def test_my_gateway(check):
        await check(AgentUnderTest(gateway=..., endpoint=..., ...))

The agent behind the gateway must know the directives `echo`, `dirty`, `ask`, `settings`, `login`, `error`, `hang` and
`crash` of Taskdock's demo agent (a prompt `demo: echo TEXT` is answered with TEXT). Every check opens conversations of its own and closes them.
"""

import secrets

import anyio
from attrs import evolve

from taskdock.core.errors import Permanent, Unreachable
from taskdock.ports.agent import (
    AgentExited,
    AgentGateway,
    Conversation,
    Delivery,
    Replied,
    SessionOpened,
    StopReason,
)
from taskdock.testing.conformance.agent_sessions import SESSION_CHECKS
from taskdock.testing.conformance.agent_under_test import AgentCheck, AgentUnderTest, ends, text_of
from taskdock.testing.conformance.promises import all_succeed, refused, require, told

__all__ = ["AGENT_CHECKS", "AgentCheck", "AgentUnderTest"]

CLOSE_SECONDS_MAX = 10.0


async def check_opening_is_idempotent(sut: AgentUnderTest) -> None:
    """A conversation has one session and one process, whoever opens it, and however many at once."""
    async with sut.session() as opened, sut.second() as other:

        async def again(gateway: AgentGateway) -> SessionOpened:
            return await gateway.open_session(sut.endpoint, opened.conversation, sut.endpoint.checkout)

        calls = [lambda g=gateway: again(g) for gateway in (sut.gateway, other) * 2]
        found = await all_succeed("A conversation may be opened by several at once.", calls)
        require(set(found) == {opened.session}, f"All must get the first session {opened.session}: {found}.")


async def check_turn_is_told_in_order(sut: AgentUnderTest) -> None:
    """A turn is its receipt, then its words, then its end, under ids that only grow."""
    async with sut.session() as opened, opened.attach() as stream:
        require(
            stream.agent_process == opened.session.agent_process, "A stream must name the process it follows."
        )
        for words in ("one two", "three"):
            events, end = await opened.turn(stream, f"demo: echo {words}")
            ids = [event.event_id for event in (*events, end)]
            require(ids == sorted(set(ids)), f"Event ids must grow: {ids}.")
            require(
                text_of(events) == words, f"The words of the turn must all come before its end: {events}."
            )
            require(end.stop is StopReason.COMPLETED, f"An ordinary end is completed: {end}.")


async def check_failed_turn_says_why(sut: AgentUnderTest) -> None:
    """An error of the agent ends the turn as failed, with the agent's words."""
    async with sut.session() as opened, opened.attach() as stream:
        _, end = await opened.turn(stream, "demo: error no more coffee")
        require(end.stop is StopReason.FAILED, f"An error must fail the turn: {end}.")
        require("no more coffee" in end.detail, f"The end must hold the agent's words: {end}.")


async def check_attaching_replays(sut: AgentUnderTest) -> None:
    """A reader who comes later, or beside another, gets the same events under the same ids."""
    async with sut.session() as opened, opened.attach() as stream, sut.second() as other:
        request_id = await opened.prompt("demo: echo once more")
        live = await opened.until(stream, lambda event: ends(event, request_id))
        async with other.attach(sut.endpoint, opened.conversation) as later:
            replayed = await opened.until(later, lambda event: ends(event, request_id))
        require(replayed == live, f"A replay must equal what was told live: {replayed} and {live}.")


async def check_prompt_returns_early_and_cancel_ends_it(sut: AgentUnderTest) -> None:
    """A prompt returns while its turn runs; a cancel ends the turn as cancelled, and may be repeated."""
    async with sut.session() as opened, opened.attach() as stream:
        request_id = await opened.prompt("demo: hang")
        session_id = opened.session.session_id
        await sut.gateway.cancel(sut.endpoint, opened.conversation, session_id)
        events = await opened.until(stream, lambda event: ends(event, request_id))
        end = events[-1]
        require(
            isinstance(end, Replied) and end.stop is StopReason.CANCELLED,
            f"A cancelled turn must say so: {end}.",
        )
        await sut.gateway.cancel(sut.endpoint, opened.conversation, session_id)
        _, end = await opened.turn(stream, "demo: echo fine")
        require(end.stop is StopReason.COMPLETED, f"A cancel must not reach the next turn: {end}.")


async def check_crash_is_told_and_begun_anew(sut: AgentUnderTest) -> None:
    """A crash is told on the stream; nothing can be sent any more; opening again gives another process that works."""
    async with sut.session() as opened:
        async with opened.attach() as stream:
            await opened.prompt("demo: crash")
            await opened.until(stream, lambda event: isinstance(event, AgentExited))
        with refused(Unreachable, "A prompt to a dead agent was not sent and must say so."):
            await opened.prompt("demo: echo lost")
        again = await sut.gateway.open_session(sut.endpoint, opened.conversation, sut.endpoint.checkout)
        require(
            again.agent_process != opened.session.agent_process, "Another process must have another name."
        )
        anew = evolve(opened, session=again)
        async with anew.attach() as stream:
            events, _ = await anew.turn(stream, "demo: echo back")
            require(text_of(events) == "back", f"The conversation must go on after a crash: {events}.")


async def check_delivery_is_decided_by_evidence(sut: AgentUnderTest) -> None:
    """Delivery says what the agent's own log says, sends no prompt, and knows nothing of another process."""
    async with sut.session() as opened:
        request_id = await opened.prompt("demo: hang")
        require(await opened.delivery(request_id) is Delivery.SEEN, "A receipted prompt was seen.")
        require(await opened.delivery("msg-never") is Delivery.NOT_SEEN, "What nobody sent was not seen.")
        of_another = evolve(opened, session=evolve(opened.session, agent_process="another"))
        require(
            await of_another.delivery("msg-never") is Delivery.UNKNOWN,
            "What another process saw cannot be known from this one.",
        )
        require("msg-never" not in await sut.prompts_seen(), "Asking about a prompt must not send it.")


async def check_prompts_arrive_once(sut: AgentUnderTest) -> None:
    """Each prompt reaches the agent exactly once and in order."""
    async with sut.session() as opened, opened.attach() as stream:
        sent: list[str] = []
        for number in range(3):
            _, end = await opened.turn(stream, f"demo: echo {number}")
            sent.append(end.request_id)
        seen = [request_id for request_id in await sut.prompts_seen() if request_id in sent]
        require(seen == sent, f"The agent must see each prompt once: sent {sent}, seen {seen}.")


async def check_conversations_are_apart(sut: AgentUnderTest) -> None:
    """Two conversations have their own sessions and processes; a turn of one does not hold up the other."""
    async with sut.session() as one, sut.session() as two, two.attach() as stream:
        require(
            one.session.session_id != two.session.session_id, "Each conversation needs a session of its own."
        )
        await one.prompt("demo: hang")
        events, _ = await two.turn(stream, "demo: echo mine")
        require(text_of(events) == "mine", f"A conversation must be told its own words only: {events}.")


async def check_closing_is_idempotent(sut: AgentUnderTest) -> None:
    """A closed conversation is gone for every call, closing again changes nothing, and opening begins anew."""
    async with sut.session() as opened:
        await opened.prompt("demo: hang")
        for _ in range(2):
            with anyio.fail_after(CLOSE_SECONDS_MAX):
                await sut.gateway.close(sut.endpoint, opened.conversation)
        with refused(Unreachable, "There is nothing to follow after a close."):
            async with opened.attach():
                pass
        with refused(Unreachable, "Nothing can be sent after a close."):
            await opened.prompt("demo: echo lost")
        again = await sut.gateway.open_session(sut.endpoint, opened.conversation, sut.endpoint.checkout)
        require(
            again.agent_process != opened.session.agent_process, "Another process must have another name."
        )


async def check_unknown_agent_is_refused(sut: AgentUnderTest) -> None:
    """An agent that the gateway does not know is a permanent error, before anything is started."""

    async def silent(_: str) -> None:
        return

    with refused(Permanent, "An unknown agent has no service."):
        await sut.gateway.service("no-such-agent", silent)
    conversation = Conversation(f"tab-{secrets.token_hex(6)}", 1, "no-such-agent")
    with refused(Permanent, "An unknown agent has no session."):
        await sut.gateway.open_session(sut.endpoint, conversation, sut.endpoint.checkout)


AGENT_CHECKS: tuple[AgentCheck, ...] = told(
    check_opening_is_idempotent,
    check_turn_is_told_in_order,
    check_failed_turn_says_why,
    check_attaching_replays,
    check_prompt_returns_early_and_cancel_ends_it,
    check_crash_is_told_and_begun_anew,
    check_delivery_is_decided_by_evidence,
    check_prompts_arrive_once,
    check_conversations_are_apart,
    check_closing_is_idempotent,
    check_unknown_agent_is_refused,
    *SESSION_CHECKS,
)
