"""Sessions that go on in another process, are set to something, or need a login, on a real sandbox-agent."""

import os
import signal
from pathlib import Path

import anyio
import pytest

from agent_server import (
    AgentHost,
    conversation,
    odd,
    running,
    silent,
    text_of,
    until_exited,
    until_replied,
)
from taskdock.adapters.agent.sandbox_agent import SandboxAgentGateway
from taskdock.core.errors import Permanent, Transient, Unreachable
from taskdock.core.intents import SessionSettings
from taskdock.ports.agent import AgentEvent, ItemKind, Received, Replied, SessionOpened, StopReason, Update

pytestmark = pytest.mark.anyio

TAB = conversation()
NEXT = conversation(session=2)
ODD = conversation(agent="odd")


async def opened_after_a_turn(agents: SandboxAgentGateway, host: AgentHost, text: str) -> SessionOpened:
    """Open a session and have it work on one prompt."""
    session = await agents.open_session(host.endpoint, TAB, str(host.checkout))
    async with agents.attach(host.endpoint, TAB) as stream:
        await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", text)
        await until_replied(stream, "msg-1")
    return session


async def resume(agents: SandboxAgentGateway, host: AgentHost, first: SessionOpened) -> SessionOpened:
    """Resume a session in the next conversation."""
    return await agents.resume_session(host.endpoint, NEXT, str(host.checkout), first.session_id)


async def next_turn(
    agents: SandboxAgentGateway, host: AgentHost, session: SessionOpened
) -> tuple[list[AgentEvent], Replied]:
    """Send the next prompt to a resumed session; everything that its stream has to tell, and the end."""
    async with agents.attach(host.endpoint, NEXT) as stream:
        await agents.prompt(host.endpoint, NEXT, session.session_id, "msg-2", "demo: echo and now")
        return await until_replied(stream, "msg-2")


async def test_session_goes_on_after_its_agent_was_killed(tmp_path: Path) -> None:
    """After SIGKILL of the agent its session goes on in a new process; the past is neither told nor receipted again."""
    async with running(tmp_path) as (agents, host):
        first = await opened_after_a_turn(agents, host, "demo: echo the past")
        async with agents.attach(host.endpoint, TAB) as stream:
            os.kill(host.agents()[0], signal.SIGKILL)
            assert "137" in (await until_exited(stream)).detail
        second = await resume(agents, host, first)
        assert (second.session_id, second.agent_process == first.agent_process) == (first.session_id, False)
        events, end = await next_turn(agents, host, second)
        assert (text_of(events), end.stop) == ("and now", StopReason.COMPLETED)
        assert [e for e in events if isinstance(e, Received)] == [Received(events[0].event_id, "msg-2")]
        assert [entry["request"] for entry in host.prompts()] == ["msg-1", "msg-2"]
        assert len(list((host.home / ".taskdock/demo-sessions").iterdir())) == 1


async def test_session_goes_on_after_its_server_was_restarted(tmp_path: Path) -> None:
    """After the whole server was stopped and started its sessions are still to be had, under another process name."""
    async with running(tmp_path) as (agents, host):
        first = await opened_after_a_turn(agents, host, "demo: echo the past")
        host.stop()
        with pytest.raises(Unreachable):
            await resume(agents, host, first)
        await host.start(await agents.service("demo", silent))
        second = await resume(agents, host, first)
        assert (second.session_id, second.agent_process == first.agent_process) == (first.session_id, False)
        assert text_of((await next_turn(agents, host, second))[0]) == "and now"


async def test_long_past_fills_no_ring(tmp_path: Path) -> None:
    """A past longer than the ring of events leaves no gap in the stream of the process that loads it."""
    async with running(tmp_path) as (agents, host):
        first = await opened_after_a_turn(agents, host, "demo: flood 1500")
        await agents.close(host.endpoint, TAB)
        second = await resume(agents, host, first)
        events, _ = await next_turn(agents, host, second)
        assert text_of(events) == "and now"
        assert all(isinstance(event, Received | Update) for event in events)


async def test_resumed_conversation_that_died_is_resumed_anew(tmp_path: Path) -> None:
    """A conversation whose resumed agent died is resumed in yet another process."""
    async with running(tmp_path) as (agents, host):
        first = await opened_after_a_turn(agents, host, "demo: echo the past")
        await agents.close(host.endpoint, TAB)
        second = await resume(agents, host, first)
        async with agents.attach(host.endpoint, NEXT) as stream:
            os.kill(host.agents()[0], signal.SIGKILL)
            await until_exited(stream)
        third = await resume(agents, host, first)
        assert third.agent_process != second.agent_process
        assert text_of((await next_turn(agents, host, third))[0]) == "and now"


@pytest.mark.parametrize(
    ("way", "words"), [("", "cannot load sessions"), ("cannot-load-this", "Session expired")]
)
async def test_refused_resume_says_why(tmp_path: Path, way: str, words: str) -> None:
    """An agent that cannot load sessions, or not this one, is permanent; a new session can be had there."""
    async with running(tmp_path, odd(way)) as (agents, host):
        with pytest.raises(Permanent, match=words):
            await agents.resume_session(host.endpoint, ODD, str(host.checkout), "odd-9")
        new = await agents.open_session(host.endpoint, ODD, str(host.checkout))
        async with agents.attach(host.endpoint, ODD) as stream:
            await agents.prompt(host.endpoint, ODD, new.session_id, "msg-1", "hello")
            assert (await until_replied(stream, "msg-1"))[1].stop is StopReason.COMPLETED


async def test_past_told_late_is_past_too(tmp_path: Path) -> None:
    """What an agent repeats after its answer to the load, and before the first prompt, is not told."""
    async with running(tmp_path, odd("loads-loudly")) as (agents, host):
        session = await agents.resume_session(host.endpoint, ODD, str(host.checkout), "odd-9")
        assert session.session_id == "odd-9"
        async with agents.attach(host.endpoint, ODD) as stream:
            await agents.prompt(host.endpoint, ODD, "odd-9", "msg-1", "hello")
            events, _ = await until_replied(stream, "msg-1")
        assert text_of(events) == ""


async def test_agent_that_dies_loading_is_given_up(tmp_path: Path) -> None:
    """An agent that does not stay alive is given up after three starts, with its last words."""
    async with running(tmp_path, odd("dies")) as (agents, host):
        with anyio.fail_after(10), pytest.raises(Transient, match="my configuration"):
            await agents.resume_session(host.endpoint, ODD, str(host.checkout), "odd-9")


async def test_settings_outlive_their_process(tmp_path: Path) -> None:
    """A session that was set to something is set to it again after a resume, without a word from us."""
    async with running(tmp_path) as (agents, host):
        first = await agents.open_session(host.endpoint, TAB, str(host.checkout))
        wanted = SessionSettings(model="demo-thorough", permission_mode="auto")
        await agents.settle(host.endpoint, TAB, first.session_id, wanted)
        await agents.close(host.endpoint, TAB)
        second = await resume(agents, host, first)
        async with agents.attach(host.endpoint, NEXT) as stream:
            await agents.prompt(host.endpoint, NEXT, second.session_id, "msg-1", "demo: settings")
            events, _ = await until_replied(stream, "msg-1")
        assert text_of(events) == "model demo-thorough, mode auto"
        with pytest.raises(Permanent, match="'gpt'; there is: demo-quick, demo-thorough"):
            await agents.settle(host.endpoint, NEXT, second.session_id, SessionSettings(model="gpt"))


async def test_settings_by_config_option(tmp_path: Path) -> None:
    """An agent that offers its settings as config options, grouped or not, is set by these."""
    async with running(tmp_path, odd("config-options")) as (agents, host):
        session = await agents.open_session(host.endpoint, ODD, str(host.checkout))
        wanted = SessionSettings(model="big", permission_mode="plan")
        await agents.settle(host.endpoint, ODD, session.session_id, wanted)
        await agents.prompt(host.endpoint, ODD, session.session_id, "msg-1", "hello")
        async with agents.attach(host.endpoint, ODD) as stream:
            events, _ = await until_replied(stream, "msg-1")
        assert text_of(events) == "session/new llm=big perm=plan"
        with pytest.raises(Permanent, match="mode 'yolo'; there is: plan"):
            await agents.settle(
                host.endpoint, ODD, session.session_id, SessionSettings(permission_mode="yolo")
            )


async def test_agent_without_a_choice_refuses_settings(tmp_path: Path) -> None:
    """A model cannot be chosen where the agent offers none, and nobody is left to believe that it was."""
    async with running(tmp_path, odd("")) as (agents, host):
        session = await agents.open_session(host.endpoint, ODD, str(host.checkout))
        await agents.settle(host.endpoint, ODD, session.session_id, SessionSettings())
        with pytest.raises(Permanent, match="no choice of a model, so 'big'"):
            await agents.settle(host.endpoint, ODD, session.session_id, SessionSettings(model="big"))


async def test_login_is_wanted_everywhere(tmp_path: Path) -> None:
    """An agent whose login ran out refuses prompts, new sessions and old ones in its own words, until it is logged in."""
    async with running(tmp_path) as (agents, host):
        session = await opened_after_a_turn(agents, host, "demo: logout")
        async with agents.attach(host.endpoint, TAB) as stream:
            await agents.prompt(host.endpoint, TAB, session.session_id, "msg-2", "demo: echo lost")
            _, end = await until_replied(stream, "msg-2")
        assert end.stop is StopReason.FAILED
        words = "Authentication required: remove .* to log in"
        assert end.detail.startswith("Authentication required: remove ")
        with pytest.raises(Permanent, match=words):
            await agents.open_session(host.endpoint, conversation("tab-2"), str(host.checkout))
        with pytest.raises(Permanent, match=words):
            await resume(agents, host, session)
        (host.home / ".taskdock/demo-logged-out").unlink()
        assert (await resume(agents, host, session)).session_id == session.session_id


async def test_odd_words_break_nothing(tmp_path: Path) -> None:
    """Updates of shapes that no agent should send are shown as far as they make sense, and the turn goes on."""
    async with running(tmp_path, odd("speaks-oddly")) as (agents, host):
        session = await agents.open_session(host.endpoint, ODD, str(host.checkout))
        async with agents.attach(host.endpoint, ODD) as stream:
            await agents.prompt(host.endpoint, ODD, session.session_id, "msg-1", "hello")
            events, end = await until_replied(stream, "msg-1")
        assert end.stop is StopReason.COMPLETED
        assert text_of(events).endswith("done")
        assert [e.kind for e in events if isinstance(e, Update)].count(ItemKind.TOOL_CALL) >= 1
