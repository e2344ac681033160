"""Links: one for each tab that is ready, turning what its agent sends into transcript items and facts.

Owns: `Links` and `AgentLink`.
Never: a status; a lost session is a fact for `step`, and items are appended beside the machines.
Reads as: a commit makes a tab ready -> `Links.follow` -> gateway.attach -> items to the store, facts to the Stepper.

The agent's ring is replayed on every attach, so a link can be dropped and made again at any time: items that the store
has are left out there; receipts, replies and questions of earlier prompts are seen again. A question is told as long as
neither its answer nor its turn's end was seen; the core knows those that it was told of before.
"""

import logging
from collections.abc import Sequence

import anyio
import anyio.abc
from attrs import field, frozen, mutable

from taskdock.core import inputs
from taskdock.core.errors import InvariantViolated, OutcomeUnknown, PortError, StoreError, Transient
from taskdock.core.intents import Sandbox
from taskdock.core.tab import CLOSED, ERROR_SESSION, ERROR_TASK, READY, Tab
from taskdock.core.task import Task
from taskdock.ports.agent import (
    AgentEvent,
    AgentExited,
    AgentGateway,
    AgentStream,
    Gap,
    PermissionAnswered,
    PermissionAsked,
    Received,
    Replied,
)
from taskdock.ports.clock import Clock
from taskdock.ports.sandbox import Phase
from taskdock.ports.store import NewItem, Reads, Store
from taskdock.services.batches import batches
from taskdock.services.sandboxes import conversation_of, look, ref_of
from taskdock.services.sites import Sites
from taskdock.services.stepping import Decision, Stepper
from taskdock.services.transcript import Place, event_id_of, item_of

SERVICE = "sandbox-agent"
_REATTACH_MAX = 4
"""How often a broken connection is made again before the session counts as lost."""
_REATTACH_PAUSE_SECONDS = 0.1
_ENDPOINT_SECONDS_MAX = 30.0
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
    asked: dict[str, PermissionAsked] = field(factory=dict)
    """By permission id: what waits for an answer."""
    told: set[str] = field(factory=set)
    """Which of these the core has been told of."""
    source: str = ""
    """The agent process that is followed."""
    heard_to: int = 0
    """Up to which event of it the transcript is whole, or its gaps are told."""
    has_progressed: bool = False
    """Whether anything came since the connection was made."""
    _changed: anyio.Event = field(factory=anyio.Event)

    def wake(self) -> None:
        """Something was learnt: whoever waits looks again."""
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    def is_known(self, event: AgentEvent) -> bool:
        """Whether it is a gap among events that were heard before: the ring has lost them, the transcript has not."""
        return isinstance(event, Gap) and event.event_id <= self.heard_to

    def take(self, event: AgentEvent) -> None:
        """Remember what an event proves."""
        self.heard_to = max(self.heard_to, event.event_id)
        if isinstance(event, Received):
            self.received.add(event.request_id)
        elif isinstance(event, PermissionAsked):
            self.asked[event.permission_id] = event
        elif isinstance(event, PermissionAnswered):
            self.asked.pop(event.permission_id, None)
        elif isinstance(event, Replied):
            self.replies[event.request_id] = event
        for permission_id in [
            one.permission_id for one in self.asked.values() if one.request_id in self.replies
        ]:
            del self.asked[permission_id]

    def untold(self) -> list[PermissionAsked]:
        """What waits for an answer and was not told yet."""
        return [asked for asked in self.asked.values() if asked.permission_id not in self.told]

    def option_of(self, event: AgentEvent, batch: Sequence[AgentEvent]) -> str | None:
        """The name of the option that an answer chose, while what was asked is known, or stands in the same batch."""
        if not isinstance(event, PermissionAnswered):
            return None
        known = (*self.asked.values(), *(one for one in batch if isinstance(one, PermissionAsked)))
        options = [
            option for one in known if one.permission_id == event.permission_id for option in one.options
        ]
        return next((option.name for option in options if option.id == event.option_id), None)

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
        if link is None:
            return
        followed = (link.followed.sandbox.generation, link.followed.session)
        if tab.at in _OVER or followed != (tab.generation, tab.session):
            del self._links[tab.id]
            link.scope.cancel()

    async def _keep(self, link: AgentLink) -> None:
        """Follow until the session is over, then tell of it. Whatever one sandbox sends ends no other task."""
        try:
            with link.scope:
                link.over = await self._follow_to_the_end(link)
            if link.over is not None:
                link.wake()
                # Outside its scope: the turn that this ends may give the tab another session before the sandbox was looked at.
                await self._tell_lost(link.followed, link.over)
        finally:
            link.over = link.over or "the session is not followed any more"
            link.attached.set()
            link.wake()
            if self._links.get(link.followed.tab_id) is link:
                del self._links[link.followed.tab_id]

    async def _follow_to_the_end(self, link: AgentLink) -> str:
        """Follow, making a broken connection again a bounded number of times; says why no more will come.

        A connection that brought something and broke begins a new count of tries.
        """
        tries = 0
        while True:
            link.has_progressed = False
            try:
                return await self._follow_once(link)
            except (Transient, StoreError) as error:
                tries = 1 if link.has_progressed or isinstance(error, StoreError) else tries + 1
                if tries >= _REATTACH_MAX:
                    return str(error)
            except PortError as error:
                return error.reason
            except Exception as error:
                if _is_broken_invariant(error):
                    raise
                # Lost, so that the tab goes on in another process, where what could not be read is not repeated.
                _LOG.exception("the link of %s failed", link.followed.tab_id)
                return "what its agent sent could not be taken"
            await anyio.sleep(_REATTACH_PAUSE_SECONDS * 2**tries)

    async def _follow_once(self, link: AgentLink) -> str:
        """Attach and take events until the agent is gone; says how it went."""
        followed = link.followed
        site = self.sites.of(followed.sandbox)
        try:
            with anyio.fail_after(_ENDPOINT_SECONDS_MAX):
                endpoint = await site.access.endpoint(ref_of(followed.sandbox), SERVICE)
        except TimeoutError as error:
            raise Transient("its provider does not say where the agent answers") from error
        conversation = conversation_of(followed.sandbox, followed.tab_id, followed.session, followed.agent)
        async with self.gateway.attach(endpoint, conversation) as stream:
            if stream.agent_process != link.source:
                link.source = stream.agent_process
                link.heard_to = await self._heard_to(link)
            link.attached.set()
            return await self._take_events(link, stream)

    async def _heard_to(self, link: AgentLink) -> int:
        """How far an earlier link came in the events of this process, as far as they became items."""
        event = await self.reads.last_event(link.followed.tab_id, link.source)
        return event_id_of(event) if event is not None else 0

    async def _take_events(self, link: AgentLink, stream: AgentStream) -> str:
        """Take events until the agent is gone; says how it went. An error is raised as itself, not in a group."""
        broken: list[PortError | StoreError] = []
        async with batches(stream) as read:
            try:
                while batch := await read.next():
                    exited = await self._take_batch(link, batch)
                    if exited is not None:
                        return exited
            except (PortError, StoreError) as error:
                broken.append(error)
        if broken:
            raise broken[0]
        return "the agent's stream ended"

    async def _take_batch(self, link: AgentLink, batch: Sequence[AgentEvent]) -> str | None:
        """Write the items, then remember what they prove, and tell what is asked; how the agent exited, if it did."""
        place = Place(link.followed.tab_id, link.followed.sandbox.task_id, link.source)
        items: list[NewItem] = []
        for event in batch:
            if link.is_known(event):
                continue
            item = item_of(event, place, self.clock.now(), option=link.option_of(event, batch))
            items += [] if item is None else [item]
        if items:
            await self.store.append(items)
        for event in batch:
            link.take(event)
        link.has_progressed = True
        link.wake()
        await self._tell_asked(link)
        exits = [event.detail for event in batch if isinstance(event, AgentExited)]
        return exits[0] if exits else None

    async def _tell_asked(self, link: AgentLink) -> None:
        """Tell what waits for an answer. What a store does not take is told again after the connection is made anew."""
        for asked in link.untold():
            fact = inputs.PermissionAsked(
                link.followed.tab_id,
                asked.request_id,
                asked.permission_id,
                asked.title,
                tuple(asked.options),
            )
            await self.stepper.apply(link.followed.sandbox.task_id, fact)
            link.told.add(asked.permission_id)

    async def _tell_lost(self, followed: Followed, reason: str) -> None:
        """Tell the task what was lost, until the store has taken it: this session, and its sandbox when the provider says so."""
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
        """The sandbox first, so that the next session waits for the look at it; a provider may be wrong about it."""
        try:
            await self.tell_if_sandbox_lost(followed.sandbox)
        except (InvariantViolated, StoreError):
            raise
        except Exception as error:  # noqa: BLE001 - told below
            # Also a bug in one provider's adapter: it must not keep the loss of the session from being told.
            _LOG.exception("the provider of %s could not be asked", followed.sandbox.name)
            reason = f"{reason}; its provider could not be asked: {error}"
        fact = inputs.SessionLost(followed.tab_id, followed.sandbox.generation, followed.session, reason)
        await self.stepper.apply(followed.sandbox.task_id, fact)

    async def tell_if_sandbox_lost(self, sandbox: Sandbox) -> None:
        """Look at the sandbox, and tell its task when the provider says that it is gone or has failed."""
        seen = await look(self.sites.of(sandbox).provider, ref_of(sandbox))
        if seen.phase in (Phase.ABSENT, Phase.FAILED):
            fact = inputs.SandboxLost(sandbox.name, f"The sandbox is {seen.phase.value}, says its provider.")
            await self.stepper.apply(sandbox.task_id, fact)


def _is_broken_invariant(error: Exception) -> bool:
    """Whether it is, or a group holds, what must never be caught."""
    if isinstance(error, ExceptionGroup):
        return error.subgroup(InvariantViolated) is not None
    return isinstance(error, InvariantViolated)
