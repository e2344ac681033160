"""The executors of sessions and answers, on a real sandbox-agent: what links then tell and write down."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest
from attrs import frozen

from agent_server import AgentHost, running
from taskdock.core import inputs
from taskdock.core.errors import Permanent
from taskdock.core.intents import (
    AnswerPermission,
    CreateSession,
    ResumeSession,
    SendPrompt,
    SessionSettings,
)
from taskdock.ports.agent import AgentGateway
from taskdock.ports.sandbox import Endpoint, SandboxRef, ServiceSpec
from taskdock.services.executors.answer_permission import answer_permission
from taskdock.services.executors.create_session import create_session
from taskdock.services.executors.resume_session import resume_session
from taskdock.services.executors.send_prompt import send_prompt
from taskdock.services.tools import Tools
from unit.services.scripted import BOX, Scripted, scripted_links

if TYPE_CHECKING:
    from taskdock.services.execution import Execution

pytestmark = pytest.mark.anyio

TAB = "tab-1"
THOROUGH = SessionSettings(model="demo-thorough", permission_mode="ask")


class Quiet:
    """An execution whose intent is open, and whose progress nobody reads."""

    class intent:  # noqa: N801 - stands for the field
        """An intent that was not started before."""

        started = False

    async def start(self) -> None:
        """Nothing hinders it."""

    async def delivered(self) -> None:
        """Nobody waits for it."""

    async def progress(self, _: str) -> None:
        """Say nothing."""


@frozen
class Texts:
    """Reads that know one message."""

    text: str

    async def message_text(self, _: str) -> str:
        """The text of the one message."""
        return self.text


@frozen
class OneHost:
    """The way into the one sandbox."""

    host: AgentHost

    async def ensure_service(self, _ref: SandboxRef, _service: ServiceSpec) -> Endpoint:
        """It runs."""
        return self.host.endpoint

    async def endpoint(self, _ref: SandboxRef, _service: str) -> Endpoint:
        """Where it answers."""
        return self.host.endpoint


@frozen
class Bench:
    """Executors on one running server, with links that follow what they make."""

    host: AgentHost
    gateway: AgentGateway
    scripted: Scripted

    def tools(self, text: str = "") -> Tools:
        """What executors work with."""
        links = self.scripted.links
        tools: Any = Tools(
            stepper=links.stepper,
            store=links.store,
            reads=cast("Any", Texts(text)),
            clock=links.clock,
            sites=links.sites,
            gateway=self.gateway,
            clones=cast("Any", None),
            namer=cast("Any", None),
            fallback_namer=cast("Any", None),
            links=links,
            carrier=cast("Any", None),
            stack=cast("Any", None),
        )
        return cast("Tools", tools)

    async def create(self, settings: SessionSettings = THOROUGH) -> inputs.SessionReady:
        """Have the tab's first session made."""
        return await create_session(CreateSession(BOX, "demo", TAB, 1, settings), QUIET, self.tools())

    async def resume(self, first: inputs.SessionReady, session: int = 2) -> inputs.SessionReady:
        """Have it go on."""
        body = ResumeSession(BOX, "demo", TAB, session, first.session_id, THOROUGH)
        return await resume_session(body, QUIET, self.tools())

    async def send(
        self, ready: inputs.SessionReady, session: int, message: str, text: str
    ) -> inputs.TurnEnded:
        """Have a message sent, to the end of its turn."""
        body = SendPrompt(
            BOX, "demo", TAB, session, ready.session_id, ready.agent_process, message, SessionSettings()
        )
        with anyio.fail_after(20):
            return await send_prompt(body, QUIET, self.tools(text))


QUIET = cast("Execution", Quiet())


@asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[Bench]:
    """Run a server, and links that reach it."""
    async with running(folder / "sandbox") as (gateway, host), scripted_links({}) as scripted:
        site = scripted.links.sites.of(BOX)
        access: Any = OneHost(host)
        sites: Any = type(scripted.links.sites)({"local": type(site)(site.provider, access)})
        scripted.links.sites = sites
        scripted.links.gateway = gateway
        yield Bench(host, gateway, scripted)


def said(items: list[tuple[str, Any]]) -> str:
    """What the agent said."""
    return "".join(body["text"] for kind, body in items if kind == "text")


async def test_session_goes_on_and_its_answers_arrive(tmp_path: Path) -> None:
    """After the agent was killed its session is resumed as set, asks, is answered, and the transcript tells each once."""
    async with bench(tmp_path) as one:
        first = await one.create()
        await one.send(first, 1, "msg-1", "demo: settings")
        os.kill(one.host.agents()[0], signal.SIGKILL)
        await one.scripted.stepper.until(1)
        [lost] = one.scripted.stepper.facts
        assert (lost.tab_id, lost.generation, lost.session) == (TAB, 1, 1)
        second = await one.resume(first)
        assert second.session_id == first.session_id
        async with anyio.create_task_group() as group:
            group.start_soon(one.send, second, 2, "msg-2", "Tidy\ndemo: ask")
            await one.scripted.stepper.until(2)
            asked = one.scripted.stepper.facts[1]
            assert isinstance(asked, inputs.PermissionAsked)
            assert (asked.tab_id, asked.message_id, asked.title) == (TAB, "msg-2", "Write notes/tidy.md")
            body = AnswerPermission(BOX, "demo", TAB, 2, second.session_id, asked.permission_id, "once")
            for _ in range(2):
                assert await answer_permission(body, QUIET, one.tools()) == inputs.Asked()
        items = await one.scripted.said()
        assert said(items) == (
            "model demo-thorough, mode askAllowed (once): I wrote notes/tidy.md and left it uncommitted."
        )
        assert [body["text"] for kind, body in items if kind == "permission"] == [
            "asks: Write notes/tidy.md",
            "answered: Allow once",
        ]
        assert [body["text"] for kind, body in items if kind == "user"] == [
            "demo: settings",
            "Tidy\ndemo: ask",
        ]
        assert len(one.host.agents()) == 1


async def test_earlier_sessions_are_ended_first(tmp_path: Path) -> None:
    """Resuming ends what still runs of the tab's earlier sessions, so the agent's session has one process."""
    async with bench(tmp_path) as one:
        first = await one.create()
        await one.resume(first)
        await one.resume(first, session=3)
        assert len(one.host.agents()) == 1


async def test_setting_that_is_not_offered_fails_the_session(tmp_path: Path) -> None:
    """A session cannot be made with a model that the agent does not have; the reason lists those it has."""
    async with bench(tmp_path) as one:
        with pytest.raises(Permanent, match="there is: demo-quick, demo-thorough"):
            await one.create(SessionSettings(model="gpt-9"))


async def test_model_holds_from_the_next_prompt_on(tmp_path: Path) -> None:
    """A message is sent with the settings that its tab has then; one that cannot be had sends nothing."""
    async with bench(tmp_path) as one:
        ready = await one.create(SessionSettings())
        body = SendPrompt(
            *(BOX, "demo", TAB, 1, ready.session_id, ready.agent_process, "msg-1"), SessionSettings(model="x")
        )
        with pytest.raises(Permanent, match="model 'x'"):
            await send_prompt(body, QUIET, one.tools("demo: settings"))
        assert one.host.prompts() == []
        assert await one.scripted.said() == []
        other = SendPrompt(*(BOX, "demo", TAB, 1, ready.session_id, ready.agent_process, "msg-2"), THOROUGH)
        await send_prompt(other, QUIET, one.tools("demo: settings"))
        assert said(await one.scripted.said()).startswith("model demo-thorough")
