"""What agents ask for, and what becomes of it, on a real sandbox-agent."""

import os
import signal
from pathlib import Path

import pytest

from agent_server import (
    AgentHost,
    conversation,
    gateway,
    odd,
    running,
    text_of,
    until_exited,
    until_replied,
)
from taskdock.adapters.agent.sandbox_agent import SandboxAgentGateway
from taskdock.core.errors import Permanent, Unreachable
from taskdock.ports.agent import (
    AgentStream,
    ItemKind,
    PermissionAnswered,
    PermissionAsked,
    SessionOpened,
    StopReason,
    Update,
)

pytestmark = pytest.mark.anyio

TAB = conversation()
ODD = conversation(agent="odd")
ALLOWED = "Allowed (once): I wrote notes/tidy.md and left it uncommitted."


async def opened(agents: SandboxAgentGateway, host: AgentHost) -> SessionOpened:
    """Open the tab's session."""
    return await agents.open_session(host.endpoint, TAB, str(host.checkout))


async def asked(stream: AgentStream) -> PermissionAsked:
    """Read to the next question."""
    while not isinstance(event := await stream.receive(), PermissionAsked):
        assert event is not None, "the stream ended before the question"
    return event


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("once", ALLOWED),
        ("never", "Rejected (never): I changed nothing."),
        (None, "Cancelled: I changed nothing."),
    ],
)
async def test_answer_is_given_once(tmp_path: Path, option: str | None, said: str) -> None:
    """A question under the falsy id 0 waits, is answered as told, and other answers that come later change nothing."""
    async with running(tmp_path) as (agents, host):
        session = await opened(agents, host)
        async with agents.attach(host.endpoint, TAB) as stream:
            await agents.prompt(
                host.endpoint, TAB, session.session_id, "msg-1", "Tidy\ndemo: ask Remove everything"
            )
            question = await asked(stream)
            assert (question.permission_id, question.request_id) == ("g1-s1-1", "msg-1")
            assert question.title == "Remove everything"
            assert [one.id for one in question.options] == ["once", "always", "never"]
            assert not (host.checkout / "notes").exists()
            for answer in (option, "once", "never", None):
                await agents.answer_permission(host.endpoint, TAB, question.permission_id, answer)
            events, end = await until_replied(stream, "msg-1")
        assert (text_of(events), end.stop) == (said, StopReason.COMPLETED)
        answers = [event for event in events if isinstance(event, PermissionAnswered)]
        assert answers == [PermissionAnswered(answers[0].event_id, "g1-s1-1", "msg-1", option)]
        assert (host.checkout / "notes/tidy.md").exists() == (option == "once")
        assert [e.body["path"][-8:] for e in events if isinstance(e, Update) and e.kind is ItemKind.DIFF] == [
            "/tidy.md"
        ] * (2 if option == "once" else 1)


async def test_question_outlives_its_readers(tmp_path: Path) -> None:
    """What is asked while no client is there waits for one; a gateway of another process sees it and answers it."""
    async with running(tmp_path) as (agents, host):
        session = await opened(agents, host)
        await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "Tidy\ndemo: ask")
        async with gateway() as second, second.attach(host.endpoint, TAB) as stream:
            question = await asked(stream)
            await second.answer_permission(host.endpoint, TAB, question.permission_id, "once")
            events, _ = await until_replied(stream, "msg-1")
        assert text_of(events) == ALLOWED
        async with gateway() as third, third.attach(host.endpoint, TAB) as stream:
            replayed, _ = await until_replied(stream, "msg-1")
        assert question in replayed
        assert [e for e in replayed if isinstance(e, PermissionAnswered)] == [
            e for e in events if isinstance(e, PermissionAnswered)
        ]


async def test_two_questions_under_one_id_are_two(tmp_path: Path) -> None:
    """An agent that uses the same request id again asks again: each question has its own id and its own answer."""
    async with running(tmp_path, odd("asks-twice")) as (agents, host):
        session = await agents.open_session(host.endpoint, ODD, str(host.checkout))
        async with agents.attach(host.endpoint, ODD) as stream:
            await agents.prompt(host.endpoint, ODD, session.session_id, "msg-1", "hello")
            first = await asked(stream)
            await agents.answer_permission(host.endpoint, ODD, first.permission_id, "yes")
            second = await asked(stream)
            assert second.permission_id != first.permission_id
            await agents.answer_permission(host.endpoint, ODD, second.permission_id, None)
            events, _ = await until_replied(stream, "msg-1")
        assert text_of(events).endswith('{"outcome": "cancelled"}')


async def test_cancelled_turn_takes_its_question_with_it(tmp_path: Path) -> None:
    """A cancel answers the open question by a cancel, as the protocol wants, and ends the turn."""
    async with running(tmp_path) as (agents, host):
        session = await opened(agents, host)
        async with agents.attach(host.endpoint, TAB) as stream:
            await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "Tidy\ndemo: ask")
            question = await asked(stream)
            await agents.cancel(host.endpoint, TAB, session.session_id)
            events, end = await until_replied(stream, "msg-1")
        assert end.stop is StopReason.CANCELLED
        assert [e.option_id for e in events if isinstance(e, PermissionAnswered)] == [None]
        await agents.answer_permission(host.endpoint, TAB, question.permission_id, "once")
        assert not (host.checkout / "notes").exists()


async def test_cancel_answers_an_agent_that_waits(tmp_path: Path) -> None:
    """An agent that listens to nothing but the answer gets one when its turn is cancelled, and so can end it."""
    async with running(tmp_path, odd("asks-patiently")) as (agents, host):
        session = await agents.open_session(host.endpoint, ODD, str(host.checkout))
        async with agents.attach(host.endpoint, ODD) as stream:
            await agents.prompt(host.endpoint, ODD, session.session_id, "msg-1", "hello")
            await asked(stream)
            await agents.cancel(host.endpoint, ODD, session.session_id)
            events, _ = await until_replied(stream, "msg-1")
        assert text_of(events) == '{"outcome": "cancelled"}'


async def test_turn_that_ends_takes_its_question_with_it(tmp_path: Path) -> None:
    """An agent that asks and ends its turn without waiting has its question told as cancelled, before the end."""
    async with running(tmp_path, odd("asks-and-ends")) as (agents, host):
        session = await agents.open_session(host.endpoint, ODD, str(host.checkout))
        async with agents.attach(host.endpoint, ODD) as stream:
            await agents.prompt(host.endpoint, ODD, session.session_id, "msg-1", "hello")
            events, _ = await until_replied(stream, "msg-1")
        asked_then_answered = [e for e in events if isinstance(e, PermissionAsked | PermissionAnswered)]
        assert [type(event) for event in asked_then_answered] == [PermissionAsked, PermissionAnswered]


async def test_question_outside_of_a_turn_is_refused(tmp_path: Path) -> None:
    """What an agent asks for when nobody gave it work is not given, and the user is told of it."""
    async with running(tmp_path, odd("asks-outside")) as (agents, host):
        await agents.open_session(host.endpoint, ODD, str(host.checkout))
        async with agents.attach(host.endpoint, ODD) as stream:
            event = await stream.receive()
        assert isinstance(event, Update)
        assert event.kind is ItemKind.ERROR
        assert "(Dig); it was not given" in event.body["text"]


async def test_wrong_answers_are_refused(tmp_path: Path) -> None:
    """What was never asked here, or was not offered, is permanent; the question still waits."""
    async with running(tmp_path) as (agents, host):
        session = await opened(agents, host)
        async with agents.attach(host.endpoint, TAB) as stream:
            await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "Tidy\ndemo: ask")
            question = await asked(stream)
            for permission_id in ("g1-s1-2", "g1-s1-0", "g2-s1-1", "g1-s2-1", "", "1x"):
                with pytest.raises(Permanent, match=r"never asked|not asked for"):
                    await agents.answer_permission(host.endpoint, TAB, permission_id, "once")
            with pytest.raises(Permanent, match="no option 'ever'"):
                await agents.answer_permission(host.endpoint, TAB, question.permission_id, "ever")
            await agents.answer_permission(host.endpoint, TAB, question.permission_id, "once")
            assert text_of((await until_replied(stream, "msg-1"))[0]) == ALLOWED


async def test_answer_to_a_dead_agent_is_nothing(tmp_path: Path) -> None:
    """With the agent gone there is nothing left to answer; with the server gone nobody can be told."""
    async with running(tmp_path) as (agents, host):
        session = await opened(agents, host)
        async with agents.attach(host.endpoint, TAB) as stream:
            await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "Tidy\ndemo: ask")
            question = await asked(stream)
            os.kill(host.agents()[0], signal.SIGKILL)
            await until_exited(stream)
        await agents.answer_permission(host.endpoint, TAB, question.permission_id, "once")
        host.stop()
        with pytest.raises(Unreachable):
            await agents.answer_permission(host.endpoint, TAB, question.permission_id, "once")
