"""Scheduler: it outlives its store's errors, misses no wake-up, and hands back what it cannot finish."""

import pytest

from taskdock.core import inputs
from taskdock.core.inputs import Failed, FailureClass, Value
from taskdock.core.intents import Body, EnsureName
from taskdock.services.execution import Execution
from taskdock.services.workbench import DEFAULT_WORKSPACE
from unit.services.bench import MINUTE, Bench, during

pytestmark = pytest.mark.anyio

NAMED = inputs.NameEnsured("Thing", "thing", "main")


async def test_a_claim_that_fails_is_made_again(bench: Bench) -> None:
    """A store that refuses claims for a while ends no scheduler: it is asked every five seconds until it takes one."""
    task = await bench.task()
    bench.store.refuse["claim"] = 3
    async with bench.running():
        assert await bench.named(task) == 15
    assert bench.store.refuse["claim"] == 0


async def test_an_outcome_is_kept_until_the_store_takes_it(bench: Bench) -> None:
    """An outcome that the store refuses is offered again, seldomer and seldomer, and its work is not done twice."""
    task = await bench.task()

    async def then_refuse(_body: Body, _execution: Execution) -> Value:
        bench.store.refuse["commit"] = 9
        return NAMED

    bench.acts[EnsureName] = then_refuse
    async with bench.running():
        assert await bench.named(task) == pytest.approx(0.1 + 0.2 + 0.4 + 0.8 + 1.6 + 3.2 + 5 + 5 + 5)
    assert bench.store.refuse["commit"] == 0
    assert bench.ran(EnsureName) == [0]


async def test_what_comes_due_during_a_claim_is_not_slept_over(bench: Bench) -> None:
    """An intent whose time comes after the claim looked and before the sleep began is claimed at once."""
    task = await bench.task()
    failed = Failed(FailureClass.TRANSIENT, "once")
    (claimed,) = await bench.store.claim({"*": 1}, bench.clock.now(), {})
    await bench.stepper.apply(task, inputs.OutcomeReported(claimed.intent.id, claimed.intent.issue, failed))
    assert await bench.store.next_due_at(bench.clock.now()) is not None
    # The loop has read the clock for its claim already when this begins: after it, it is late.
    bench.store.before_looking = during(5 * MINUTE)
    async with bench.running():
        assert await bench.named(task) == 5 * MINUTE


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
