"""Scheduler's time: deadlines, pauses and lanes of minutes and hours, kept to the moment (in virtual time)."""

import anyio
import pytest

from taskdock.core import inputs
from taskdock.core.errors import Transient
from taskdock.core.inputs import Value
from taskdock.core.intents import Body, CreateSandbox, DestroySandbox, EnsureAgent, EnsureName
from taskdock.services.execution import Execution
from unit.services.bench import DAY, HOUR, MINUTE, Bench, during, fails, hang

pytestmark = pytest.mark.anyio

SOON = 1e-3
"""How exactly a moment is kept: times that are written down have microseconds."""


async def test_a_hanging_step_fails_at_its_deadline(bench: Bench) -> None:
    """A provider that never answers fails the step ten minutes after its first claim, with the reason."""
    task = await bench.task()
    bench.goes_well(CreateSandbox=hang)
    async with bench.running():
        assert await bench.until(lambda: bench.the_task(task).failure is not None) == 10 * MINUTE
    failure = bench.the_task(task).failure
    assert failure is not None
    assert failure.failure_class is inputs.FailureClass.DEADLINE
    assert failure.reason == "It did not end within 600 s over all attempts."
    assert bench.ran(CreateSandbox) == [0]


async def test_a_deadline_counts_over_all_attempts(bench: Bench) -> None:
    """Attempts that fail after four minutes each share the ten minutes; the third is cut short."""
    task = await bench.task()
    bench.goes_well(CreateSandbox=fails(Transient("busy"), after=4 * MINUTE))
    async with bench.running():
        at = await bench.until(lambda: bench.the_task(task).failure is not None)
    assert at == pytest.approx(10 * MINUTE, abs=SOON)
    first, second, third = bench.ran(CreateSandbox)
    assert first == 0
    assert second == pytest.approx(4 * MINUTE + 1, abs=0.3)
    assert third == pytest.approx(8 * MINUTE + 3, abs=0.9)


async def test_attempts_come_after_growing_pauses(bench: Bench) -> None:
    """The pauses between attempts are those that the core's figures say, each kept to the millisecond."""
    task = await bench.task()
    bench.goes_well(CreateSandbox=fails(Transient("busy")))
    async with bench.running():
        await bench.until(lambda: bench.the_task(task).failure is not None)
    expected = [0.0]
    for attempt in range(1, 5):
        pause = bench.figures.backoff(bench.ids()[attempt], attempt)
        expected.append(expected[-1] + pause.total_seconds())
    assert bench.ran(CreateSandbox) == pytest.approx(expected, abs=SOON)
    assert expected[-1] > 0.75 * (1 + 2 + 4 + 8)


async def test_a_provider_that_says_when_is_asked_then(bench: Bench) -> None:
    """A failure that names its own pause is tried again after it, and no sooner."""
    task = await bench.task()

    async def busy_once(_body: Body, _execution: Execution) -> Value:
        if len(bench.ran(CreateSandbox)) == 1:
            raise Transient("rate limit", retry_after_seconds=3.5 * MINUTE)
        return inputs.SandboxReady(adopted=False)

    bench.goes_well(CreateSandbox=busy_once, EnsureAgent=hang)
    async with bench.running():
        assert await bench.begun(EnsureAgent) == pytest.approx(3.5 * MINUTE, abs=SOON)
    assert bench.at(task).startswith("init_ensure_agent")


async def test_time_in_which_nobody_worked_does_not_count(bench: Bench) -> None:
    """A process that dies in the last minute of a step and is followed a day later leaves the next one all ten."""
    task = await bench.task()
    bench.goes_well(CreateSandbox=hang)
    async with bench.running():
        await anyio.sleep(9 * MINUTE)
    await anyio.sleep(DAY)
    later = bench.next_process()
    async with later.running():
        at = await later.until(lambda: bench.the_task(task).failure is not None)
    assert later.ran(CreateSandbox) == [9 * MINUTE + DAY]
    assert at == 19 * MINUTE + DAY


async def test_a_lost_hint_costs_a_minute_at_most(bench: Bench) -> None:
    """What another process commits without a word is found when the loop next looks: once a minute."""
    async with bench.running():
        await anyio.sleep(10 * MINUTE + 1)
        await bench.next_process().task()
        assert await bench.begun(EnsureName) == 11 * MINUTE


async def test_a_hint_costs_nothing(bench: Bench) -> None:
    """What this process commits is begun at once."""
    async with bench.running():
        await anyio.sleep(10 * MINUTE + 1)
        await bench.task()
        assert await bench.begun(EnsureName) == 10 * MINUTE + 1


async def test_an_idle_scheduler_looks_once_a_minute(bench: Bench) -> None:
    """Six hours without work cost a look a minute."""
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        bench.store.before_looking = look

    bench.store.before_looking = look
    async with bench.running():
        await anyio.sleep(6 * HOUR - 1)
    assert looks == pytest.approx(6 * HOUR / MINUTE, abs=1)


async def test_a_store_that_is_away_for_minutes_loses_no_outcome(bench: Bench) -> None:
    """What was done while the store was away is written when it is back, and not done again."""
    task = await bench.task()

    async def while_away(_body: Body, _execution: Execution) -> Value:
        bench.store.refuse["commit"] = 10_000
        return inputs.NameEnsured("Thing", "thing", "main")

    bench.acts[EnsureName] = while_away
    async with bench.running():
        await anyio.sleep(10 * MINUTE)
        assert not bench.the_task(task).is_named
        refused = 10_000 - bench.store.refuse["commit"]
        bench.store.refuse["commit"] = 0
        assert await bench.named(task) <= 10 * MINUTE + 5
    assert refused == pytest.approx(10 * MINUTE / 5, abs=6)
    assert bench.ran(EnsureName) == [0]


async def test_a_start_that_took_too_long_calls_nothing(bench: Bench) -> None:
    """When saying that the call follows takes ten seconds, the call is not made; the next attempt says it anew."""
    task = await bench.task()
    called: list[float] = []

    async def call(_body: Body, execution: Execution) -> Value:
        if not called and len(bench.ran(CreateSandbox)) == 1:
            bench.store.before_load = during(bench.figures.call_seconds)
        await execution.start()
        called.append(anyio.current_time())
        return inputs.SandboxReady(adopted=False)

    bench.goes_well(CreateSandbox=call, EnsureAgent=hang)
    async with bench.running():
        await bench.begun(EnsureAgent)
    assert bench.ran(CreateSandbox) == [0, called[0]]
    assert len(called) == 1
    assert called[0] == pytest.approx(10 + 1, abs=0.3)
    assert bench.at(task).startswith("init_ensure_agent")


async def test_a_start_in_time_calls(bench: Bench) -> None:
    """A moment before that, the call is made."""
    await bench.task()

    async def call(_body: Body, execution: Execution) -> Value:
        bench.store.before_load = during(bench.figures.call_seconds - SOON)
        await execution.start()
        return inputs.SandboxReady(adopted=False)

    bench.goes_well(CreateSandbox=call, EnsureAgent=hang)
    async with bench.running():
        assert await bench.begun(EnsureAgent) == pytest.approx(10 - SOON)
    assert bench.ran(CreateSandbox) == [0]


async def test_a_lane_runs_no_more_than_it_may(bench: Bench) -> None:
    """Ten sandboxes of five minutes each are made four at a time."""
    for number in range(10):
        await bench.task(number, workspace=f"w{number}")

    async def slowly(_body: Body, _execution: Execution) -> Value:
        await anyio.sleep(5 * MINUTE)
        return inputs.SandboxReady(adopted=False)

    bench.acts |= {CreateSandbox: slowly}
    bench.acts[EnsureName] = _own_name
    async with bench.running():
        await bench.begun(CreateSandbox, 10)
    assert bench.ran(CreateSandbox) == [0] * 4 + [5 * MINUTE] * 4 + [10 * MINUTE] * 2
    assert bench.ran(EnsureName) == [0] * 10


async def _own_name(_body: Body, execution: Execution) -> Value:
    """A name that no other task has."""
    return inputs.NameEnsured("Thing", execution.intent.boundary, "main")


async def test_a_kill_ends_what_hangs_and_waits_for_its_end(bench: Bench) -> None:
    """A create that is killed is told at once, whatever the store does; the sandbox is destroyed once it really ended."""
    task = await bench.task()
    told: list[float] = []

    async def stubborn(_body: Body, execution: Execution) -> Value:
        await execution.start()
        try:
            await anyio.sleep_forever()
        finally:
            told.append(anyio.current_time())
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2 * MINUTE)
        raise AssertionError

    bench.goes_well(CreateSandbox=stubborn)
    async with bench.running():
        await anyio.sleep(MINUTE)
        bench.store.before_looking = during(30)
        await bench.workbench.kill_task(task, force=True)
        assert await bench.begun(DestroySandbox) == 3 * MINUTE
    assert told == [MINUTE]


async def test_a_kill_from_another_process_is_seen_at_the_next_look(bench: Bench) -> None:
    """An execution that another process cancels without a hint ends when the loop next looks."""
    task = await bench.task()
    bench.goes_well(CreateSandbox=hang, DestroySandbox=hang)
    async with bench.running():
        await anyio.sleep(1.5 * MINUTE)
        await bench.next_process().workbench.kill_task(task, force=True)
        assert await bench.begun(DestroySandbox) == 2 * MINUTE


async def test_a_long_clone_has_its_hour(bench: Bench) -> None:
    """A clone of fifty-nine minutes ends well, and the task that waited for it goes on at that moment."""

    async def slowly(_body: Body, _execution: Execution) -> Value:
        await anyio.sleep(59 * MINUTE)
        return inputs.Cloned("main", "c0")

    bench.goes_well(CloneRepo=slowly, CreateSandbox=hang)
    async with bench.running():
        receipt = await bench.workbench.create_task(prompt="Do it", repo="https://git.example.org/acme/huge")
        assert await bench.begun(CreateSandbox) == 59 * MINUTE
    assert bench.at(receipt.task_id).startswith("init_create_sandbox")


async def test_a_clone_over_its_hour_is_told_to_who_waits(bench: Bench) -> None:
    """One of sixty-one fails at sixty, and its task is told."""
    bench.goes_well(CloneRepo=hang)
    async with bench.running():
        receipt = await bench.workbench.create_task(prompt="Do it", repo="https://git.example.org/acme/huge")
        at = await bench.until(lambda: bench.the_task(receipt.task_id).failure is not None)
    assert at == HOUR
