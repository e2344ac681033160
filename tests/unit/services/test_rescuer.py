"""Rescuer: claims that nobody carries out are handed back, and no others."""

import anyio
import pytest

from taskdock.core import inputs
from taskdock.core.errors import StoreError
from taskdock.core.inputs import Value
from taskdock.core.intents import Body, CloneRepo, EnsureName
from taskdock.services.execution import Execution
from taskdock.services.rescuer import Rescuer
from unit.services.bench import MINUTE, Bench

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

    async def wait(_body: Body, _execution: Execution) -> Value:
        await go.wait()
        return inputs.NameEnsured("Thing", "thing", "main")

    bench.acts[EnsureName] = wait
    rescuer = Rescuer(bench.store, bench.scheduler)
    async with bench.running():
        await bench.begun(EnsureName)
        assert [await rescuer.rescue() for _ in range(3)] == [0, 0, 0]
        go.set()
        await bench.named(task)
    assert bench.ids()[:1] == [f"{task}#1"]


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
        # The scheduler's own pause after the failure, no more.
        assert await bench.named(task) == 5
    assert bench.ids()[:1] == [f"{task}#1"]


async def test_a_claim_of_nobody_is_found_within_a_minute(bench: Bench) -> None:
    """A claim that got lost without a sign is handed back at the rescuer's next look, and carried out then."""
    task = await bench.task()
    rescuer = Rescuer(bench.store, bench.scheduler)
    async with bench.running() as group:
        group.start_soon(rescuer.run)
        await bench.named(task)
        await anyio.sleep(3 * MINUTE + 1)
        orphan = await bench.repo_claimed_by_nobody()
        assert await bench.until(lambda: bench.ran(CloneRepo) != []) == 4 * MINUTE
    assert bench.ids()[-1] == f"{orphan}#1"


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

    async with bench.running() as group:
        await claimed.wait()
        group.start_soon(rescue)
        await anyio.sleep(20)
        assert rescued == []
        go.set()
        await bench.named(task)
        await anyio.wait_all_tasks_blocked()
    assert rescued == [0]
    assert bench.ids()[:1] == [f"{task}#1"]


async def test_a_store_that_fails_is_asked_again(bench: Bench) -> None:
    """A store that cannot be asked does not end the rescuer: it looks again a minute later."""
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
    async with anyio.create_task_group() as group:
        group.start_soon(Rescuer(bench.store, bench.scheduler).run)
        await anyio.sleep(3.5 * MINUTE)
        group.cancel_scope.cancel()
    assert asked == 3
    assert await bench.next_claims() == [f"{task}#1"]
