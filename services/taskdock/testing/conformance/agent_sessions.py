"""Agent sessions: the promises about going on with a session, about what it asks, shows and is set to.

Owns: `SESSION_CHECKS`, a part of `AGENT_CHECKS` (agent.py says how to use them).
Never: a promise that is not in `taskdock.ports.agent`.
Reads as: agent.py -> these -> your gateway.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from attrs import evolve

from taskdock.core.errors import Permanent
from taskdock.core.intents import SessionSettings
from taskdock.ports.agent import (
    AgentExited,
    AgentGateway,
    ItemKind,
    PermissionAnswered,
    PermissionAsked,
    Received,
    SessionOpened,
    StopReason,
    Update,
)
from taskdock.testing.conformance.agent_under_test import AgentCheck, AgentUnderTest, Opened, text_of
from taskdock.testing.conformance.promises import all_succeed, refused, require


@asynccontextmanager
async def resumed(opened: Opened) -> AsyncIterator[Opened]:
    """Go on with a session in the next conversation of its tab, closed afterwards."""
    conversation = evolve(opened.conversation, session=opened.conversation.session + 1)
    gateway, endpoint = opened.sut.gateway, opened.sut.endpoint
    try:
        session = await gateway.resume_session(
            endpoint, conversation, endpoint.checkout, opened.session.session_id
        )
        yield Opened(opened.sut, conversation, session)
    finally:
        with anyio.CancelScope(shield=True):
            await gateway.close(endpoint, conversation)


async def check_session_goes_on_after_a_crash(sut: AgentUnderTest) -> None:
    """A resumed session keeps its id in a new process; nothing of the past is told again; the next turn works."""
    async with sut.session() as opened:
        async with opened.attach() as stream:
            await opened.turn(stream, "demo: echo of the past")
            await opened.prompt("demo: crash")
            await opened.until(stream, lambda event: isinstance(event, AgentExited))
        async with resumed(opened) as later, later.attach() as stream:
            require(later.session.session_id == opened.session.session_id, "A resumed session keeps its id.")
            require(
                later.session.agent_process != opened.session.agent_process,
                "It needs a process of its own.",
            )
            request_id = await later.prompt("demo: echo and now")
            events = await later.until_end(stream, request_id)
            require(text_of(events) == "and now", f"The past must not be told again: {events}.")
            seen = [event.request_id for event in events if isinstance(event, Received)]
            require(seen == [request_id], f"The past must not count as a receipt: {events}.")


async def check_resuming_is_idempotent(sut: AgentUnderTest) -> None:
    """A conversation resumes its session once, whoever asks, and however many at once."""
    async with sut.session() as opened, sut.second() as other, resumed(opened) as later:

        async def again(gateway: AgentGateway) -> SessionOpened:
            return await gateway.resume_session(
                sut.endpoint, later.conversation, sut.endpoint.checkout, opened.session.session_id
            )

        calls = [lambda g=gateway: again(g) for gateway in (sut.gateway, other) * 2]
        found = await all_succeed("A session may be resumed by several at once.", calls)
        require(set(found) == {later.session}, f"All must get {later.session}: {found}.")


async def check_unknown_session_is_refused(sut: AgentUnderTest) -> None:
    """A session that the agent does not know is a permanent error; the conversation can then have a new one."""
    async with sut.session() as opened:
        conversation = evolve(opened.conversation, session=2)
        try:
            with refused(Permanent, "A session that is not there cannot be resumed."):
                await sut.gateway.resume_session(
                    sut.endpoint, conversation, sut.endpoint.checkout, "no-such-session"
                )
            session = await sut.gateway.open_session(sut.endpoint, conversation, sut.endpoint.checkout)
            anew = Opened(sut, conversation, session)
            async with anew.attach() as stream:
                events, _ = await anew.turn(stream, "demo: echo anew")
                require(text_of(events) == "anew", f"A new session must be heard: {events}.")
        finally:
            with anyio.CancelScope(shield=True):
                await sut.gateway.close(sut.endpoint, conversation)


async def check_permission_is_answered_once(sut: AgentUnderTest) -> None:
    """What is asked waits for its answer; the first counts, the agent obeys, and the stream tells of both."""
    for option, words in (("once", "Allowed (once)"), ("never", "Rejected (never)"), (None, "Cancelled")):
        async with sut.session() as opened, opened.attach() as stream:
            asked = await opened.ask(stream)
            offered = {one.id for one in asked.options}
            require({"once", "never"} <= offered, f"What can be chosen must be told: {asked}.")
            await opened.answer(asked.permission_id, option)
            await opened.answer(asked.permission_id, "never" if option == "once" else "once")
            events = await opened.until_end(stream, asked.request_id)
            require(text_of(events).startswith(words), f"The agent must obey the first answer: {events}.")
            told = [event for event in events if isinstance(event, PermissionAnswered)]
            require(
                [(one.permission_id, one.request_id, one.option_id) for one in told]
                == [(asked.permission_id, asked.request_id, option)],
                f"The answer must be told once: {told}.",
            )
            await opened.answer(asked.permission_id, "once")


async def check_permission_waits_for_a_later_reader(sut: AgentUnderTest) -> None:
    """What was asked while nobody followed is told to who comes later, under the same id to everybody, and can be answered."""
    async with sut.session() as opened:
        async with opened.attach() as stream:
            asked = await opened.ask(stream)
        async with sut.second() as other, other.attach(sut.endpoint, opened.conversation) as later:
            again = (await opened.until(later, lambda event: isinstance(event, PermissionAsked)))[-1]
            require(again == asked, f"A replay must equal what was told live: {again} and {asked}.")
            await other.answer_permission(sut.endpoint, opened.conversation, asked.permission_id, "once")
            events = await opened.until_end(later, asked.request_id)
            require(text_of(events).startswith("Allowed"), f"The answer must arrive: {events}.")


async def check_permissions_differ(sut: AgentUnderTest) -> None:
    """No two questions of a tab share an id, also not those of a later session; a wrong answer is refused."""
    ids: list[str] = []
    async with sut.session() as opened:
        async with opened.attach() as stream:
            for _ in range(2):
                asked = await opened.ask(stream)
                ids.append(asked.permission_id)
                with refused(Permanent, "An option that was not offered cannot be chosen."):
                    await opened.answer(asked.permission_id, "no-such-option")
                await opened.answer(asked.permission_id, "never")
                await opened.until_end(stream, asked.request_id)
        async with resumed(opened) as later, later.attach() as stream:
            ids.append((await later.ask(stream)).permission_id)
        with refused(Permanent, "What was never asked cannot be answered."):
            await opened.answer("no-such-permission", "once")
    require(len(set(ids)) == len(ids), f"Each question needs an id of its own: {ids}.")


async def check_cancel_cancels_what_is_asked(sut: AgentUnderTest) -> None:
    """A cancelled turn takes its open question with it, and the question allows nothing afterwards."""
    async with sut.session() as opened, opened.attach() as stream:
        asked = await opened.ask(stream)
        await sut.gateway.cancel(sut.endpoint, opened.conversation, opened.session.session_id)
        events = await opened.until_end(stream, asked.request_id)
        told = [event.option_id for event in events if isinstance(event, PermissionAnswered)]
        require(told == [None], f"The question must be told as cancelled: {events}.")
        await opened.answer(asked.permission_id, "once")
        events, _ = await opened.turn(stream, "demo: echo fine")
        require(text_of(events) == "fine", f"The next turn must work: {events}.")


async def check_settings_are_applied(sut: AgentUnderTest) -> None:
    """A model and a permission mode are applied, each alone too; what is not offered is refused with what is."""
    async with sut.session() as opened, opened.attach() as stream:

        async def said() -> str:
            return text_of((await opened.turn(stream, "demo: settings"))[0])

        before = await said()
        await opened.settle(SessionSettings())
        require(await said() == before, "What is not set must stay as it is.")
        await opened.settle(SessionSettings(model=sut.model))
        require(sut.model in await said(), f"The model must be applied: {await said()}.")
        await opened.settle(SessionSettings(permission_mode=sut.permission_mode))
        require(
            {sut.model, sut.permission_mode} <= set((await said()).replace(",", "").split()),
            "Both must hold.",
        )
        for wrong in (SessionSettings(model="no-such"), SessionSettings(permission_mode="no-such")):
            offered = sut.model if wrong.model else sut.permission_mode
            refusal = ""
            try:
                await opened.settle(wrong)
            except Permanent as error:
                refusal = error.reason
            require(offered in refusal, f"A refusal must name what there is: {wrong}, {refusal!r}.")


async def check_login_error_is_quoted(sut: AgentUnderTest) -> None:
    """An agent that wants a login fails the turn in its own words, and the session stays."""
    async with sut.session() as opened, opened.attach() as stream:
        _, end = await opened.turn(stream, "demo: login ask your admin")
        require(end.stop is StopReason.FAILED, f"A login error must fail the turn: {end}.")
        require("ask your admin" in end.detail, f"The end must hold the agent's words: {end}.")
        events, _ = await opened.turn(stream, "demo: echo fine")
        require(text_of(events) == "fine", f"The session must go on: {events}.")


async def check_diffs_are_told(sut: AgentUnderTest) -> None:
    """A change of a file is an item of its own, with its path and both sides, in the place of its tool call."""
    async with sut.session() as opened, opened.attach() as stream:
        events, _ = await opened.turn(stream, "Look here\ndemo: dirty")
        updates = [event for event in events if isinstance(event, Update)]
        diffs = [event for event in updates if event.kind is ItemKind.DIFF]
        require(len(diffs) == 1, f"The edit must be told as one diff: {updates}.")
        body = diffs[0].body
        require(
            body["path"].endswith("notes/look-here.md") and "Look here" in body["new"],
            f"It says what: {body}.",
        )
        places = [(event.event_id, event.part) for event in updates]
        require(places == sorted(set(places)), f"Items must have places that only grow: {places}.")


SESSION_CHECKS: tuple[AgentCheck, ...] = (
    check_session_goes_on_after_a_crash,
    check_resuming_is_idempotent,
    check_unknown_session_is_refused,
    check_permission_is_answered_once,
    check_permission_waits_for_a_later_reader,
    check_permissions_differ,
    check_cancel_cancels_what_is_asked,
    check_settings_are_applied,
    check_login_error_is_quoted,
    check_diffs_are_told,
)
