"""Draining: what ends in its time is reported, what does not is handed back, and no drain takes for ever."""

import anyio
import pytest

from taskdock.core import inputs
from taskdock.core.inputs import Value
from taskdock.core.intents import Body, CreateSandbox, EnsureName, SendPrompt
from taskdock.services.execution import Execution
from unit.services.bench import HOUR, MINUTE, Bench, during, hang

pytestmark = pytest.mark.anyio

HAND_BACK_SECONDS_MAX = 5.0


async def drained(bench: Bench, grace_seconds: float) -> float:
    """Drain; how long it took."""
    begun = anyio.current_time()
    await bench.scheduler.drain(grace_seconds)
    return anyio.current_time() - begun


async def test_a_drain_hands_back_what_hangs(bench: Bench) -> None:
    """What does not end in the time it is given is cancelled then, handed back, and claimable by the next process."""
    task = await bench.task()
    bench.acts[EnsureName] = hang
    async with bench.running():
        await bench.begun(EnsureName)
        assert await bench.next_claims() == []
        assert await drained(bench, 20) == 20
    assert await bench.next_claims() == bench.ids() == [f"{task}#1"]


async def test_a_drain_lets_short_work_end(bench: Bench) -> None:
    """Work that ends in the time it is given is reported and not handed back; the drain ends with it."""
    task = await bench.task()

    async def work(_body: Body, _execution: Execution) -> Value:
        await anyio.sleep(19)
        return inputs.NameEnsured("Thing", "thing", "main")

    bench.acts[EnsureName] = work
    async with bench.running():
        await bench.begun(EnsureName)
        assert await drained(bench, 20) == 19
    assert bench.the_task(task).is_named
    assert await bench.next_claims() == [f"{task}#2"]


async def test_a_turn_is_handed_back_at_once(bench: Bench) -> None:
    """A turn that may go on for hours does not hold up the drain: its agent goes on, and the next process follows it."""
    bench.goes_well()
    async with bench.in_turn() as task:
        await anyio.sleep(3 * HOUR)
        assert await drained(bench, 10 * MINUTE) == 0
    turn = bench.ids()[-1]
    assert (bench.runs[-1].kind, bench.the_task(task).status.value) == (SendPrompt, "running")
    later = bench.next_process()
    async with later.running():
        await later.begun(SendPrompt)
    assert later.ids() == [turn]


async def test_work_that_does_not_let_go_delays_a_drain_by_seconds(bench: Bench) -> None:
    """An executor that goes on although it was cancelled is left behind after five seconds."""
    await bench.task()

    async def stubborn(_body: Body, _execution: Execution) -> Value:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(HOUR)
        raise AssertionError

    bench.goes_well(CreateSandbox=stubborn)
    async with bench.running():
        await bench.begun(CreateSandbox)
        assert await drained(bench, 20) == 20 + HAND_BACK_SECONDS_MAX


async def test_a_claim_under_way_when_the_drain_begins_is_given_back(bench: Bench) -> None:
    """What a claim takes while the scheduler is told to stop is handed back before the drain is over, and never begun."""
    task = await bench.task()
    claimed = anyio.Event()

    async def hold() -> None:
        claimed.set()
        await anyio.sleep(3)

    bench.store.after_claim = hold
    async with bench.running():
        await claimed.wait()
        assert await drained(bench, 20) == 3
    assert bench.runs == []
    assert await bench.next_claims() == [f"{task}#1"]


async def test_a_claim_that_hangs_does_not_hold_up_a_drain(bench: Bench) -> None:
    """A store that answers no claim delays a drain by five seconds."""
    await bench.task()
    bench.store.after_claim = during(HOUR)
    async with bench.running():
        await anyio.sleep(1)
        assert await drained(bench, 20) == HAND_BACK_SECONDS_MAX
    assert bench.ran(CreateSandbox) == []


async def test_a_store_that_refuses_the_last_outcome_does_not_hold_up_a_drain(bench: Bench) -> None:
    """During a drain an outcome that the store does not take is left to the next process, which does the work again."""
    task = await bench.task()

    async def work(_body: Body, _execution: Execution) -> Value:
        await anyio.sleep(10)
        bench.store.refuse["commit"] = 10_000
        return inputs.NameEnsured("Thing", "thing", "main")

    bench.acts[EnsureName] = work
    async with bench.running():
        await bench.begun(EnsureName)
        assert await drained(bench, 20) == 10
    bench.acts[EnsureName] = hang
    later = bench.next_process()
    async with later.running():
        await later.begun(EnsureName)
    assert later.ids() == [f"{task}#1"]
