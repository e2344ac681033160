"""World: the real core, the real SQLite store and the real request path, without anything behind them.

Owns: `World` (a store with its stepper and workbench) and a repo that is ready, so that a create needs no clone.
Never: a stand-in for what is measured; only executors are replaced, by ones that answer at once.
Reads as: a workload opens a World -> creates, schedules, reads -> measures.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from attrs import frozen

from taskdock.adapters.clock import SystemClock
from taskdock.adapters.store.sqlite.store import SqliteStore
from taskdock.core import inputs
from taskdock.core.inputs import Cloned, OutcomeReported, Succeeded
from taskdock.core.intents import Figures
from taskdock.core.values import repo_id
from taskdock.services.message_requests import MessageRequests
from taskdock.services.receipts import TaskReceipt
from taskdock.services.stepping import Stepper
from taskdock.services.tools import Tools
from taskdock.services.workbench import DEFAULT_WORKSPACE, Offer

REMOTE = "/srv/git/shop"
_CALLERS = 64
PROMPT = "Add cursor pagination to the list of orders, with tests, and say in the README how to page."


@frozen
class World:
    """One open store and what works on it."""

    store: SqliteStore
    stepper: Stepper
    workbench: MessageRequests

    async def create(self) -> TaskReceipt:
        """Create a task as a backend would: the whole request path, durable when it returns."""
        return await self.workbench.create_task(repo=REMOTE, prompt=PROMPT)

    async def fill(self, count: int) -> None:
        """Create so many tasks, as fast as many callers can."""
        left = count

        async def call() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await self.create()

        async with anyio.create_task_group() as group:
            for _ in range(min(_CALLERS, count)):
                group.start_soon(call)

    def tools(self) -> Tools:
        """What executors are given; ours use none of the ports that reach outside."""
        none: Any = None
        return Tools(
            stepper=self.stepper,
            store=self.store,
            reads=self.store,
            clock=self.stepper.clock,
            sites=none,
            gateway=none,
            clones=none,
            namer=none,
            fallback_namer=none,
            links=none,
            carrier=none,
            stack=none,
        )


@asynccontextmanager
async def opened(path: Path, on_commit: Callable[[int], None] | None = None) -> AsyncIterator[World]:
    """Open the store at `path` (synchronous FULL, as by default), with the repo in it and ready."""
    clock = SystemClock()
    async with SqliteStore.open(path, on_commit=on_commit) as store:
        stepper = Stepper(store, clock, Figures())
        workbench = MessageRequests(stepper, store, clock, Offer(("local",), ("demo",)), await store.owner())
        world = World(store, stepper, workbench)
        await _add_repo(world)
        yield world


async def _add_repo(world: World) -> None:
    id_ = repo_id(DEFAULT_WORKSPACE, REMOTE)
    if await world.store.record("repo", id_) is not None:
        return
    await world.stepper.apply(id_, inputs.AddRepo(id_, DEFAULT_WORKSPACE, "shop", REMOTE))
    (claimed,) = await world.store.claim({"*": 1}, world.stepper.clock.now(), {})
    intent = claimed.intent
    outcome = Succeeded(Cloned("main", "0" * 40))
    await world.stepper.apply(id_, OutcomeReported(intent.id, intent.issue, outcome))
