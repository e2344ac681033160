"""Scheduler: it outlives its store's errors, misses no wake-up, and hands back what it cannot finish."""

from datetime import timedelta

import anyio
import pytest

from taskdock.core import inputs
from taskdock.core.inputs import Failed, FailureClass, Value
from taskdock.core.intents import Body
from taskdock.services.workbench import DEFAULT_WORKSPACE
from unit.services.bench import PATIENCE_SECONDS, Bench

pytestmark = pytest.mark.anyio


async def test_a_claim_that_fails_is_made_again(bench: Bench) -> None:
    """A store that refuses claims for a while ends no scheduler: what waited is carried out afterwards."""
    task = await bench.task()
    bench.store.refuse["claim"] = 3
    async with bench.running():
        await bench.named(task)
    assert bench.store.refuse["claim"] == 0


async def test_an_outcome_is_kept_until_the_store_takes_it(bench: Bench) -> None:
    """An outcome that the store refuses is offered again, and its work is not done twice."""
    task = await bench.task()

    async def then_refuse(_: Body) -> Value:
        bench.store.refuse["commit"] = 3
        return inputs.NameEnsured("Thing", "thing", "main")

    bench.name = then_refuse
    async with bench.running():
        await bench.named(task)
    assert bench.store.refuse["commit"] == 0
    assert len(bench.runs) == 1


async def test_what_comes_due_during_a_claim_is_not_slept_over(bench: Bench) -> None:
    """An intent whose time comes after the claim looked and before the sleep began is claimed at once."""
    task = await bench.task()
    failed = Failed(FailureClass.TRANSIENT, "once")
    (claimed,) = await bench.store.claim({"*": 1}, bench.clock.now(), {})
    await bench.stepper.apply(task, inputs.OutcomeReported(claimed.intent.id, claimed.intent.issue, failed))
    assert await bench.store.next_due_at(bench.clock.now()) is not None
    ask = bench.store.cancelled
    looked = 0

    async def later() -> list[str]:
        nonlocal looked
        looked += 1
        if looked == 1:
            # The loop has read the clock for its claim already: from here on it is late.
            bench.clock.at += timedelta(minutes=5)
        return list(await ask())

    bench.store.cancelled = later  # type: ignore[method-assign]
    async with bench.running():
        await bench.named(task)
    assert looked > 1


async def test_a_drain_hands_back_what_hangs(bench: Bench) -> None:
    """What does not end in the time it is given is cancelled, handed back, and claimable at once by the next process."""
    task = await bench.task()
    ended = anyio.Event()

    async def hang(_: Body) -> Value:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()
        raise AssertionError

    bench.name = hang
    with anyio.fail_after(PATIENCE_SECONDS):
        async with bench.running():
            await bench.begun()
            assert await bench.next_claims() == []
            await bench.scheduler.drain(0.05)
            assert ended.is_set()
    assert await bench.next_claims() == bench.runs == [f"{task}#1"]


async def test_a_drain_lets_short_work_end(bench: Bench) -> None:
    """Work that ends in the time it is given is reported and not handed back."""
    task = await bench.task()
    go = anyio.Event()

    async def wait(_: Body) -> Value:
        await go.wait()
        return inputs.NameEnsured("Thing", "thing", "main")

    bench.name = wait
    async with bench.running() as group:
        await bench.begun()
        group.start_soon(bench.scheduler.drain, 5.0)
        await anyio.lowlevel.checkpoint()
        go.set()
        await bench.named(task)
    assert await bench.next_claims() == [f"{task}#2"]


async def test_a_claim_under_way_when_the_drain_begins_is_given_back(bench: Bench) -> None:
    """What a claim takes while the scheduler is told to stop is handed back before the drain is over, and never begun."""
    task = await bench.task()
    go, claimed = anyio.Event(), anyio.Event()

    async def hold() -> None:
        claimed.set()
        await go.wait()

    bench.store.after_claim = hold
    drained = anyio.Event()

    async def drain() -> None:
        await bench.scheduler.drain(0.05)
        drained.set()

    with anyio.fail_after(PATIENCE_SECONDS):
        async with bench.running() as group:
            await claimed.wait()
            group.start_soon(drain)
            await anyio.sleep(0.1)
            assert not drained.is_set(), "the claim is not over yet"
            go.set()
            await drained.wait()
    assert bench.runs == []
    assert await bench.next_claims() == [f"{task}#1"]


async def test_a_duplicate_that_meets_a_conflict_gets_the_first_answer(bench: Bench) -> None:
    """When the same request wins in between, and what it changed is why this one fits no more, its answer is repeated."""
    task = await bench.task()
    (claimed,) = await bench.store.claim({"*": 1}, bench.clock.now(), {})
    failed = Failed(FailureClass.PERMANENT, "no such thing")
    await bench.stepper.apply(task, inputs.OutcomeReported(claimed.intent.id, claimed.intent.issue, failed))
    first = []

    async def win() -> None:
        first.append(await bench.workbench.retry_task(task, key="retry-1", workspace=DEFAULT_WORKSPACE))

    bench.store.before_load = win
    second = await bench.workbench.retry_task(task, key="retry-1", workspace=DEFAULT_WORKSPACE)
    assert (first[0].replayed, second.replayed) == (False, True)
    assert (second.status, second.version, second.position) == (
        first[0].status,
        first[0].version,
        first[0].position,
    )
