"""Reaper's time: what nobody needs is announced in one round and ended in the next, once it is old enough."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from attrs import field, mutable

from taskdock.core.errors import StoreError
from taskdock.ports.sandbox import Observation, Phase, SandboxRef
from taskdock.services.reaper import Fate, Reaper
from taskdock.services.sites import Site, Sites
from taskdock.testing.virtual_time import EPOCH
from unit.services.bench import HOUR, MINUTE, Bench

if TYPE_CHECKING:
    from taskdock.ports.clock import Clock

pytestmark = pytest.mark.anyio

OWNER = "me"


@mutable
class Boxes:
    """A provider that holds sandboxes in memory, and notes when it was asked to end one."""

    clock: "Clock"
    made: dict[SandboxRef, datetime] = field(factory=dict)
    """When each was made, in seconds."""
    destroying_seconds: float = 0.0
    going: dict[SandboxRef, datetime] = field(factory=dict)
    ended_at: list[float] = field(factory=list)
    silent: set[str] = field(factory=set)
    """Which of its calls never answer."""

    def make(self, name: str) -> SandboxRef:
        """There is a sandbox now, of a task that nobody knows."""
        ref = SandboxRef("local", name)
        self.made[ref] = self.clock.now()
        return ref

    async def list_owned(self, owner: str) -> AsyncIterator[Observation]:
        """All of them."""
        assert owner == OWNER
        if "list_owned" in self.silent:
            await anyio.sleep_forever()
        for ref in list(self.made):
            yield self._seen(ref)

    async def observe(self, ref: SandboxRef) -> Observation:
        """What one is at."""
        if "observe" in self.silent:
            await anyio.sleep_forever()
        return self._seen(ref)

    def _seen(self, ref: SandboxRef) -> Observation:
        now = self.clock.now()
        if ref in self.going and self.going[ref] <= now:
            self.made.pop(ref, None)
        phase = Phase.ABSENT
        if ref in self.made:
            phase = Phase.DESTROYING if ref in self.going else Phase.RUNNING
        labels = {"owner": OWNER, "task": "task-unknown", "generation": "1"}
        return Observation(ref, phase, now, created_at=self.made.get(ref), labels=labels)

    async def destroy(self, ref: SandboxRef, _owner: str) -> Observation:
        """End one, in its time."""
        self.ended_at.append(anyio.current_time())
        self.going.setdefault(ref, self.clock.now() + timedelta(seconds=self.destroying_seconds))
        return await self.observe(ref)


def reaper_of(bench: Bench, boxes: Boxes, age_seconds_min: float = 0.0) -> Reaper:
    """Make a reaper over these sandboxes."""
    provider: Any = boxes
    sites = Sites({"local": Site(provider, provider)})
    return Reaper(sites, bench.stepper, bench.store, bench.clock, OWNER, age_seconds_min)


async def for_a_while(reaper: Reaper, seconds: float) -> None:
    """Let it make its rounds every ten minutes."""
    with anyio.move_on_after(seconds):
        await reaper.run(10 * MINUTE)


async def test_it_is_ended_in_the_round_after_the_one_that_announced_it(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """The first round names it in the log, ten minutes before the second ends it."""
    boxes = Boxes(bench.clock)
    boxes.make("td-1")
    reaper = reaper_of(bench, boxes)
    await for_a_while(reaper, 20 * MINUTE - 1)
    assert boxes.ended_at == []
    assert "td-1 is ended in the next round: there is no such task" in caplog.text
    boxes = Boxes(bench.clock, boxes.made)
    await for_a_while(reaper_of(bench, boxes), 35 * MINUTE)
    assert boxes.ended_at == [40 * MINUTE - 1]
    assert boxes.made == {}


async def test_it_is_not_ended_before_it_is_old_enough(bench: Bench) -> None:
    """With an age of an hour it is announced once it has that age, and ended a round later."""
    boxes = Boxes(bench.clock)
    await anyio.sleep(5 * MINUTE)
    boxes.make("td-1")
    await for_a_while(reaper_of(bench, boxes, age_seconds_min=HOUR), 2 * HOUR)
    # Rounds come at 15, 25 ... 65 (when it is an hour old), 75 minutes.
    assert boxes.ended_at == [75 * MINUTE]


async def test_one_that_was_needed_in_between_is_announced_anew(bench: Bench) -> None:
    """What was announced, was not there in the next round and comes back counts as new."""
    boxes = Boxes(bench.clock)
    ref = boxes.make("td-1")
    async with anyio.create_task_group() as group:
        group.start_soon(reaper_of(bench, boxes).run, 10 * MINUTE)
        await anyio.sleep(15 * MINUTE)
        made = boxes.made.pop(ref)
        await anyio.sleep(10 * MINUTE)
        boxes.made[ref] = made
        await anyio.sleep(HOUR)
        group.cancel_scope.cancel()
    assert boxes.ended_at == [40 * MINUTE]


async def test_an_end_that_hangs_is_given_up_and_tried_again(bench: Bench) -> None:
    """A provider that takes an hour to end it holds up a round by ten minutes; each next round tries again."""
    boxes = Boxes(bench.clock, destroying_seconds=HOUR)
    boxes.make("td-1")
    await for_a_while(reaper_of(bench, boxes), 3 * HOUR)
    # Announced at 10, asked at 20 and given up at 30, and so on; at 80 it is gone.
    assert boxes.ended_at == pytest.approx([20 * MINUTE, 40 * MINUTE, 60 * MINUTE])
    assert boxes.made == {}


@pytest.mark.parametrize(("call", "seconds"), [("list_owned", 60), ("observe", 30)])
async def test_a_provider_that_never_answers_holds_no_other_up(
    bench: Bench, call: str, seconds: float
) -> None:
    """Its call is given up after so long: the round goes on to the next provider, and the next round asks it again."""
    deaf, other = Boxes(bench.clock), Boxes(bench.clock)
    deaf.make("td-1")
    ref = other.make("td-2")
    deaf.silent.add(call)
    reaper = reaper_of(bench, other)
    provider: Any = deaf
    reaper.sites = Sites({"deaf": Site(provider, provider), **reaper.sites.by_provider})
    planned = await reaper.plan()
    assert anyio.current_time() == pytest.approx(seconds)
    assert ref in {one.ref for one in planned.of(Fate.TO_REAP)}
    deaf.silent.clear()
    assert len((await reaper.plan()).of(Fate.TO_REAP)) == 2


async def test_a_store_that_fails_costs_a_round(bench: Bench) -> None:
    """A round in which the store cannot be read ends nothing, and forgets nothing that was announced."""
    boxes = Boxes(bench.clock)
    boxes.make("td-1")
    read, reads = bench.store.record, 0

    async def fail_in_the_second_round(kind: str, record_id: str) -> object:
        nonlocal reads
        reads += 1
        if anyio.current_time() == 20 * MINUTE:
            raise StoreError("not now")
        return await read(kind, record_id)

    bench.store.record = fail_in_the_second_round  # type: ignore[method-assign, assignment]
    await for_a_while(reaper_of(bench, boxes), HOUR)
    assert boxes.ended_at == [30 * MINUTE]
    assert bench.clock.now() == EPOCH + timedelta(hours=1)
