"""Scripted outside: an agent's streams and a sandbox as a test writes them down, for what real ones do too rarely.

Owns: `ScriptedGateway`, `RecordingStepper`, `scripted_links`; the store under them is the real one.
Never: a script that goes on by itself; a stream that has told all waits, as an idle agent does.
Reads as: test_links.py, test_transcript.py -> this -> Links.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import anyio
from attrs import field, mutable

from taskdock.core.errors import Transient
from taskdock.core.intents import Sandbox
from taskdock.ports.agent import AgentEvent, AgentGateway, Conversation
from taskdock.ports.sandbox import Endpoint, Observation, Phase, SandboxRef
from taskdock.ports.store import NewItem, Store
from taskdock.services.links import Followed, Links
from taskdock.services.sites import Site, Sites
from taskdock.testing.memory_data import MemoryData
from taskdock.testing.memory_store import MemoryStore
from taskdock.testing.virtual_time import VirtualClock

if TYPE_CHECKING:
    from taskdock.services.stepping import Stepper

BOX = Sandbox("local", "td-1", "me", "task-1", 1)
Script = Sequence[AgentEvent | Exception | float | None]
"""What a connection tells: events, seconds of silence, how it breaks, None for its end; after the last it stays silent."""


@mutable
class ScriptedStream:
    """One connection."""

    script: list[AgentEvent | Exception | float | None]
    agent_process: str = "start-1/1"

    async def receive(self) -> AgentEvent | None:
        """The next line of the script."""
        if not self.script:
            await anyio.sleep_forever()
        line = self.script.pop(0)
        if isinstance(line, float | int):
            await anyio.sleep(line)
            return await self.receive()
        if isinstance(line, Exception):
            raise line
        return line


@mutable
class ScriptedGateway:
    """The agent's side: the n-th attach of a tab has its n-th script; later ones break at once."""

    scripts: dict[str, list[Script]]
    attached: list[str] = field(factory=list)
    attached_at: list[float] = field(factory=list)
    """When, in seconds of the loop's time."""
    silent: bool = False
    """Whether nobody answers an attach."""
    refusal: Exception | None = None
    """How every attach fails."""

    @asynccontextmanager
    async def attach(self, _endpoint: Endpoint, conversation: Conversation) -> AsyncIterator[ScriptedStream]:
        """Open the next connection."""
        self.attached.append(conversation.tab_id)
        self.attached_at.append(anyio.current_time())
        if self.silent:
            await anyio.sleep_forever()
        if self.refusal is not None:
            raise self.refusal
        scripts = self.scripts[conversation.tab_id]
        yield ScriptedStream(list(scripts.pop(0)) if scripts else [Transient("there is nobody")])


@mutable
class RecordingStepper:
    """Keeps the facts it is told, after the failures that a test wants first."""

    facts: list[Any] = field(factory=list)
    failures: list[Exception] = field(factory=list)
    listeners: list[Callable[[Any], None]] = field(factory=list)
    heard: anyio.Event = field(factory=anyio.Event)

    async def apply(self, _boundary: str, fact: object) -> None:
        """Take a fact, or fail."""
        if self.failures:
            raise self.failures.pop(0)
        self.facts.append(fact)
        self.heard.set()
        self.heard = anyio.Event()

    async def until(self, count: int, within: float = 10) -> None:
        """Wait until so many facts were told."""
        with anyio.fail_after(within):
            while len(self.facts) < count:
                await self.heard.wait()


@mutable
class ScriptedSandbox:
    """Provider and way in of one sandbox, which runs, unless its provider says something else."""

    phase: Phase = Phase.RUNNING
    hangs: bool = False
    failure: Exception | None = None
    no_way_in: Exception | None = None

    async def observe(self, ref: SandboxRef) -> Observation:
        """Say what it is at, or fail."""
        if self.failure is not None:
            raise self.failure
        if self.hangs:
            await anyio.sleep_forever()
        return Observation(ref, self.phase, datetime.now(UTC))

    async def endpoint(self, _ref: SandboxRef, _service: str) -> Endpoint:
        """Where its server answers, or why nobody can say."""
        if self.no_way_in is not None:
            raise self.no_way_in
        return Endpoint("http://sandbox.test", {}, "start-1", "/checkout")


def followed(tab_id: str = "tab-1", *, session: int = 1) -> Followed:
    """A session of a tab of the one task."""
    return Followed(BOX, tab_id, "demo", session, f"id-of-{tab_id}")


@mutable
class ShyStore:
    """The real store, after it has refused to append as often as a test wants."""

    store: MemoryStore
    failures: list[Exception] = field(factory=list)

    async def append(self, items: Sequence[NewItem]) -> int:
        """Append, or fail."""
        if self.failures:
            raise self.failures.pop(0)
        return await self.store.append(items)


@mutable
class Scripted:
    """Links over a script, and what they told."""

    links: Links
    gateway: ScriptedGateway
    stepper: RecordingStepper
    store: MemoryStore
    sandbox: ScriptedSandbox
    writing: ShyStore

    async def until_said(self, count: int) -> list[tuple[str, Any]]:
        """Wait until the transcript has so many items."""
        with anyio.fail_after(10):
            while len(said := await self.said()) < count:  # noqa: ASYNC110 - a store gives no event
                await anyio.sleep(0.01)
        return said

    async def said(self, tab_id: str = "tab-1") -> list[tuple[str, Any]]:
        """The transcript as kinds and bodies."""
        return [(item.kind, item.body) for item in await self.store.transcript(tab_id, limit=10_000)]


@asynccontextmanager
async def scripted_links(
    scripts: Mapping[str, Sequence[Script]], data: MemoryData | None = None
) -> AsyncIterator[Scripted]:
    """Run links whose agents behave as written down; `data` is what an earlier process left."""
    gateway = ScriptedGateway({tab_id: list(one) for tab_id, one in scripts.items()})
    stepper, sandbox = RecordingStepper(), ScriptedSandbox()
    store, clock = MemoryStore(data), VirtualClock()
    sites = Sites({"local": Site(cast("Any", sandbox), cast("Any", sandbox))})
    writing = ShyStore(store)
    told, behind = cast("Stepper", stepper), cast("AgentGateway", gateway)
    links = Links(told, cast("Store", writing), store, clock, sites, behind)
    async with anyio.create_task_group() as group:
        await group.start(links.run)
        yield Scripted(links, gateway, stepper, store, sandbox, writing)
        group.cancel_scope.cancel()
