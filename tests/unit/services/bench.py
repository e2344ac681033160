"""Bench: a scheduler on a store in memory, in virtual time, with stores that fail and executors that tests write down.

Owns: `Bench`, `FaultyStore`, `Run`.
Never: a scheduler, a stepper or a rule of its own; only what would reach out of the process is stood in for.
Reads as: tests/unit/services -> this -> the real Scheduler, Stepper, MessageRequests and MemoryStore.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import anyio
import pytest
from attrs import field, frozen, mutable

from taskdock.core import inputs, intents
from taskdock.core.change import Slice
from taskdock.core.errors import StoreError
from taskdock.core.inputs import Value
from taskdock.core.intents import Body, EnsureName, Figures, SendPrompt
from taskdock.core.message import DELIVERED, Message
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from taskdock.ports.intent_queue import Claimed
from taskdock.ports.store import Commit, CommitResult
from taskdock.services.capacity import Capacity
from taskdock.services.execution import Execution
from taskdock.services.executors.catalogue import EXECUTORS, Executor
from taskdock.services.executors.tell import tell
from taskdock.services.executors.wake import wake
from taskdock.services.message_requests import MessageRequests
from taskdock.services.scheduler import Scheduler
from taskdock.services.stepping import Stepper
from taskdock.services.tools import Tools
from taskdock.services.workbench import Offer
from taskdock.testing.memory_data import MemoryData
from taskdock.testing.memory_store import MemoryStore
from taskdock.testing.virtual_time import VirtualClock

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
Hook = Callable[[], Awaitable[None]]
Act = Callable[[Any, Execution], Awaitable[Value]]
"""What stands in for an executor."""


async def hang(_body: Body, _execution: Execution) -> Value:
    """Never end."""
    await anyio.sleep_forever()
    raise AssertionError


def gives(value: Value) -> Act:
    """Say that the call follows, and end at once."""

    async def act(_body: Body, execution: Execution) -> Value:
        await execution.start()
        return value

    return act


def fails(error: Exception, after: float = 0.0) -> Act:
    """Work for so many seconds, then fail; each time."""

    async def act(_body: Body, _execution: Execution) -> Value:
        await anyio.sleep(after)
        raise error

    return act


async def stay_in_turn(_body: Body, execution: Execution) -> Value:
    """Deliver the message; its turn has no end."""
    await execution.start()
    await execution.delivered()
    await anyio.sleep_forever()
    raise AssertionError


GOOD: Mapping[type[Any], Act] = {
    EnsureName: gives(inputs.NameEnsured("Thing", "thing", "main")),
    intents.CreateSandbox: gives(inputs.SandboxReady(adopted=False)),
    intents.EnsureAgent: gives(inputs.AgentReady()),
    intents.CreateSession: gives(inputs.SessionReady("s1", "p1")),
    intents.ResumeSession: gives(inputs.SessionReady("s1", "p2")),
    intents.CancelTurn: gives(inputs.Asked()),
    intents.AnswerPermission: gives(inputs.Asked()),
    intents.CloseSession: gives(inputs.SessionClosed()),
    intents.CollectWork: gives(inputs.WorkCollected("c1", branch_moved=True)),
    SendPrompt: stay_in_turn,
}
"""How everything goes well, up to a turn without an end."""


@frozen
class Run:
    """One execution that was begun: when, in seconds of virtual time, of what."""

    at: float
    kind: type[Body]
    intent_id: str


class FaultyStore(MemoryStore):
    """A store in memory that fails or lets something happen when it is told to; each hook is used once."""

    def __init__(self, clock: VirtualClock, data: MemoryData | None = None) -> None:
        super().__init__(data, clock_now=clock.now)
        self.refuse: dict[str, int] = {}
        self.before_load: Hook | None = None
        self.before_looking: Hook | None = None
        self.after_claim: Hook | None = None
        self.counted = 0
        self.changed: Callable[[int], None] = lambda _: None
        self._on_commit = self._tell

    def _tell(self, position: int) -> None:
        self.changed(position)

    def _fail(self, method: str) -> None:
        if self.refuse.get(method, 0) > 0:
            self.refuse[method] -= 1
            raise StoreError(f"{method} was refused")

    async def load(self, boundary: str) -> Slice:
        """Load, after what the test wants to happen first."""
        hook, self.before_load = self.before_load, None
        if hook is not None:
            await hook()
        return await super().load(boundary)

    async def commit(self, commit: Commit) -> CommitResult:
        """Commit, or fail."""
        self._fail("commit")
        return await super().commit(commit)

    async def cancelled(self) -> Sequence[str]:
        """What a claim asks first, after what the test wants to happen before."""
        hook, self.before_looking = self.before_looking, None
        if hook is not None:
            await hook()
        return await super().cancelled()

    async def claim(
        self,
        room: Mapping[str, int],
        now: datetime,
        deadlines: Mapping[str, float],
    ) -> Sequence[Claimed]:
        """Claim, or fail; then what the test wants to happen before anybody knows."""
        self._fail("claim")
        claimed = await super().claim(room, now, deadlines)
        if claimed:
            hook, self.after_claim = self.after_claim, None
            if hook is not None:
                await hook()
        return claimed

    async def open_intents(self, workspace: str, at_most: int) -> int:
        """Count, and count that it was counted."""
        self.counted += 1
        return await super().open_intents(workspace, at_most)


@mutable(eq=False)
class Bench:
    """One store, one scheduler, and what its executors do; what is not said hangs, except that a name is ensured."""

    clock: VirtualClock = field(factory=VirtualClock)
    data: MemoryData = field(factory=MemoryData)
    figures: Figures = field(factory=Figures)
    open_intents_max: int = 1_000
    acts: dict[type[Any], Act] = field(factory=lambda: {EnsureName: GOOD[EnsureName]})
    runs: list[Run] = field(factory=list)
    """The executions that were begun, those of `Wake` and `Tell` aside."""
    store: FaultyStore = field(init=False)
    stepper: Stepper = field(init=False)
    workbench: MessageRequests = field(init=False)
    scheduler: Scheduler = field(init=False)
    _moved: anyio.Event = field(factory=anyio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.store = FaultyStore(self.clock, self.data)
        capacity = Capacity(self.store, self.open_intents_max)
        self.stepper = Stepper(self.store, self.clock, self.figures, capacity=capacity)
        offer = Offer(("local",), ("demo",))
        self.workbench = MessageRequests(self.stepper, self.store, self.clock, offer, "owner")
        self.scheduler = Scheduler(self.store, self.tools(), executors=self._executors())
        self.store.changed = self._committed

    def tools(self) -> Tools:
        """What executors work with: none of theirs is asked here but the clock and the store."""
        outside: Any = dict.fromkeys(
            ("sites", "gateway", "clones", "namer", "fallback_namer", "stack", "links", "carrier")
        )
        return Tools(stepper=self.stepper, store=self.store, reads=self.store, clock=self.clock, **outside)

    def next_process(self) -> "Bench":
        """The same store in the process after this one."""
        return Bench(self.clock, self.data, self.figures, self.open_intents_max, self.acts)

    def goes_well(self, **but: Act) -> None:
        """Let everything go well, but what is said by the kind's name."""
        self.acts |= GOOD
        self.acts |= {getattr(intents, kind): act for kind, act in but.items()}

    def _executors(self) -> dict[type, Executor]:
        own: dict[type, Executor] = {intents.Wake: wake, intents.Tell: tell}
        return {kind: own.get(kind, self._act) for kind in EXECUTORS}

    async def _act(self, body: Body, execution: Execution, _tools: Tools) -> Value:
        self.runs.append(Run(anyio.current_time(), type(body), execution.intent.id))
        self.moved()
        return await self.acts.get(type(body), hang)(body, execution)

    def _committed(self, _position: int) -> None:
        self.scheduler.wake()
        self.moved()

    def moved(self) -> None:
        """Something happened: whoever waits looks again."""
        moved, self._moved = self._moved, anyio.Event()
        moved.set()

    async def until(self, holds: Callable[[], bool], within: float = DAY) -> float:
        """Wait until it holds, after a commit or the begin of an execution; when that is."""
        with anyio.fail_after(within):
            while not holds():
                await self._moved.wait()
        return anyio.current_time()

    def ran(self, kind: type[Body]) -> list[float]:
        """When executions of this kind were begun."""
        return [run.at for run in self.runs if run.kind is kind]

    def ids(self) -> list[str]:
        """Which intents were executed, in order."""
        return [run.intent_id for run in self.runs]

    async def task(self, number: int = 1, workspace: str = "default", key: str | None = None) -> str:
        """Create a task on a repo that is ready; its id. Its name is the first that has to be ensured."""
        repo = await self.repo(workspace)
        receipt = await self.workbench.create_task(
            prompt=f"Do {number}", repo=repo, workspace=workspace, key=key
        )
        return receipt.task_id

    async def repo(self, workspace: str = "default") -> str:
        """A repo that is ready."""
        found = await self.store.repo_named(workspace, "acme/api")
        if found is not None:
            return found.id
        receipt = await self.workbench.add_repo("https://git.example.org/acme/api", workspace=workspace)
        (claimed,) = await MemoryStore.claim(self.store, {"clone": 1}, self.clock.now(), {})
        cloned = inputs.Succeeded(inputs.Cloned("main", "b" * 40))
        report = inputs.OutcomeReported(claimed.intent.id, claimed.intent.issue, cloned)
        await self.stepper.apply(receipt.repo_id, report)
        return receipt.repo_id

    async def repo_claimed_by_nobody(self) -> str:
        """A new repo whose clone was claimed, and whose claim got lost; its id."""
        receipt = await self.workbench.add_repo("https://git.example.org/acme/lost", workspace="lost")
        (claimed,) = await MemoryStore.claim(self.store, {"clone": 1}, self.clock.now(), {})
        assert claimed.intent.boundary == receipt.repo_id
        return receipt.repo_id

    def the_task(self, task_id: str) -> Task:
        """A task as it stands."""
        record: Task = self.data.rows["task"][task_id].record
        return record

    def the_tab(self, task_id: str) -> Tab:
        """The first tab of a task."""
        rows = self.data.rows["tab"].values()
        record: Tab = next(row.record for row in rows if row.boundary == task_id)
        return record

    def the_message(self, task_id: str) -> Message:
        """The first message of a task."""
        record: Message = self.data.rows["message"][self.the_task(task_id).first_message_id].record
        return record

    def at(self, task_id: str) -> str:
        """Where a task is in its machine."""
        return self.the_task(task_id).at

    async def named(self, task_id: str) -> float:
        """Wait until the task has its name; when that is."""
        return await self.until(lambda: self.the_task(task_id).is_named)

    async def begun(self, kind: type[Body], count: int = 1) -> float:
        """Wait until so many executions of a kind have begun; when that is."""
        return await self.until(lambda: len(self.ran(kind)) >= count)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[anyio.abc.TaskGroup]:
        """Run the scheduler; killed at the end of the block."""
        async with anyio.create_task_group() as group:
            await group.start(self.scheduler.run)
            yield group
            group.cancel_scope.cancel()

    @asynccontextmanager
    async def in_turn(self) -> AsyncIterator[str]:
        """Run the scheduler, and lead a task into a turn without an end; its id."""
        task_id = await self.task()
        async with self.running():
            await self.until(lambda: self.the_message(task_id).at == DELIVERED)
            yield task_id

    async def next_claims(self) -> list[str]:
        """What the next process could claim at once, without recovering anything."""
        room = {"*": 100}
        later = self.clock.now() + timedelta(seconds=1)
        return [one.intent.id for one in await MemoryStore(self.store.data).claim(room, later, {})]


@pytest.fixture
def bench() -> Bench:
    """Make a bench."""
    return Bench()


def during(seconds: float) -> Hook:
    """What takes so long."""
    return partial(anyio.sleep, seconds)
