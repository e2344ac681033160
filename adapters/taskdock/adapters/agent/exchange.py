"""Exchange: questions to a conversation, asked so that a server which never answers cannot hold us up.

Owns: the race between the answer to a request and the news that the agent is gone; the fence; the evidence about a
    prompt.
Never: a request id used twice; a request repeated that is not a fence.
Reads as: sandbox_agent.py -> this -> server.py, stream.py.

A *fence* is a request that the relay answers by itself. An answered one proves three things: the agent's input is clean
(half a line that a cut-off client left there swallows the next message, so a fence goes first and is repeated),
everything in the ring before its receipt is the past, and what has no receipt before it was not received.
"""

import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio
from attrs import define, frozen

from taskdock.adapters.agent import acp
from taskdock.adapters.agent.server import AgentGone, AgentServer
from taskdock.adapters.agent.shapes import Message, mapping
from taskdock.adapters.agent.stream import Entry, Ring, open_ring
from taskdock.core.errors import InvariantViolated, Permanent, PortError, Transient, Unreachable
from taskdock.ports.agent import AgentExited, Received, Replied

FENCE_ATTEMPTS_MAX = 3
FENCE_SECONDS_MAX = 2.0
ANSWER_SECONDS_MAX = 60.0
LAST_WORDS_SECONDS_MAX = 1.0

_RING_WAIT_SECONDS_MAX = 0.5

T = TypeVar("T")


@contextmanager
def within(seconds: float, too_late: str) -> Iterator[None]:
    """Give what is inside so many seconds; `Transient` with the sentence `too_late` afterwards."""
    with anyio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise Transient(too_late)


async def first(*contenders: Callable[[], Awaitable[T | None]]) -> T:
    """Run the contenders together until one has an answer or raises a `PortError`; the others are cancelled.

    A contender that returns None leaves the answer to the others.
    """
    ends: list[T | PortError] = []

    async def run(contender: Callable[[], Awaitable[T | None]], scope: anyio.CancelScope) -> None:
        try:
            answer = await contender()
        except PortError as error:
            ends.append(error)
        else:
            if answer is None:
                return
            ends.append(answer)
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        for contender in contenders:
            tasks.start_soon(run, contender, tasks.cancel_scope)
    if not ends:
        raise InvariantViolated("every contender left the answer to the others")
    if isinstance(ends[0], PortError):
        raise ends[0]
    return ends[0]


@define
class Evidence:
    """What a ring and a fence say about one request."""

    is_seen: bool = False
    """The relay received it, or it was answered."""
    is_fenced: bool = False
    """A fence came after everything that was read."""
    is_gapless: bool = True
    last_words: str | None = None
    """The agent is gone, and how it ended."""

    @property
    def proves_absence(self) -> bool:
        """Whether it is certain that the relay had not received the request when the fence came."""
        return self.is_fenced and self.is_gapless and not self.is_seen


@frozen
class Line:
    """One conversation on one server."""

    server: AgentServer
    server_id: str

    def new_id(self, purpose: str) -> str:
        """Make the id of a request that is no prompt; never the same twice."""
        return f"{self.own_prefix}{purpose}-{secrets.token_hex(8)}"

    @property
    def own_prefix(self) -> str:
        """How the ids of requests that are no prompts begin."""
        return f"{self.server_id}:"

    async def agree(self, purpose: str, method: str, params: Message) -> Message:
        """Ask for something that may be refused; `Permanent` with the agent's words when it is."""
        with within(
            ANSWER_SECONDS_MAX, f"The agent did not answer {method} in {ANSWER_SECONDS_MAX:.0f} seconds"
        ):
            reply = await self.ask(purpose, method, params)
        error = acp.error_of(reply)
        if error is not None:
            raise Permanent(f"The agent refuses {method}: {error.text}", log_tail=error.stderr)
        return mapping(reply.get("result"))

    async def ask(self, purpose: str, method: str, params: Message, *, agent: str | None = None) -> Message:
        """Send a request and wait for its reply; the caller sets the deadline.

        `AgentGone` when the agent is gone or goes meanwhile, with its last words; `Unreachable` when nothing runs here
        and no `agent` (the server's id of it) is given to start.
        """
        body = acp.request(self.new_id(purpose), method, params)
        return await first(lambda: self._post(body, agent), self._watch)

    async def _post(self, body: bytes, agent: str | None = None) -> Message:
        """Send a message beside somebody who watches the ring, where the agent's last words are."""
        try:
            return await self.server.post(self.server_id, body, agent=agent)
        except AgentGone:
            await anyio.sleep(LAST_WORDS_SECONDS_MAX)
            raise

    async def _watch(self) -> Message:
        """Wait for the agent's exit and raise it; the ring may come into being only while we wait."""
        wait_seconds = 0.02
        while True:
            try:
                async with open_ring(self.server, self.server_id) as ring:
                    raise AgentGone(await last_words(ring))
            except Unreachable:
                await anyio.sleep(wait_seconds)
                wait_seconds = min(wait_seconds * 2, _RING_WAIT_SECONDS_MAX)

    async def fence(self, *, agent: str | None = None, seconds_max: float = FENCE_SECONDS_MAX) -> None:
        """Make sure that the agent's input is clean and read; `Transient` when none of three fences is answered.

        Each has `seconds_max`. `agent` starts the conversation's process when there is none.
        """
        for _ in range(FENCE_ATTEMPTS_MAX):
            with anyio.move_on_after(seconds_max):
                await self.ask("fence", acp.FENCE, {}, agent=agent)
                return
        raise Transient("The agent's process does not read its input")

    async def evidence(self, ring: Ring, request_id: str) -> Evidence:
        """Read a ring that was just opened up to now and find out whether `request_id` was received.

        Ends when that is certain, when a fence is seen (then the ring can be read on from there), when the agent is
        gone, or when three fences went unanswered. Sends nothing but fences.
        """
        found, prefix = Evidence(), self.new_id("fence")

        async def send() -> Evidence | None:
            for attempt in range(FENCE_ATTEMPTS_MAX):
                with anyio.move_on_after(FENCE_SECONDS_MAX):
                    await self._post(acp.request(f"{prefix}.{attempt}", acp.FENCE, {}))
                    return None  # the ring will show its receipt, after everything older
            return found

        async def read() -> Evidence:
            reader = acp.Reader(self.own_prefix)
            while not (found.is_seen or found.is_fenced or found.last_words):
                entry = await next_entry(ring)
                event = reader.event(entry.event_id, entry.message)
                found.is_gapless = found.is_gapless and entry.lost_after is None
                found.is_seen = isinstance(event, Received | Replied) and event.request_id == request_id
                found.is_fenced = (acp.received_id(entry.message) or "").startswith(prefix)
                found.last_words = event.detail if isinstance(event, AgentExited) else None
            return found

        try:
            return await first(send, read)
        except AgentGone as gone:
            found.last_words = gone.reason
            return found


async def next_entry(ring: Ring) -> Entry:
    """Read on; `AgentGone` at the end of the stream, which comes when the conversation is removed."""
    entry = await ring.read()
    if entry is None:
        raise AgentGone("The conversation was closed")
    return entry


async def last_words(ring: Ring) -> str:
    """Read a ring until the agent's exit; returns how it ended. `AgentGone` when the conversation is removed first."""
    reader = acp.Reader(own_prefix="")
    while True:
        entry = await next_entry(ring)
        event = reader.event(entry.event_id, entry.message)
        if isinstance(event, AgentExited):
            return event.detail
