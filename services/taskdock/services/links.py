"""Links: one for each tab that is ready, turning what its agent sends into transcript items and facts.

Owns: `Links` and `AgentLink`.
Never: a status; a lost session is a fact for `step`, and items are appended beside the machines.
Reads as: a commit makes a tab ready -> `Links.follow` -> gateway.attach -> items to the store, facts to the Stepper.

The agent's ring is replayed on every attach, so a link can be dropped and made again at any time: items that the store
has are left out there, receipts and replies of earlier prompts are seen again.
"""

import logging
from collections.abc import Sequence

import anyio
import anyio.abc
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import field, frozen, mutable

from taskdock.core.errors import (
    InvariantViolated,
    OutcomeUnknown,
    PortError,
    StoreError,
    TaskdockError,
    Transient,
)
from taskdock.core.inputs import SandboxLost, SessionLost
from taskdock.core.intents import Sandbox
from taskdock.core.tab import CLOSED, ERROR_SESSION, ERROR_TASK, READY, Tab
from taskdock.core.task import Task
from taskdock.ports.agent import (
    AgentEvent,
    AgentExited,
    AgentGateway,
    AgentStream,
    Gap,
    ItemKind,
    Received,
    Replied,
    Update,
)
from taskdock.ports.clock import Clock
from taskdock.ports.sandbox import Phase
from taskdock.ports.store import NewItem, Reads, Store
from taskdock.services.sandboxes import conversation_of, ref_of
from taskdock.services.sites import Sites
from taskdock.services.stepping import Decision, Stepper

SERVICE = "sandbox-agent"
_BATCH_MAX = 200
_REATTACH_MAX = 4
"""How often a broken connection is made again before the session counts as lost."""
_REATTACH_PAUSE_SECONDS = 0.1
_TELL_PAUSE_SECONDS_MAX = 5.0
_OVER = (ERROR_TASK, ERROR_SESSION, CLOSED)
_LOG = logging.getLogger(__name__)


@frozen
class Followed:
    """Whom a link follows: a tab's session in a sandbox."""

    sandbox: Sandbox
    tab_id: str
    agent: str
    session: int
    session_id: str

    @classmethod
    def of(cls, task: Task, tab: Tab) -> "Followed":
        """The session that a ready tab has now."""
        assert tab.session_id is not None
        return cls(task.sandbox, tab.id, tab.agent, tab.session, tab.session_id)


@mutable(eq=False)
class AgentLink:
    """One followed session. `attached` is set once events flow; waiting callers are woken by every batch."""

    followed: Followed
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    attached: anyio.Event = field(factory=anyio.Event)
    over: str | None = None
    """Why nothing more will come."""
    received: set[str] = field(factory=set)
    replies: dict[str, Replied] = field(factory=dict)
    has_progressed: bool = False
    """Whether anything came since the connection was made."""
    _changed: anyio.Event = field(factory=anyio.Event)

    def wake(self) -> None:
        """Something was learnt: whoever waits looks again."""
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    def has_seen(self, request_id: str) -> bool:
        """Whether there is proof that the agent has this request."""
        return request_id in self.received or request_id in self.replies

    async def until_seen(self, request_id: str) -> None:
        """Wait for the proof; OutcomeUnknown when the stream ends without it."""
        while not self.has_seen(request_id):
            await self._next()

    async def until_replied(self, request_id: str) -> Replied:
        """Wait for the turn's end; OutcomeUnknown when the stream ends without it."""
        while request_id not in self.replies:
            await self._next()
        return self.replies[request_id]

    async def _next(self) -> None:
        if self.over is not None:
            raise OutcomeUnknown(self.over)
        await self._changed.wait()


@mutable(eq=False)
class Links:
    """Every link of this process."""

    stepper: Stepper
    store: Store
    reads: Reads
    clock: Clock
    sites: Sites
    gateway: AgentGateway
    _links: dict[str, AgentLink] = field(factory=dict, init=False)
    _group: anyio.abc.TaskGroup | None = field(default=None, init=False)

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Follow every ready tab, from now on and those from before, until cancelled."""
        async with anyio.create_task_group() as group:
            self._group = group
            self.stepper.listeners.append(self._on_change)
            try:
                for task, tab in await self.reads.ready_tabs():
                    self.follow(Followed.of(task, tab))
                task_status.started()
                await anyio.sleep_forever()
            finally:
                self.stepper.listeners.remove(self._on_change)
                self._group = None

    def follow(self, followed: Followed) -> AgentLink:
        """The link of this session; made when there is none, in place of one to an earlier session."""
        link = self._links.get(followed.tab_id)
        if link is not None and link.followed == followed and link.over is None:
            return link
        if link is not None:
            link.scope.cancel()
        assert self._group is not None, "links are made while Links.run runs"
        link = AgentLink(followed)
        self._links[followed.tab_id] = link
        self._group.start_soon(self._keep, link, name=f"link {followed.tab_id}")
        return link

    def _on_change(self, decision: Decision) -> None:
        """A tab that is ready is followed; one whose session is over or not wanted any more is let go."""
        for tab in decision.change.records:
            if not isinstance(tab, Tab):
                continue
            if tab.at == READY:
                self.follow(Followed.of(decision.record(Task, tab.task_id), tab))
            elif tab.turn.started_at is None:
                self._let_go(tab)

    def _let_go(self, tab: Tab) -> None:
        link = self._links.get(tab.id)
        if link is not None and (tab.at in _OVER or link.followed.session != tab.session):
            del self._links[tab.id]
            link.scope.cancel()

    async def _keep(self, link: AgentLink) -> None:
        """Follow until the session is over, making a broken connection again a bounded number of times."""
        try:
            with link.scope:
                await self._follow_to_the_end(link)
        except InvariantViolated:
            raise
        except Exception:  # noqa: BLE001 - told below
            # What one sandbox sends must not end every other task; its turn ends as unknown, and its tab heals by that.
            _LOG.exception("the link of %s failed", link.followed.tab_id)
        finally:
            link.over = link.over or "the session is not followed any more"
            link.attached.set()
            link.wake()
            if self._links.get(link.followed.tab_id) is link:
                del self._links[link.followed.tab_id]

    async def _follow_to_the_end(self, link: AgentLink) -> None:
        """Follow; a connection that brought something and broke begins a new count of tries."""
        tries = 0
        while True:
            link.has_progressed = False
            try:
                reason = await self._follow_once(link)
                break
            except (Transient, StoreError) as error:
                reason = str(error)
                tries = 1 if link.has_progressed or isinstance(error, StoreError) else tries + 1
                if tries >= _REATTACH_MAX:
                    break
                await anyio.sleep(_REATTACH_PAUSE_SECONDS * 2**tries)
            except PortError as error:
                reason = error.reason
                break
        link.over = reason
        link.wake()
        await self._tell_lost(link.followed, reason)

    async def _follow_once(self, link: AgentLink) -> str:
        """Attach and take events until the agent is gone; says how it went."""
        followed = link.followed
        site = self.sites.of(followed.sandbox)
        endpoint = await site.access.endpoint(ref_of(followed.sandbox), SERVICE)
        conversation = conversation_of(followed.sandbox, followed.tab_id, followed.session, followed.agent)
        async with self.gateway.attach(endpoint, conversation) as stream:
            link.attached.set()
            return await self._take_events(link, stream)

    async def _take_events(self, link: AgentLink, stream: AgentStream) -> str:
        """Read into a bounded buffer while batches are written, so that a fast agent costs few commits."""
        send, receive = anyio.create_memory_object_stream[AgentEvent](_BATCH_MAX)
        ended = "the agent's stream ended"
        broken: list[TaskdockError] = []
        async with anyio.create_task_group() as group:
            group.start_soon(_pump, stream, send, broken)
            try:
                async with receive:
                    while batch := await _next_batch(receive):
                        exited = await self._take_batch(link, stream, batch)
                        if exited is not None:
                            ended = exited
                            break
            except StoreError as error:
                broken.append(error)
            group.cancel_scope.cancel()
        if broken:
            raise broken[0]
        return ended

    async def _take_batch(
        self, link: AgentLink, stream: AgentStream, batch: Sequence[AgentEvent]
    ) -> str | None:
        """Write the items, then remember receipts and replies; how the agent exited, if it did."""
        made = (self._item(link.followed, stream.agent_process, event) for event in batch)
        items = [item for item in made if item is not None]
        if items:
            await self.store.append(items)
        exited = None
        for event in batch:
            if isinstance(event, Received):
                link.received.add(event.request_id)
            elif isinstance(event, Replied):
                link.replies[event.request_id] = event
            elif isinstance(event, AgentExited):
                exited = event.detail
        link.has_progressed = True
        link.wake()
        return exited

    def _item(self, followed: Followed, source: str, event: AgentEvent) -> NewItem | None:
        body: dict[str, object]
        if isinstance(event, Update):
            kind, body = event.kind, dict(event.body)
        elif isinstance(event, Gap):
            kind = ItemKind.GAP
            body = {"after": event.after, "before": event.event_id}
        elif isinstance(event, AgentExited):
            kind = ItemKind.ERROR
            body = {"text": f"The agent stopped: {event.detail}"}
        else:
            return None
        return NewItem(
            tab_id=followed.tab_id,
            task_id=followed.sandbox.task_id,
            source=source,
            event=f"{event.event_id}{':gap' if kind is ItemKind.GAP else ''}",
            kind=kind.value,
            body=body,
            at=self.clock.now(),
        )

    async def _tell_lost(self, followed: Followed, reason: str) -> None:
        """Tell the task what was lost, until the store has taken it: its sandbox when the provider says so, else this session."""
        pause = _REATTACH_PAUSE_SECONDS
        while True:
            try:
                await self._tell_lost_once(followed, reason)
            except StoreError:
                _LOG.exception("the store did not take the loss of %s; telling it again", followed.tab_id)
                await anyio.sleep(pause)
                pause = min(pause * 2, _TELL_PAUSE_SECONDS_MAX)
            else:
                return

    async def _tell_lost_once(self, followed: Followed, reason: str) -> None:
        try:
            if await self.tell_if_sandbox_lost(followed.sandbox):
                return
        except PortError as error:
            reason = f"{reason}; its provider could not be asked: {error.reason}"
        fact = SessionLost(followed.tab_id, followed.sandbox.generation, followed.session, reason)
        await self.stepper.apply(followed.sandbox.task_id, fact)

    async def tell_if_sandbox_lost(self, sandbox: Sandbox) -> bool:
        """Look at the sandbox, and tell its task when the provider says that it is gone or has failed."""
        seen = await self.sites.of(sandbox).provider.observe(ref_of(sandbox))
        lost = seen.phase in (Phase.ABSENT, Phase.FAILED)
        if lost:
            fact = SandboxLost(sandbox.name, f"The sandbox is {seen.phase.value}, says its provider.")
            await self.stepper.apply(sandbox.task_id, fact)
        return lost


async def _pump(
    stream: AgentStream, send: MemoryObjectSendStream[AgentEvent], broken: list[TaskdockError]
) -> None:
    """Read until the stream ends; how it broke is kept, since a task group would wrap it."""
    async with send:
        try:
            while (event := await stream.receive()) is not None:
                await send.send(event)
        except PortError as error:
            broken.append(error)


async def _next_batch(receive: MemoryObjectReceiveStream[AgentEvent]) -> list[AgentEvent]:
    """What has come, at least one event; empty when nothing more will."""
    batch: list[AgentEvent] = []
    try:
        batch.append(await receive.receive())
        while len(batch) < _BATCH_MAX:
            batch.append(receive.receive_nowait())
    except (anyio.EndOfStream, anyio.WouldBlock):
        return batch
    return batch
