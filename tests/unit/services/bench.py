"""Bench: a scheduler on a store in memory, with stores that fail and clocks that are moved by hand.

Owns: `Bench`, `FaultyStore`, `HandClock`.
Never: a scheduler of its own; only the executors are stood in for, where a test needs one that hangs or counts.
Reads as: tests/unit/services -> this -> the real Scheduler, Stepper, MessageRequests and MemoryStore.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import anyio
import pytest
from attrs import field, mutable

from taskdock.core import inputs
from taskdock.core.change import Slice
from taskdock.core.errors import StoreError
from taskdock.core.inputs import Value
from taskdock.core.intents import Body, EnsureName, Figures
from taskdock.ports.intent_queue import Claimed
from taskdock.ports.store import Commit, CommitResult
from taskdock.services import scheduler as scheduler_module
from taskdock.services.capacity import Capacity
from taskdock.services.execution import Execution
from taskdock.services.executors.catalogue import EXECUTORS
from taskdock.services.message_requests import MessageRequests
from taskdock.services.scheduler import Scheduler
from taskdock.services.stepping import Stepper
from taskdock.services.tools import Tools
from taskdock.services.workbench import Offer
from taskdock.testing.memory_data import MemoryData
from taskdock.testing.memory_store import MemoryStore

PATIENCE_SECONDS = 10.0
Hook = Callable[[], Awaitable[None]]


@mutable(eq=False)
class HandClock:
    """A clock that stands still until it is moved."""

    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    count: int = 0

    def now(self) -> datetime:
        """The time."""
        return self.at

    def new_id(self, kind: str) -> str:
        """The next id."""
        self.count += 1
        return f"{kind}-{self.count:020d}"


class FaultyStore(MemoryStore):
    """A store in memory that fails or lets something happen when it is told to; each hook is used once."""

    def __init__(self, data: MemoryData | None = None) -> None:
        super().__init__(data)
        self.refuse: dict[str, int] = {}
        self.before_load: Hook | None = None
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

    async def claim(
        self, room: Mapping[str, int], now: datetime, deadlines: Mapping[str, float]
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
    """One store, one scheduler, and what its executors do."""

    store: FaultyStore = field(factory=FaultyStore)
    clock: HandClock = field(factory=HandClock)
    open_intents_max: int = 1_000
    runs: list[str] = field(factory=list)
    """The ids of intents whose naming was begun."""
    name: Callable[[Body], Awaitable[Value]] | None = None
    """How a name is ensured; the default ends at once."""
    stepper: Stepper = field(init=False)
    workbench: MessageRequests = field(init=False)
    scheduler: Scheduler = field(init=False)

    def __attrs_post_init__(self) -> None:
        capacity = Capacity(self.store, self.open_intents_max)
        self.stepper = Stepper(self.store, self.clock, Figures(), capacity=capacity)
        offer = Offer(("local",), ("demo",))
        self.workbench = MessageRequests(self.stepper, self.store, self.clock, offer, "owner")
        self.scheduler = Scheduler(self.store, self.tools())
        self.store.changed = lambda _: self.scheduler.wake()

    def tools(self) -> Tools:
        """What executors work with: none of theirs is asked here but the clock and the store."""
        outside: Any = dict.fromkeys(
            ("sites", "gateway", "clones", "namer", "fallback_namer", "links", "carrier")
        )
        return Tools(stepper=self.stepper, store=self.store, reads=self.store, clock=self.clock, **outside)

    async def ensure_name(self, body: Body, execution: Execution, _tools: Tools) -> Value:
        """Stand in for the executor of EnsureName."""
        self.runs.append(execution.intent.id)
        if self.name is not None:
            return await self.name(body)
        return inputs.NameEnsured("Thing", f"thing-{len(self.runs)}", "main")

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

    async def named(self, task_id: str) -> None:
        """Wait until the task has its name."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while "/create" not in (await self.at(task_id)):  # noqa: ASYNC110 - the record is the only sign
                await anyio.sleep(0.005)

    async def begun(self, count: int = 1) -> None:
        """Wait until so many executions have begun."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while len(self.runs) < count:  # noqa: ASYNC110 - the stand-in above is the only sign
                await anyio.sleep(0.005)

    async def at(self, task_id: str) -> str:
        """Where the task is in its machine."""
        found = await self.store.record("task", task_id)
        assert found is not None
        at: str = cast("Any", found.record).at
        return at

    @asynccontextmanager
    async def running(self) -> AsyncIterator[anyio.abc.TaskGroup]:
        """Run the scheduler; killed at the end of the block."""
        async with anyio.create_task_group() as group:
            await group.start(self.scheduler.run)
            yield group
            group.cancel_scope.cancel()

    async def next_claims(self) -> list[str]:
        """What the next process could claim at once, without recovering anything."""
        room = {"*": 100}
        later = self.clock.now() + timedelta(seconds=1)
        return [one.intent.id for one in await MemoryStore(self.store.data).claim(room, later, {})]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Make a bench whose pauses after a failing store are short."""
    bench = Bench()
    monkeypatch.setitem(EXECUTORS, EnsureName, bench.ensure_name)
    for name in ("_STORE_PAUSE_SECONDS", "_STORE_PAUSE_SECONDS_MAX"):
        monkeypatch.setattr(scheduler_module, name, 0.01)
    return bench
