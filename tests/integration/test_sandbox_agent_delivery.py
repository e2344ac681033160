"""Whether a prompt reached the agent, decided by evidence after its sender is gone, on a real sandbox-agent."""

import itertools
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from agent_server import AgentHost, conversation, running, silent, until, until_exited, until_replied
from taskdock.adapters.agent import exchange, sandbox_agent
from taskdock.adapters.agent.sandbox_agent import SandboxAgentGateway
from taskdock.core.errors import OutcomeUnknown
from taskdock.ports.agent import Delivery, SessionOpened

pytestmark = pytest.mark.anyio

TAB = conversation()
KILL_ROUNDS = 10
SENDER = str(Path(__file__).resolve().parent.parent / "prompt_sender.py")


def requests_seen(host: AgentHost) -> list[str]:
    """The ids of the prompts that the agent wrote down, in order."""
    return [entry["request"] for entry in host.prompts()]


async def test_what_was_sent_is_seen_and_what_was_not_is_not(tmp_path: Path) -> None:
    """A prompt counts as seen while its turn runs and after; one that nobody sent counts as not seen, and stays unsent."""
    async with running(tmp_path) as (agents, host):
        session = await agents.open_session(host.endpoint, TAB, str(host.checkout))
        await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "demo: hang")
        for _ in range(2):
            found = await agents.delivery(host.endpoint, TAB, "msg-1", session.agent_process)
            assert found is Delivery.SEEN
            found = await agents.delivery(host.endpoint, TAB, "msg-2", session.agent_process)
            assert found is Delivery.NOT_SEEN
            await agents.cancel(host.endpoint, TAB, session.session_id)
            async with agents.attach(host.endpoint, TAB) as stream:
                await until_replied(stream, "msg-1")
        assert requests_seen(host) == ["msg-1"]


async def test_another_process_proves_nothing(tmp_path: Path) -> None:
    """What another agent process saw, before a crash, a close or a restart of the server, cannot be known from this one."""
    async with running(tmp_path) as (agents, host):
        first = await agents.open_session(host.endpoint, TAB, str(host.checkout))
        await agents.close(host.endpoint, TAB)
        for _ in range(2):
            assert await agents.delivery(host.endpoint, TAB, "msg-1", first.agent_process) is Delivery.UNKNOWN
            await agents.open_session(host.endpoint, TAB, str(host.checkout))
        host.stop()
        await host.start(await agents.service("demo", silent))
        await agents.open_session(host.endpoint, TAB, str(host.checkout))
        assert await agents.delivery(host.endpoint, TAB, "msg-1", first.agent_process) is Delivery.UNKNOWN


async def test_dead_agent_proves_only_what_it_received(tmp_path: Path) -> None:
    """After a crash a receipt still counts; a missing one proves nothing, since no fence is answered any more."""
    async with running(tmp_path) as (agents, host):
        session = await agents.open_session(host.endpoint, TAB, str(host.checkout))
        async with agents.attach(host.endpoint, TAB) as stream:
            await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "demo: crash")
            await until_exited(stream)
        assert await agents.delivery(host.endpoint, TAB, "msg-1", session.agent_process) is Delivery.SEEN
        assert await agents.delivery(host.endpoint, TAB, "msg-2", session.agent_process) is Delivery.UNKNOWN


async def test_gap_hides_the_proof(tmp_path: Path) -> None:
    """After the ring ran over a prompt without a trace is unknown; one whose reply is still there is seen."""
    async with running(tmp_path) as (agents, host):
        session = await agents.open_session(host.endpoint, TAB, str(host.checkout))
        async with agents.attach(host.endpoint, TAB) as stream:
            await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "demo: flood 1500")
            await until_replied(stream, "msg-1")
        assert await agents.delivery(host.endpoint, TAB, "msg-1", session.agent_process) is Delivery.SEEN
        assert await agents.delivery(host.endpoint, TAB, "msg-2", session.agent_process) is Delivery.UNKNOWN


async def test_deaf_process_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answered fence nothing is proved, within a deadline."""
    monkeypatch.setattr(exchange, "FENCE_SECONDS_MAX", 0.2)
    async with running(tmp_path) as (agents, host):
        session = await agents.open_session(host.endpoint, TAB, str(host.checkout))
        with host.frozen_relay(), anyio.fail_after(5):
            assert (
                await agents.delivery(host.endpoint, TAB, "msg-1", session.agent_process) is Delivery.UNKNOWN
            )


@contextmanager
def frozen_when_sending(host: AgentHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stop the relay between the fence that goes before a prompt and the prompt."""
    was_sent = SandboxAgentGateway._was_sent
    frozen = host.frozen_relay()

    async def then_freeze(*arguments: object) -> bool:
        answer: bool = await was_sent(*arguments)  # type: ignore[arg-type]
        frozen.__enter__()
        return answer

    monkeypatch.setattr(SandboxAgentGateway, "_was_sent", then_freeze)
    try:
        yield
    finally:
        monkeypatch.setattr(SandboxAgentGateway, "_was_sent", was_sent)
        frozen.__exit__(None, None, None)


@pytest.mark.parametrize(("size", "expected"), [(100, Delivery.SEEN), (200_000, Delivery.NOT_SEEN)])
async def test_unconfirmed_prompt_is_decided_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, expected: Delivery
) -> None:
    """A prompt without a receipt is unknown to its sender; the evidence decides, and sending again delivers it once."""
    monkeypatch.setattr(sandbox_agent, "RECEIPT_SECONDS_MAX", 0.5)
    async with running(tmp_path) as (agents, host):
        session = await agents.open_session(host.endpoint, TAB, str(host.checkout))
        text = "demo: echo ok\n" + "x" * size
        with frozen_when_sending(host, monkeypatch), pytest.raises(OutcomeUnknown):
            await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", text)
        assert await agents.delivery(host.endpoint, TAB, "msg-1", session.agent_process) is expected
        await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", text)
        async with agents.attach(host.endpoint, TAB) as stream:
            await until_replied(stream, "msg-1")
        assert requests_seen(host) == ["msg-1"]


async def test_server_that_dies_with_a_prompt_leaves_it_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the server goes between the prompt and its receipt, the sender does not claim to know."""
    async with running(tmp_path) as (agents, host):
        session = await agents.open_session(host.endpoint, TAB, str(host.checkout))

        async def send() -> None:
            with pytest.raises(OutcomeUnknown):
                await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "demo: echo ok")

        with frozen_when_sending(host, monkeypatch):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send)
                await until(lambda: "method=session/prompt" in host.log())
                host.stop()


async def test_agent_that_dies_with_a_prompt_leaves_it_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the agent's process goes between the prompt and its receipt, its sender learns at once that it does not know."""
    async with running(tmp_path) as (agents, host):
        session = await agents.open_session(host.endpoint, TAB, str(host.checkout))

        async def send() -> None:
            with anyio.fail_after(10), pytest.raises(OutcomeUnknown, match="exited"):
                await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "demo: echo ok")

        with frozen_when_sending(host, monkeypatch):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send)
                await until(lambda: "method=session/prompt" in host.log())
                os.kill(host.relays()[0], signal.SIGKILL)
        assert await agents.delivery(host.endpoint, TAB, "msg-1", session.agent_process) is Delivery.UNKNOWN


class Sender:
    """The sender process, kept warm; `kill_one` has it send a prompt and kills that process some ms later."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.stdin = process.stdin
        self.stdout = BufferedByteReceiveStream(process.stdout)

    async def kill_one(self, request_id: str, size: int, seconds: float) -> None:
        await self.stdin.send(f"{request_id} {size}\n".encode())
        with anyio.fail_after(10):
            # What comes before the pid is what a sender said that was killed too late.
            while not (word := await self.stdout.receive_until(b"\n", 1000)).isdigit():
                assert word == b"sent"
        await anyio.sleep(seconds)
        with suppress(ProcessLookupError):  # it may have ended
            os.kill(int(word), signal.SIGKILL)


async def test_killed_senders_are_decided_right(tmp_path: Path) -> None:
    """Whenever the sender is killed, the verdict is what the agent's own log says, and sending again delivers once."""
    async with running(tmp_path) as (agents, host):
        session = await agents.open_session(host.endpoint, TAB, str(host.checkout))
        where = json.dumps(where_of(host, session))
        async with await anyio.open_process([sys.executable, SENDER, where], stderr=None) as process:
            sender = Sender(process)
            for number, size in itertools.product(range(KILL_ROUNDS), (20_000, 200_000)):
                request_id = f"msg-{number}-{size}"
                await sender.kill_one(request_id, size, number * 0.0003)
                verdict = await agents.delivery(host.endpoint, TAB, request_id, session.agent_process)
                assert verdict is not Delivery.UNKNOWN
                await agents.prompt(host.endpoint, TAB, session.session_id, request_id, "demo: echo again")
                async with agents.attach(host.endpoint, TAB) as stream:
                    await until_replied(stream, request_id)
                [seen] = [entry for entry in host.prompts() if entry["request"] == request_id]
                assert ("again" not in seen["text"]) == (verdict is Delivery.SEEN)
            process.kill()


def where_of(host: AgentHost, session: SessionOpened) -> dict[str, object]:
    """What the sender process has to know."""
    one = host.endpoint
    return {
        "url": one.url,
        "headers": dict(one.headers),
        "incarnation": one.incarnation,
        "checkout": one.checkout,
        "session_id": session.session_id,
    }
