"""The agent port on a real sandbox-agent: sessions, turns, and what happens when agents and servers go."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
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
    until_exited,
    until_received,
    until_replied,
)
from taskdock.adapters.agent import acp
from taskdock.adapters.agent.sandbox_agent import SandboxAgentGateway
from taskdock.core.errors import Permanent, Transient, Unreachable
from taskdock.ports.agent import AgentGateway, Delivery, ItemKind, SessionOpened, StopReason, Update

pytestmark = pytest.mark.anyio

TAB = conversation()
ODD = conversation(agent="odd")


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[SandboxAgentGateway, AgentHost]]:
    """The gateway under test, and a server that runs the demo agent."""
    async with running(tmp_path) as one:
        yield one


@pytest.fixture
def agents(both: tuple[SandboxAgentGateway, AgentHost]) -> SandboxAgentGateway:
    """The gateway under test."""
    return both[0]


@pytest.fixture
def host(both: tuple[SandboxAgentGateway, AgentHost]) -> AgentHost:
    """The server."""
    return both[1]


async def opened(agents: AgentGateway, host: AgentHost, tab: str = "tab-1") -> SessionOpened:
    """Open a conversation's session with the demo agent."""
    return await agents.open_session(host.endpoint, conversation(tab), str(host.checkout))


async def test_turn_streams_works_and_commits(agents: SandboxAgentGateway, host: AgentHost) -> None:
    """One prompt gives a thought, text, a plan that progresses, tool calls, a diff, and a commit in the checkout."""
    session = await opened(agents, host)
    async with agents.attach(host.endpoint, TAB) as stream:
        await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "Explain the parser")
        events, end = await until_replied(stream, "msg-1")
    assert (end.stop, end.detail) == (StopReason.COMPLETED, "end_turn")
    kinds = {event.kind for event in events if isinstance(event, Update)}
    assert kinds == {
        ItemKind.THOUGHT,
        ItemKind.TEXT,
        ItemKind.PLAN,
        ItemKind.TOOL_CALL,
        ItemKind.TOOL_CALL_UPDATE,
        ItemKind.DIFF,
    }
    assert host.git("rev-parse", "--short", "HEAD") in text_of(events)
    assert (
        host.git("show", "--format=%s", "--name-only")
        == "Note: Explain the parser\n\nnotes/explain-the-parser.md"
    )
    assert host.git("status", "--porcelain") == ""
    places = [(event.event_id, event.part if isinstance(event, Update) else 0) for event in events]
    assert places == sorted(set(places))


async def test_prompt_returns_before_the_turn_ends(agents: SandboxAgentGateway, host: AgentHost) -> None:
    """A prompt is taken over in moments; the turn goes on without its sender."""
    session = await opened(agents, host)
    with anyio.fail_after(5):
        await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "demo: hang")
    await until(lambda: [entry["request"] for entry in host.prompts()] == ["msg-1"])


async def test_opening_again_finds_the_session(agents: SandboxAgentGateway, host: AgentHost) -> None:
    """A second open, also by another gateway and after the ring ran over, gives the same session and process."""
    session = await opened(agents, host)
    async with agents.attach(host.endpoint, TAB) as stream:
        await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "demo: flood 1100")
        await until_replied(stream, "msg-1")
    async with gateway() as second:
        assert await opened(second, host) == session
    assert await opened(agents, host) == session


async def test_opening_at_once_makes_one_session(agents: SandboxAgentGateway, host: AgentHost) -> None:
    """Callers who race for one conversation, in several gateways, get one session in one process."""
    found: set[SessionOpened] = set()

    async def one(caller: AgentGateway) -> None:
        found.add(await opened(caller, host))

    async with gateway() as second, anyio.create_task_group() as tasks:
        for caller in (agents, second, agents, second):
            tasks.start_soon(one, caller)
    assert len(found) == 1
    assert len(host.agents()) == 1
    assert len(list((host.home / ".taskdock/demo-sessions").iterdir())) == 1


async def test_conversations_do_not_meet(agents: SandboxAgentGateway, host: AgentHost) -> None:
    """Two tabs work at the same time, each with its own words, and each sees its own only."""
    ends: dict[str, str] = {}

    async def talk(tab: str) -> None:
        session = await opened(agents, host, tab)
        async with agents.attach(host.endpoint, conversation(tab)) as stream:
            text = f"demo: echo {' '.join([tab] * 20)}"
            await agents.prompt(host.endpoint, conversation(tab), session.session_id, f"msg-{tab}", text)
            events, _ = await until_replied(stream, f"msg-{tab}")
            ends[tab] = text_of(events)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(talk, "tab-1")
        tasks.start_soon(talk, "tab-2")
    assert ends == {tab: " ".join([tab] * 20) for tab in ("tab-1", "tab-2")}
    assert len(host.agents()) == 2


async def test_attaching_again_replays(agents: SandboxAgentGateway, host: AgentHost) -> None:
    """A reader that comes later gets the same events under the same ids, and several may read at once."""
    session = await opened(agents, host)
    async with agents.attach(host.endpoint, TAB) as stream, agents.attach(host.endpoint, TAB) as other:
        await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "demo: echo one two three")
        live = await until_replied(stream, "msg-1")
        assert await until_replied(other, "msg-1") == live
    async with gateway() as second, second.attach(host.endpoint, TAB) as later:
        assert await until_replied(later, "msg-1") == live
        assert later.agent_process == session.agent_process == stream.agent_process


@pytest.mark.parametrize("directive", ["crawl 60", "hang"])
async def test_cancel_ends_the_turn(agents: SandboxAgentGateway, host: AgentHost, directive: str) -> None:
    """A cancelled turn ends soon, as cancelled, and the session takes the next prompt."""
    session = await opened(agents, host)
    async with agents.attach(host.endpoint, TAB) as stream:
        await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", f"demo: {directive}")
        await until_received(stream, "msg-1")
        with anyio.fail_after(5):
            await agents.cancel(host.endpoint, TAB, session.session_id)
            _, end = await until_replied(stream, "msg-1")
        assert (end.stop, end.detail) == (StopReason.CANCELLED, "cancelled")
        await agents.cancel(host.endpoint, TAB, session.session_id)
        await agents.prompt(host.endpoint, TAB, session.session_id, "msg-2", "demo: echo fine")
        events, end = await until_replied(stream, "msg-2")
    assert (end.stop, text_of(events)) == (StopReason.COMPLETED, "fine")


@pytest.mark.parametrize(
    ("directive", "detail"), [("error the sky fell", "the sky fell"), ("refuse", "refusal")]
)
async def test_failed_turn_says_why(
    agents: SandboxAgentGateway, host: AgentHost, directive: str, detail: str
) -> None:
    """A turn that ends in an error or a refusal has failed, in the agent's words."""
    session = await opened(agents, host)
    async with agents.attach(host.endpoint, TAB) as stream:
        await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", f"demo: {directive}")
        _, end = await until_replied(stream, "msg-1")
    assert (end.stop, end.detail) == (StopReason.FAILED, detail)


async def test_crash_is_seen_and_mended(agents: SandboxAgentGateway, host: AgentHost) -> None:
    """A crash in the middle of a turn is told with code and last words, and opening again begins anew."""
    first = await opened(agents, host)
    async with agents.attach(host.endpoint, TAB) as stream:
        await agents.prompt(host.endpoint, TAB, first.session_id, "msg-1", "demo: crash")
        exited = await until_exited(stream)
    assert "code 3" in exited.detail
    assert "exiting with code 3, as asked" in exited.detail
    with pytest.raises(Unreachable, match="nothing was sent"):
        await agents.prompt(host.endpoint, TAB, first.session_id, "msg-2", "demo: echo lost")
    await agents.cancel(host.endpoint, TAB, first.session_id)
    second = await opened(agents, host)
    assert second.agent_process != first.agent_process
    async with agents.attach(host.endpoint, TAB) as stream:
        await agents.prompt(host.endpoint, TAB, second.session_id, "msg-2", "demo: echo back")
        events, _ = await until_replied(stream, "msg-2")
    assert text_of(events) == "back"


async def test_dead_conversation_is_begun_anew_once(agents: SandboxAgentGateway, host: AgentHost) -> None:
    """Callers who find a dead agent at the same time do not kill what the first of them began anew."""
    first = await opened(agents, host)
    async with agents.attach(host.endpoint, TAB) as stream:
        await agents.prompt(host.endpoint, TAB, first.session_id, "msg-1", "demo: crash")
        await until_exited(stream)
    found: set[SessionOpened] = set()

    async def one() -> None:
        found.add(await opened(agents, host))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(one)
    assert len(found) == 1
    assert found != {first}
    assert len(host.agents()) == 1


async def test_restarted_server_is_another_process(agents: SandboxAgentGateway, host: AgentHost) -> None:
    """After a restart of the server nothing is there any more, and what comes has another name."""
    first = await opened(agents, host)
    host.stop()
    with pytest.raises(Unreachable):
        await opened(agents, host)
    await host.start(await agents.service("demo", silent))
    with pytest.raises(Unreachable):
        async with agents.attach(host.endpoint, TAB):
            pass
    with pytest.raises(Unreachable):
        await agents.prompt(host.endpoint, TAB, first.session_id, "msg-1", "demo: echo lost")
    with pytest.raises(Unreachable):
        await agents.cancel(host.endpoint, TAB, first.session_id)
    second = await opened(agents, host)
    assert second.agent_process != first.agent_process
    assert host.prompts() == []


async def test_stream_breaks_with_its_server(agents: SandboxAgentGateway, host: AgentHost) -> None:
    """A reader learns that the server died: the connection broke, which may pass."""
    await opened(agents, host)
    async with agents.attach(host.endpoint, TAB) as stream:
        host.stop()
        with anyio.fail_after(5), pytest.raises(Transient):
            await until_exited(stream)


async def test_another_server_is_not_ours(agents: SandboxAgentGateway, host: AgentHost) -> None:
    """A server with another token is a stranger on our port: nothing is sent to it, by any call."""
    session = await opened(agents, host)
    stale = evolve(host.endpoint, headers={"Authorization": "Bearer of-an-earlier-start"})
    with pytest.raises(Unreachable):
        await agents.open_session(stale, TAB, "/")
    with pytest.raises(Unreachable):
        await agents.prompt(stale, TAB, session.session_id, "msg-1", "demo: echo lost")
    with pytest.raises(Unreachable):
        await agents.delivery(stale, TAB, "msg-1", session.agent_process)
    with pytest.raises(Unreachable):
        await agents.cancel(stale, TAB, session.session_id)
    with pytest.raises(Unreachable):
        await agents.close(stale, TAB)
    assert host.prompts() == []
    assert len(host.agents()) == 1


async def test_close_ends_the_agent(agents: SandboxAgentGateway, host: AgentHost) -> None:
    """Closing ends the process, also in the middle of a turn; its readers come to the end; closing again is nothing."""
    session = await opened(agents, host)
    await opened(agents, host, "tab-2")
    await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "demo: hang")
    async with agents.attach(host.endpoint, TAB) as stream:
        with anyio.fail_after(10):
            await agents.close(host.endpoint, TAB)
            await until_exited(stream)
            assert await stream.receive() is None
    assert len(host.agents()) == 1
    await agents.close(host.endpoint, TAB)
    await agents.close(host.endpoint, conversation("never-opened"))
    assert (await opened(agents, host)).agent_process != session.agent_process


async def test_largest_prompt_arrives(agents: SandboxAgentGateway, host: AgentHost) -> None:
    """A prompt of exactly the limit, measured as it is encoded, arrives; one byte more is refused and not sent."""
    session = await opened(agents, host)
    text = "demo: echo large\n" + 'é"\n' * 300_000
    text += "x" * (acp.BODY_BYTES_MAX - len(acp.prompt("msg-2", session.session_id, text)))
    with pytest.raises(Permanent, match=f"takes {acp.BODY_BYTES_MAX}"):
        await agents.prompt(host.endpoint, TAB, session.session_id, "msg-2", text + "x")
    await agents.prompt(host.endpoint, TAB, session.session_id, "msg-2", text)
    async with agents.attach(host.endpoint, TAB) as stream:
        events, _ = await until_replied(stream, "msg-2")
    assert text_of(events) == "large"
    assert [entry["request"] for entry in host.prompts()] == ["msg-2"]


async def test_server_has_the_same_limit(
    agents: SandboxAgentGateway, host: AgentHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server itself refuses as too large is permanent, and the agent has not seen it."""
    monkeypatch.setattr(acp, "BODY_BYTES_MAX", 1 << 30)
    session = await opened(agents, host)
    with pytest.raises(Permanent, match="2 MiB"):
        await agents.prompt(host.endpoint, TAB, session.session_id, "msg-1", "x" * (2 << 20))
    assert await agents.delivery(host.endpoint, TAB, "msg-1", session.agent_process) is Delivery.NOT_SEEN
    assert host.prompts() == []


@pytest.mark.parametrize("way", ["login", "late-login"])
async def test_refusing_agent_is_quoted(tmp_path: Path, way: str) -> None:
    """An agent that wants a login refuses the session in its own words; once it is satisfied, opening works."""
    async with running(tmp_path, odd(way)) as (agents, host):
        with pytest.raises(Permanent, match="Authentication required: run login first"):
            await agents.open_session(host.endpoint, ODD, str(host.checkout))
        if way == "late-login":
            assert (await agents.open_session(host.endpoint, ODD, str(host.checkout))).session_id == "odd-2"


@pytest.mark.parametrize(("way", "words"), [("dies", "my configuration"), ("dies-at-new", "no model today")])
async def test_agent_that_dies_at_the_start_is_quoted(tmp_path: Path, way: str, words: str) -> None:
    """An agent that exits before there is a session is given up after three starts, with its last words."""
    async with running(tmp_path, odd(way)) as (agents, host):
        with anyio.fail_after(10), pytest.raises(Transient, match=words):
            await agents.open_session(host.endpoint, ODD, str(host.checkout))
        assert host.agents("odd_agent.py") == []


async def test_missing_program_is_named(tmp_path: Path) -> None:
    """An agent whose program is not in the sandbox is reported by the relay, with the program's name."""
    spec = evolve(odd(""), argv=("/no/such/agent",))
    async with running(tmp_path, spec) as (agents, host):
        with anyio.fail_after(10), pytest.raises(Transient, match="/no/such/agent"):
            await agents.open_session(host.endpoint, ODD, str(host.checkout))


async def test_unknown_agent_is_refused(agents: SandboxAgentGateway, host: AgentHost) -> None:
    """An agent that the catalogue does not have is a permanent error that names those it has."""
    with pytest.raises(Permanent, match="there are: demo"):
        await agents.service("gpt-9", silent)
    with pytest.raises(Permanent, match="there are: demo"):
        await agents.open_session(host.endpoint, conversation(agent="gpt-9"), "/")
