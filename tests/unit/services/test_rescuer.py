"""Rescuer: claims that nobody carries out are handed back, and no others."""

import anyio
import pytest

from taskdock.core import inputs
from taskdock.core.errors import StoreError
from taskdock.core.inputs import Value
from taskdock.core.intents import Body
from taskdock.services.rescuer import Rescuer
from unit.services.bench import PATIENCE_SECONDS, Bench

pytestmark = pytest.mark.anyio


async def test_a_claim_of_nobody_is_handed_back(bench: Bench) -> None:
    """What is claimed in the store and executed by nobody is claimed again, with the next issue."""
    task = await bench.task()
    (claimed,) = await bench.store.claim({"*": 1}, bench.clock.now(), {})
    assert claimed.intent.boundary == task
    async with bench.running():
        # The start has taken it back already; this is one more that nobody knows of.
        await bench.named(task)
    orphan = await bench.task(2)
    (claimed,) = await bench.store.claim({"naming": 1}, bench.clock.now(), {})
    assert claimed.intent.boundary == orphan
    assert await Rescuer(bench.store, bench.scheduler).rescue() >= 1
    (again,) = await bench.store.claim({"naming": 1}, bench.clock.now(), {})
    assert (again.intent.id, again.intent.issue) == (claimed.intent.id, claimed.intent.issue + 1)


async def test_what_is_executed_is_left_alone(bench: Bench) -> None:
    """An execution under way keeps its claim, however often one looks."""
    task = await bench.task()
    go = anyio.Event()

    async def wait(_: Body) -> Value:
        await go.wait()
        return inputs.NameEnsured("Thing", "thing", "main")

    bench.name = wait
    rescuer = Rescuer(bench.store, bench.scheduler)
    async with bench.running():
        await bench.begun()
        assert [await rescuer.rescue() for _ in range(3)] == [0, 0, 0]
        go.set()
        await bench.named(task)
    assert bench.runs == [f"{task}#1"]


async def test_a_cancelled_claim_of_nobody_frees_its_subject(bench: Bench) -> None:
    """A claim that was cancelled and is executed by nobody would keep its subject busy for ever; it is removed."""
    task = await bench.task()
    await bench.store.claim({"*": 1}, bench.clock.now(), {})
    await bench.workbench.kill_task(task, force=True)
    assert list(await bench.store.cancelled()) == [f"{task}#1"]
    assert await Rescuer(bench.store, bench.scheduler).rescue() == 1
    assert list(await bench.store.cancelled()) == []


async def test_a_claim_that_is_written_although_it_failed_is_found_at_once(bench: Bench) -> None:
    """When the store says that a claim failed and has written it all the same, the hook makes the rescuer look."""
    task = await bench.task()

    async def fail() -> None:
        raise StoreError("the answer was lost")

    bench.store.after_claim = fail
    rescuer = Rescuer(bench.store, bench.scheduler, interval_seconds=3600)
    bench.scheduler.on_doubt = rescuer.wake
    async with bench.running() as group:
        group.start_soon(rescuer.run)
        await bench.named(task)
    assert bench.runs == [f"{task}#1"]


async def test_a_claim_being_made_is_not_met_half_way(bench: Bench) -> None:
    """A claim that is durable and not noted yet is no lost one: the rescuer waits until it is noted."""
    task = await bench.task()
    go, claimed = anyio.Event(), anyio.Event()

    async def hold() -> None:
        claimed.set()
        await go.wait()

    bench.store.after_claim = hold
    rescued: list[int] = []

    async def rescue() -> None:
        rescued.append(await Rescuer(bench.store, bench.scheduler).rescue())

    with anyio.fail_after(PATIENCE_SECONDS):
        async with bench.running() as group:
            await claimed.wait()
            group.start_soon(rescue)
            await anyio.sleep(0.05)
            assert rescued == []
            go.set()
            await bench.named(task)
            while not rescued:  # noqa: ASYNC110 - it ends with the claim
                await anyio.sleep(0.005)
    assert rescued == [0]
    assert bench.runs == [f"{task}#1"]


async def test_a_store_that_fails_is_asked_again(bench: Bench) -> None:
    """A store that cannot be asked does not end the rescuer."""
    task = await bench.task()
    await bench.store.claim({"*": 1}, bench.clock.now(), {})
    ask, asked = bench.store.taken, 0

    async def fail_once() -> object:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise StoreError("not now")
        return await ask()

    bench.store.taken = fail_once  # type: ignore[method-assign, assignment]
    rescuer = Rescuer(bench.store, bench.scheduler, interval_seconds=0.01)
    async with anyio.create_task_group() as group:
        group.start_soon(rescuer.run)
        with anyio.fail_after(PATIENCE_SECONDS):
            while asked < 3:  # noqa: ASYNC110 - counted above
                await anyio.sleep(0.005)
        group.cancel_scope.cancel()
    assert await bench.next_claims() == [f"{task}#1"]
