"""Agent under test: a gateway with what has to be known around it, and the verbs that its checks share.

Owns: `AgentUnderTest` and `Opened`.
Never: a check, or a look into the adapter.
Reads as: your test makes one -> agent.py, agent_sessions.py.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
from attrs import frozen

from taskdock.core.intents import SessionSettings
from taskdock.ports.agent import (
    AgentEvent,
    AgentGateway,
    AgentStream,
    Conversation,
    Delivery,
    ItemKind,
    PermissionAsked,
    Received,
    Replied,
    SessionOpened,
    StopReason,
    Update,
)
from taskdock.ports.sandbox import Endpoint
from taskdock.testing.conformance.promises import require


@frozen
class AgentUnderTest:
    """A gateway, and what has to be known around it."""

    gateway: AgentGateway
    endpoint: Endpoint
    """A running service that can start `agent`."""
    second: Callable[[], AbstractAsyncContextManager[AgentGateway]]
    """A fresh gateway to the same service, as another process would have it."""
    prompts_seen: Callable[[], Awaitable[Sequence[str]]]
    """The request ids of the prompts that agents saw, in order, known without the gateway."""
    agent: str = "demo"
    model: str = "demo-thorough"
    """A model that the agent offers and does not begin with."""
    permission_mode: str = "auto"
    """A permission mode of the same kind."""
    patience_seconds: float = 20.0
    """How long anything of the agent may take."""

    @asynccontextmanager
    async def session(self) -> AsyncIterator["Opened"]:
        """Open a fresh conversation for one check; it is closed afterwards whatever happens."""
        conversation = Conversation(f"tab-{secrets.token_hex(6)}", 1, self.agent)
        try:
            session = await self.gateway.open_session(self.endpoint, conversation, self.endpoint.checkout)
            yield Opened(self, conversation, session)
        finally:
            with anyio.CancelScope(shield=True):
                await self.gateway.close(self.endpoint, conversation)


@frozen
class Opened:
    """A conversation with a session, and the few verbs that the checks share."""

    sut: AgentUnderTest
    conversation: Conversation
    session: SessionOpened

    def attach(self) -> AbstractAsyncContextManager[AgentStream]:
        """Follow the conversation."""
        return self.sut.gateway.attach(self.sut.endpoint, self.conversation)

    async def prompt(self, text: str, session: SessionOpened | None = None) -> str:
        """Send a prompt under a fresh id, and return the id."""
        request_id = f"msg-{secrets.token_hex(6)}"
        session_id = (session or self.session).session_id
        with anyio.fail_after(self.sut.patience_seconds):
            await self.sut.gateway.prompt(self.sut.endpoint, self.conversation, session_id, request_id, text)
        return request_id

    async def turn(self, stream: AgentStream, text: str) -> tuple[list[AgentEvent], Replied]:
        """Send a prompt and read to the end of its turn; returns its events from the receipt on."""
        request_id = await self.prompt(text)
        events = await self.until(stream, lambda event: ends(event, request_id))
        begun = [number for number, event in enumerate(events) if receipts(event, request_id)]
        require(bool(begun), "A prompt must be receipted before its turn ends.")
        end = events[-1]
        return events[begun[0] : -1], end if isinstance(end, Replied) else Replied(
            0, "", StopReason.FAILED, ""
        )

    async def until(self, stream: AgentStream, is_last: Callable[[AgentEvent], bool]) -> list[AgentEvent]:
        """Read until an event; returns all up to and with it."""
        events: list[AgentEvent] = []
        with anyio.move_on_after(self.sut.patience_seconds):
            while True:
                event = await stream.receive()
                require(event is not None, f"The stream ended while it was read; so far {events[-5:]}.")
                if event is not None:
                    events.append(event)
                    if is_last(event):
                        return events
        raise AssertionError(
            f"An event did not come in {self.sut.patience_seconds:g} s; so far {events[-5:]}."
        )

    async def until_end(self, stream: AgentStream, request_id: str) -> list[AgentEvent]:
        """Read to the end of a prompt's turn; returns all up to and with it."""
        return await self.until(stream, lambda event: ends(event, request_id))

    async def delivery(self, request_id: str) -> Delivery:
        """Ask for the evidence on a request."""
        process = self.session.agent_process
        return await self.sut.gateway.delivery(self.sut.endpoint, self.conversation, request_id, process)

    async def ask(self, stream: AgentStream, text: str = "demo: ask") -> PermissionAsked:
        """Send a prompt that has the agent ask for a permission, and read to the question."""
        request_id = await self.prompt(text)
        asked = (await self.until(stream, lambda event: isinstance(event, PermissionAsked)))[-1]
        assert isinstance(asked, PermissionAsked)
        require(asked.request_id == request_id, f"A question must name the prompt of its turn: {asked}.")
        return asked

    async def answer(self, permission_id: str, option_id: str | None) -> None:
        """Answer a question."""
        with anyio.fail_after(self.sut.patience_seconds):
            await self.sut.gateway.answer_permission(
                self.sut.endpoint, self.conversation, permission_id, option_id
            )

    async def settle(self, settings: SessionSettings) -> None:
        """Set the session."""
        with anyio.fail_after(self.sut.patience_seconds):
            await self.sut.gateway.settle(
                self.sut.endpoint, self.conversation, self.session.session_id, settings
            )


AgentCheck = Callable[[AgentUnderTest], Awaitable[None]]


def receipts(event: AgentEvent, request_id: str) -> bool:
    """Whether an event is the receipt of a prompt."""
    return isinstance(event, Received) and event.request_id == request_id


def ends(event: AgentEvent, request_id: str) -> bool:
    """Whether an event is the end of a prompt's turn."""
    return isinstance(event, Replied) and event.request_id == request_id


def text_of(events: Sequence[AgentEvent]) -> str:
    """The words of the agent among these events."""
    texts = [event for event in events if isinstance(event, Update) and event.kind is ItemKind.TEXT]
    return "".join(str(event.body["text"]) for event in texts)
