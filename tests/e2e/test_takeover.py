"""Takeover: who waits for the scheduler's seat gets it when its holder dies or leaves, and goes on with its work."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import anyio
import anyio.to_thread
import pytest

from e2e.installation import until_happened
from e2e.world import World, serving, until
from taskdock import app

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 60.0
SOON_SECONDS = 5.0
"""From the end of a holder to the next one's work; half a second in the worst case, and this machine may be busy."""


class Waiter:
    """A process that wants the seat of a world's home."""

    def __init__(self, world: World) -> None:
        environment = {
            **os.environ,
            "TASKDOCK_GATES": str(world.gates),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        with (world.home.parent / "waiter.log").open("ab") as log:
            self.process = subprocess.Popen(
                serving(world.home),
                stdout=subprocess.PIPE, stderr=log, env=environment,
            )  # fmt: skip

    @property
    def pipe(self) -> IO[bytes]:
        """Where it speaks."""
        assert self.process.stdout is not None
        return self.process.stdout

    def line(self, seconds: float = PATIENCE_SECONDS) -> str:
        """What it says next; nothing when it stays silent for so long."""
        ready, _, _ = select.select([self.pipe], [], [], seconds)
        return self.pipe.readline().decode().strip() if ready else ""

    def end(self, how: signal.Signals = signal.SIGKILL) -> int:
        """End it, and wait until it is gone."""
        self.process.send_signal(how)
        code = self.process.wait(PATIENCE_SECONDS)
        self.pipe.close()
        return code


@contextmanager
def waiters(world: World, count: int) -> Iterator[list[Waiter]]:
    """Run processes that wait for the seat; they end with the test."""
    started = [Waiter(world) for _ in range(count)]
    try:
        assert [one.line() for one in started] == ["watching"] * count
        yield started
    finally:
        for one in started:
            if one.process.returncode is None:
                one.end()


def first_to_serve(waiting: Sequence[Waiter]) -> Waiter:
    """The one that says that it has the seat."""
    serving = those_who_spoke(waiting, PATIENCE_SECONDS)
    assert serving, "nobody took the seat"
    return serving[0]


def those_who_spoke(waiting: Sequence[Waiter], seconds: float) -> list[Waiter]:
    """Those that said something that nobody has read yet."""
    pipes = {one.pipe: one for one in waiting}
    ready, _, _ = select.select(list(pipes), [], [], seconds)
    return [pipes[pipe] for pipe in ready]


async def test_a_waiting_process_finishes_what_a_killed_one_began(world: World, remote: Path) -> None:
    """SIGKILL amidst the making of a sandbox: the process that waited makes it, once, and the prompt is seen once."""
    world.start()
    with waiters(world, 1) as (second,):
        gate = world.gate("provider.ensure.before")
        async with world.client() as dock:
            receipt = await dock.create_task(repo=str(remote), prompt="demo: echo hello")
            await world.reached(gate)
            world.kill()
            world.open_gate(gate)
            assert await anyio.to_thread.run_sync(second.line) == "serving"
            await world.rest(dock, receipt.task_id, "running")
            await until_happened(dock, receipt.task_id, "turn.ended")
        assert len(world.sandboxes()) == len(world.servers()) == 1
        assert [one["text"] for one in world.prompts_seen()] == ["demo: echo hello"]


async def test_of_many_that_wait_one_takes_over_each_time(world: World, remote: Path) -> None:
    """Of five waiting processes one takes the seat, the others follow it, and so on until the last one is left."""
    world.start()
    with waiters(world, 5) as started:
        waiting = list(started)
        async with world.client() as dock:
            world.kill()
            for _ in started:
                holder = await anyio.to_thread.run_sync(first_to_serve, waiting)
                assert holder.line() == "serving"
                waiting.remove(holder)
                receipt = await dock.create_task(repo=str(remote), prompt="demo: echo hello")
                await dock.kill_task(receipt.task_id)
                await world.rest(dock, receipt.task_id, "killed")
                assert those_who_spoke(waiting, 0) == [], "two have the seat"
                holder.end()


async def test_a_process_that_leaves_is_followed_at_once(world: World, remote: Path) -> None:
    """SIGTERM in a turn: the seat is left in order, and the one that waited follows the same turn to its end."""
    world.start()
    with waiters(world, 1) as (second,):
        async with world.client() as dock:
            receipt = await dock.create_task(repo=str(remote), prompt="demo: crawl 4")
            await world.see(
                dock, receipt.task_id, lambda view: view.tabs[0].turn.at == "running", "a running turn"
            )
            assert world.stop() == 0
            left_at = time.monotonic()
            assert await anyio.to_thread.run_sync(second.line) == "serving"
            assert time.monotonic() - left_at < SOON_SECONDS
            view = await world.see(
                dock, receipt.task_id, lambda view: view.tabs[0].last_end is not None, "the end of the turn"
            )
        assert view.tabs[0].last_end is not None
        assert view.tabs[0].last_end.value == "completed"
        assert len(world.prompts_seen()) == 1
        assert second.end(signal.SIGTERM) == 0


async def test_a_dock_says_at_any_time_whether_it_schedules(world: World, remote: Path) -> None:
    """A dock that was opened beside a scheduler says no until that one dies, then yes; one without the wish never does."""
    world.start()
    async with app.open(world.config()) as dock, world.client() as reader:
        assert (dock.schedules, reader.schedules) == (False, False)
        world.kill()
        await until(lambda: dock.schedules, "the dock schedules", world.log)
        receipt = await reader.create_task(repo=str(remote), prompt="demo: echo hello")
        await world.rest(reader, receipt.task_id, "running")
        assert (dock.schedules, reader.schedules) == (True, False)
    assert dock.schedules is False


async def test_leaving_while_waiting_leaves_the_seat_alone(world: World) -> None:
    """A process that ends while it waits takes nothing with it, and the holder goes on."""
    world.start()
    with anyio.fail_after(PATIENCE_SECONDS):
        async with app.open(world.config()) as dock:
            assert dock.schedules is False
    async with app.open(world.config()) as again:
        assert again.schedules is False
