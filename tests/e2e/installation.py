"""Installation: one dock in the test's own process, with the real ports or with some of them replaced.

Owns: `Installation`, which knows where things are and waits for what the feed tells.
Never: a mock of what can run here.
Reads as: a test -> Installation.open -> taskdock.app.open.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from attrs import evolve, frozen

from agent_server import CACHE
from e2e.providers import Box, config_of, under_test
from e2e.world import PATIENCE, until
from taskdock import app
from taskdock.app import Config, Dock, TaskView, ports_of
from taskdock.core.intents import Figures
from taskdock.ports.store import StoredEvent
from taskdock.services.feed import Happened

if TYPE_CHECKING:
    from taskdock.services.tools import Outside

T = TypeVar("T")

WAIT_SECONDS_MAX = 60.0 * PATIENCE
QUICK = Figures(backoff_seconds=0.05, settle_seconds=2.0, closing_seconds=1.0)
SOON = evolve(QUICK, call_seconds=1.0, absent_seconds=0.2)
"""As QUICK, and a sandbox that is gone is believed to be sooner than the real rules allow."""


@frozen
class Installation:
    """A home folder and its gates."""

    folder: Path
    figures: Figures = QUICK
    wrap: str = "taskdock.testing.gates:install"

    @property
    def home(self) -> Path:
        """Where its state is."""
        return self.folder / "home"

    def sandboxes(self) -> list[Box]:
        """What is there of sandboxes."""
        return under_test().boxes(self.home)

    def fail(self, method: str, *lines: str) -> None:
        """Let the next calls of a port's method fail, e.g. `fail("provider.ensure", "transient the box is shy")`."""
        self.gates.mkdir(exist_ok=True)
        (self.gates / f"{method}.fail").write_text("\n".join(lines) + "\n")

    @property
    def gates(self) -> Path:
        """Where its gates are."""
        return self.folder / "gates"

    def gate(self, name: str) -> Path:
        """Set a waiting gate, e.g. `provider.ensure.before`; removing the file opens it."""
        self.gates.mkdir(exist_ok=True)
        gate = self.gates / name
        gate.touch()
        return gate

    async def reached(self, gate: Path) -> None:
        """Wait until some call stands at the gate."""
        await until(gate.with_name(gate.name + ".reached").exists, f"{gate.name} is reached", lambda: "")

    def config(self, **changes: Any) -> Config:
        """Its config: quick pauses, and gates once a test has set one."""
        config = Config(
            home=self.home,
            cache=CACHE,
            figures=self.figures,
            drain_seconds=2.0,
            **config_of(under_test()),
        )
        if self.gates.exists():
            os.environ["TASKDOCK_GATES"] = str(self.gates)
            config = evolve(config, wrap=self.wrap)
        return evolve(config, **changes)

    @asynccontextmanager
    async def open(
        self, changes: Mapping[str, Any] | None = None, *, schedule: bool = True
    ) -> AsyncIterator[Dock]:
        """Open it; `changes` replace ports (gateway, clones, ...) by others."""
        config = self.config()
        async with ports_of(config) as ports:
            outside: Outside = evolve(ports, **(changes or {}))
            async with app.open(config, schedule=schedule, outside=outside) as dock:
                yield dock


async def see(
    dock: Dock,
    task_id: str,
    wanted: Callable[[TaskView], bool],
    what: str,
    *,
    seconds: float = WAIT_SECONDS_MAX,
) -> TaskView:
    """Wait, driven by the feed, until the task's view is as wanted."""
    view = await dock.task(task_id)
    with anyio.move_on_after(seconds):
        async for _ in dock.watch(task=task_id):
            view = await dock.task(task_id)
            if wanted(view):
                return view
    raise AssertionError(f"never saw {what}; it is {view}")


async def rest(dock: Dock, task_id: str, *statuses: str) -> TaskView:
    """Wait until the task has one of these statuses."""
    return await see(dock, task_id, lambda view: view.task.status.value in statuses, f"status in {statuses}")


async def ended(dock: Dock, task_id: str, turns: int, *, tab: int = 0) -> TaskView:
    """Wait until so many turns of a tab have ended."""
    return await see(
        dock, task_id, lambda view: view.tabs[tab].turns_ended >= turns, f"the end of {turns} turns"
    )


async def see_in_repo(
    dock: Dock, repo_id: str, look: Callable[[], Awaitable[T]], wanted: Callable[[T], object], what: str
) -> T:
    """Look at something of a repo, at each entry of its feed, until it is as wanted."""
    with anyio.move_on_after(WAIT_SECONDS_MAX):
        async for _ in dock.watch(repo=repo_id):
            found = await look()
            if wanted(found):
                return found
    raise AssertionError(f"never {what}: {await look()}")


async def until_happened(dock: Dock, boundary: str, kind: str) -> None:
    """Wait until an event of this kind is in the history of a task or repo."""
    with anyio.fail_after(WAIT_SECONDS_MAX):
        if any(one.event.kind.value == kind for one in await dock.history(boundary)):
            return
        async for seen in dock.watch(task=boundary):
            if isinstance(seen, Happened) and seen.happened.event.kind.value == kind:
                return


def told(events: Sequence[StoredEvent], *names: str) -> list[tuple[object, ...]]:
    """History as tuples of its kind and the data named, for comparing with what a test writes down."""
    return [
        (one.event.kind.value, *(one.event.data[name] for name in names if name in one.event.data))
        for one in events
    ]
