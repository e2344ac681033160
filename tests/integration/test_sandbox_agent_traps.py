"""What sandbox-agent 0.4.2 does to those who trust it, each shown on the real server, and what our adapter makes of it."""

import json
import signal
from pathlib import Path

import anyio
import httpx
import pytest
from attrs import evolve

from agent_server import (
    AgentHost,
    conversation,
    gateway,
    odd,
    running,
    silent,
    text_of,
    until,
    until_replied,
)
from taskdock.adapters.agent import exchange, sandbox_agent
from taskdock.adapters.agent.sandbox_agent import SandboxAgentGateway
from taskdock.core.errors import OutcomeUnknown, Transient, Unreachable
from taskdock.ports.agent import Gap, ItemKind, SessionOpened, StopReason, Update

pytestmark = pytest.mark.anyio

TAB = conversation()
ODD = conversation(agent="odd")

NO_RELAY = """
import os, sys
here = os.path.dirname(os.path.abspath(__file__))
argv = [word.replace("{python}", sys.executable).replace("{bin}", here) for word in sys.argv[1:]]
os.execv(argv[0], argv)
"""


def without_relay(host: AgentHost) -> None:
    """Have the launcher start the agent itself."""
    (host.home / ".taskdock/bin/relay.py").write_text(NO_RELAY)


def raw(host: AgentHost, seconds: float) -> httpx.AsyncClient:
    """A client of our own, to do what the adapter never does."""
    return httpx.AsyncClient(
        base_url=host.url + "/v1", headers=host.endpoint.headers, timeout=seconds, trust_env=False
    )


async def test_delete_of_a_live_agent_never_answers(tmp_path: Path) -> None:
    """Closing an agent that no relay can end is cut after two seconds; hanging up ends the agent."""
    async with running(tmp_path, odd("")) as (agents, host):
        without_relay(host)
        await agents.open_session(host.endpoint, ODD, str(host.checkout))
        begun = anyio.current_time()
        await agents.close(host.endpoint, ODD)
        assert 1.5 < anyio.current_time() - begun < 6
        await until(lambda: not host.agents("odd_agent.py"))
        async with raw(host, 5) as client:
            assert (await client.get("/acp")).json() == {"servers": []}


async def test_agent_that_ignores_its_end_is_ended(tmp_path: Path) -> None:
    """An agent that stays after the end of its input and ignores SIGTERM is killed by the relay, within the ten seconds."""
    async with running(tmp_path, odd("stays")) as (agents, host):
        await agents.open_session(host.endpoint, ODD, str(host.checkout))
        with anyio.fail_after(10):
            await agents.close(host.endpoint, ODD)
        assert host.agents("odd_agent.py") == host.relays() == []


async def test_killed_server_leaves_no_agent(tmp_path: Path) -> None:
    """When the server alone is killed the relay notices and ends even an agent that would stay."""
    async with running(tmp_path, odd("stays")) as (agents, host):
        await agents.open_session(host.endpoint, ODD, str(host.checkout))
        assert host.process is not None
        host.process.send_signal(signal.SIGKILL)
        await until(lambda: not host.agents("odd_agent.py") and not host.relays())


async def test_request_timeout_answers_nobody(tmp_path: Path) -> None:
    """A turn that outlives the server's request timeout still ends on the stream, and the next one works."""
    async with gateway() as agents:
        service = await agents.service("demo", silent)
        host = AgentHost(tmp_path)
        # Longer than a slow machine takes to start the agent, whose first request would else be lost as well.
        timeout = {"SANDBOX_AGENT_ACP_REQUEST_TIMEOUT_MS": "2000"}
        try:
            await host.start(evolve(service, env={**service.env, **timeout}))
            session = await agents.open_session(host.endpoint, TAB, str(host.checkout))
            async with agents.attach(host.endpoint, TAB) as stream:
                for message, text in (("msg-1", "demo: crawl 2.5"), ("msg-2", "demo: echo fine")):
                    await agents.prompt(host.endpoint, TAB, session.session_id, message, text)
                    assert (await until_replied(stream, message))[1].stop is StopReason.COMPLETED
        finally:
            host.stop()
    assert int(service.env["SANDBOX_AGENT_ACP_REQUEST_TIMEOUT_MS"]) >= 24 * 60 * 60 * 1000


async def test_prompt_sent_twice_is_seen_once(tmp_path: Path) -> None:
    """The same prompt from several senders at once, and again after its turn, reaches the agent once and hangs nobody."""
    async with running(tmp_path) as (agents, host), gateway() as second:
        session = await agents.open_session(host.endpoint, TAB, str(host.checkout))

        async def send(sender: SandboxAgentGateway) -> None:
            await sender.prompt(host.endpoint, TAB, session.session_id, "msg-1", "demo: crawl 0.3")

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                for sender in (agents, second, agents, second):
                    tasks.start_soon(send, sender)
            async with agents.attach(host.endpoint, TAB) as stream:
                await until_replied(stream, "msg-1")
            await send(second)
        assert [entry["request"] for entry in host.prompts()] == ["msg-1"]


async def test_file_request_is_refused(tmp_path: Path) -> None:
    """An agent that wants to write through its client, although we declared no files, gets a plain 'not found'."""
    async with running(tmp_path, odd("writes-through-client")) as (agents, host):
        session = await agents.open_session(host.endpoint, ODD, str(host.checkout))
        async with agents.attach(host.endpoint, ODD) as stream:
            await agents.prompt(host.endpoint, ODD, session.session_id, "msg-1", "write")
            events, _ = await until_replied(stream, "msg-1")
        answer = json.loads(text_of(events))
        assert (answer["id"], answer["error"]["code"]) == (0, -32601)
        assert text_of(events, ItemKind.ERROR) == ""


async def test_noise_on_stdout_is_reported(tmp_path: Path) -> None:
    """A line of the agent that is no message is dropped and said so; the turn goes on."""
    async with running(tmp_path, odd("babbles")) as (agents, host):
        session = await agents.open_session(host.endpoint, ODD, str(host.checkout))
        async with agents.attach(host.endpoint, ODD) as stream:
            await agents.prompt(host.endpoint, ODD, session.session_id, "msg-1", "hello")
            events, end = await until_replied(stream, "msg-1")
        assert text_of(events) == "done"
        assert "dropped" in text_of(events, ItemKind.ERROR)
        assert end.stop is StopReason.COMPLETED


async def test_turn_cut_by_a_limit_has_failed(tmp_path: Path) -> None:
    """A turn that stopped at a limit did not do what was asked; the reason is kept."""
    async with running(tmp_path, odd("runs-out")) as (agents, host):
        session = await agents.open_session(host.endpoint, ODD, str(host.checkout))
        await agents.prompt(host.endpoint, ODD, session.session_id, "msg-1", "hello")
        async with agents.attach(host.endpoint, ODD) as stream:
            _, end = await until_replied(stream, "msg-1")
        assert (end.stop, end.detail) == (StopReason.FAILED, "max_tokens")


async def test_overrun_ring_is_a_gap(tmp_path: Path) -> None:
    """A reader who comes after the ring ran over is told first how much is missing, then gets the rest without holes."""
    async with running(tmp_path) as (agents, host):
        session = await agents.open_session(host.endpoint, TAB, str(host.checkout))
        async with agents.attach(host.endpoint, TAB) as stream:
            await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "demo: flood 1500")
            await until_replied(stream, "msg-1")
        async with agents.attach(host.endpoint, TAB) as late:
            gap = await late.receive()
            assert isinstance(gap, Gap)
            events, end = await until_replied(late, "msg-1")
        texts = [event.body["text"] for event in events if isinstance(event, Update)]
        assert texts == [f"{number} " for number in range(1500 - len(texts), 1500)]
        assert gap.after == 0
        assert [event.event_id for event in events] == list(range(gap.event_id + 1, end.event_id))


async def half_a_line(host: AgentHost, session: SessionOpened) -> None:
    """Cut a client off while the server writes its prompt to the agent: the pipe holds the first 64 kB of it."""
    params = {"sessionId": session.session_id, "prompt": [{"type": "text", "text": "x" * 200_000}]}
    body = {"jsonrpc": "2.0", "id": "msg-half", "method": "session/prompt", "params": params}
    with host.frozen_relay():
        async with raw(host, 0.5) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.post("/acp/tab-1-g1-s1", json=body)


async def test_half_a_line_swallows_no_prompt(tmp_path: Path) -> None:
    """After a client was cut off in the middle of a line, the next prompt arrives, whole and once."""
    async with running(tmp_path) as (agents, host):
        session = await agents.open_session(host.endpoint, TAB, str(host.checkout))
        await half_a_line(host, session)
        await agents.prompt(host.endpoint, TAB, session.session_id, "msg-2", "demo: echo here")
        async with agents.attach(host.endpoint, TAB) as stream:
            events, _ = await until_replied(stream, "msg-2")
        assert text_of(events) == "here"
        assert [entry["request"] for entry in host.prompts()] == ["msg-2"]


async def test_half_a_line_swallows_no_cancel(tmp_path: Path) -> None:
    """After a client was cut off in the middle of a line, a cancel arrives."""
    async with running(tmp_path) as (agents, host):
        session = await agents.open_session(host.endpoint, TAB, str(host.checkout))
        await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "demo: hang")
        await half_a_line(host, session)
        await agents.cancel(host.endpoint, TAB, session.session_id)
        async with agents.attach(host.endpoint, TAB) as stream:
            assert (await until_replied(stream, "msg-1"))[1].stop is StopReason.CANCELLED


async def test_half_a_line_swallows_no_session(tmp_path: Path) -> None:
    """After a client was cut off in the middle of a line, opening finds the session, and closing ends it."""
    async with running(tmp_path) as (agents, host):
        session = await agents.open_session(host.endpoint, TAB, str(host.checkout))
        await half_a_line(host, session)
        with anyio.fail_after(20):
            assert await agents.open_session(host.endpoint, TAB, str(host.checkout)) == session
        await half_a_line(host, session)
        with anyio.fail_after(10):
            await agents.close(host.endpoint, TAB)
        assert host.agents() == host.relays() == []


async def test_deaf_process_is_sent_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt is not sent to a process that answers no fence."""
    monkeypatch.setattr(exchange, "FENCE_SECONDS_MAX", 0.2)
    async with running(tmp_path) as (agents, host):
        session = await agents.open_session(host.endpoint, TAB, str(host.checkout))
        with host.frozen_relay(), anyio.fail_after(5), pytest.raises(Unreachable, match="nothing was sent"):
            await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "demo: echo lost")
        async with agents.attach(host.endpoint, TAB) as stream:
            await agents.prompt(host.endpoint, TAB, session.session_id, "msg-2", "demo: echo heard")
            await until_replied(stream, "msg-2")
        assert [entry["request"] for entry in host.prompts()] == ["msg-2"]


async def test_close_cuts_a_prompt_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing while a prompt waits for its receipt cuts that off, since it would keep the agent alive, and still closes."""
    monkeypatch.setattr(sandbox_agent, "END_SECONDS_MAX", 0.5)
    async with running(tmp_path) as (agents, host):
        session = await agents.open_session(host.endpoint, TAB, str(host.checkout))
        ended: list[str] = []
        fences = host.log().count("_taskdock/fence")

        async def prompt() -> None:
            with pytest.raises(OutcomeUnknown, match="closed"):
                await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "demo: echo lost")
            ended.append("cut")

        with host.frozen_relay():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(prompt)
                await until(lambda: host.log().count("_taskdock/fence") > fences)
                await agents.close(host.endpoint, TAB)
        assert ended == ["cut"]
        await until(lambda: not host.agents() and not host.relays())
        assert host.prompts() == []


async def test_close_of_a_stopped_server_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing on a server that accepts connections and answers nothing ends by its own deadline."""
    monkeypatch.setattr(sandbox_agent, "CLOSE_SECONDS_MAX", 0.5)
    async with running(tmp_path) as (agents, host):
        assert host.process is not None
        host.process.send_signal(signal.SIGSTOP)
        with anyio.fail_after(5), pytest.raises(Transient):
            await agents.close(host.endpoint, TAB)
