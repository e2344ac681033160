"""Capacity: a workspace with too much waiting is told when to come back, and everything else goes on."""

import anyio
import pytest

from taskdock.core.errors import CapacityExceeded
from taskdock.services.capacity import Capacity
from unit.services.bench import Bench

pytestmark = pytest.mark.anyio


def bounded(bench: Bench, open_intents_max: int) -> Bench:
    """Bound what waits."""
    bench.stepper.capacity = Capacity(bench.store, open_intents_max)
    return bench


async def test_a_full_workspace_takes_no_more_work(bench: Bench) -> None:
    """Creating, opening and sending are turned away with a hint, leaving no row; ending is not, and makes room."""
    bounded(bench, 3)
    tasks = [await bench.task(number) for number in range(3)]
    before = bench.store.data.position
    tab = next(iter(bench.store.data.rows["tab"]))
    for refused in (
        bench.task(4),
        bench.workbench.open_tab(tasks[0]),
        bench.workbench.send(tab, "More"),
        bench.workbench.add_repo("https://git.example.org/acme/other"),
    ):
        with pytest.raises(CapacityExceeded, match="3 intents waiting, as many as it may") as caught:
            await refused
        assert caught.value.retry_after_seconds > 0
    assert bench.store.data.position == before
    await bench.workbench.kill_task(tasks[0], force=True)
    await bench.task(5)


async def test_one_workspace_does_not_fill_another(bench: Bench) -> None:
    """The bound is for each workspace by itself."""
    bounded(bench, 2)
    for number in range(2):
        await bench.task(number)
    with pytest.raises(CapacityExceeded):
        await bench.task(3)
    await bench.task(1, workspace="other")


async def test_a_repeated_request_gets_its_answer_from_a_full_workspace(bench: Bench) -> None:
    """The key of a request that was taken repeats its receipt, however full the workspace is by now."""
    bounded(bench, 2)
    first = await bench.task(1, key="click")
    await bench.task(2)
    with pytest.raises(CapacityExceeded):
        await bench.task(3)
    assert await bench.task(1, key="click") == first


async def test_counting_is_rare(bench: Bench) -> None:
    """A hundred creates far below the bound count what waits once, and the bound is kept to the last one."""
    bounded(bench, 1_000)
    await bench.task(0)
    bench.store.counted = 0
    for number in range(100):
        await bench.task(number)
    assert bench.store.counted == 0
    bounded(bench, 110)
    for number in range(110 - 101):
        await bench.task(number)
    with pytest.raises(CapacityExceeded):
        await bench.task(110)


async def test_a_count_is_trusted_for_a_second(bench: Bench) -> None:
    """What another process adds or ends is seen a second later at most, and not asked for before that."""
    bounded(bench, 100)
    other = bench.next_process()
    await bench.task(0)
    await anyio.sleep(0.9)
    await bench.task(1)
    assert bench.store.counted == 1
    for number in range(2, 100):
        await other.task(number)
    await bench.task(100)
    assert bench.store.counted == 1
    await anyio.sleep(0.1)
    with pytest.raises(CapacityExceeded) as caught:
        await bench.task(101)
    assert bench.store.counted == 2
    assert caught.value.retry_after_seconds == 5
