"""Virtual time: hours pass at once, in order, and what would hang says so."""

import asyncio
import math
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest
import trio.testing

from taskdock.testing import virtual_time
from taskdock.testing.virtual_time import EPOCH, NothingLeft, TimeStands, VirtualClock, VirtualLoop

if TYPE_CHECKING:
    from taskdock.ports.clock import Clock

YEAR_SECONDS = 365 * 86_400.0
REAL_SECONDS_MAX = 120


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    """Name the event loop."""
    name: str = request.param
    return name


@pytest.fixture
def in_virtual_time(backend: str) -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    """Run a function in virtual time."""
    return lambda async_fn: virtual_time.run(async_fn, backend=backend)


@pytest.fixture(autouse=True)
def _bounded_in_real_time() -> Iterator[None]:
    """End a test whose virtual time runs on for ever; nothing in it could."""

    def end(*_: object) -> None:
        raise AssertionError(f"still running after {REAL_SECONDS_MAX} s of real time")

    before = signal.signal(signal.SIGALRM, end)
    # Again each second: what is raised in an instrument of trio's, trio only logs.
    signal.setitimer(signal.ITIMER_REAL, REAL_SECONDS_MAX, 1)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


Runs = Callable[[Callable[[], Awaitable[Any]]], Any]


def test_a_year_passes_at_once(in_virtual_time: Runs) -> None:
    """A sleep of a year ends a year later by the loop's clock, and at once by the wall's."""

    async def sleep() -> tuple[float, float]:
        begun = anyio.current_time()
        await anyio.sleep(YEAR_SECONDS)
        return begun, anyio.current_time()

    real = time.perf_counter()
    assert in_virtual_time(sleep) == (0.0, pytest.approx(YEAR_SECONDS))
    assert time.perf_counter() - real < 60


def test_it_returns_and_takes_arguments(backend: str) -> None:
    """Arguments go in, the result comes out, and an error comes out as itself."""

    async def divide(by: int) -> float:
        await anyio.sleep(1)
        return 6 / by

    assert virtual_time.run(divide, 3, backend=backend) == 2
    with pytest.raises(ZeroDivisionError):
        virtual_time.run(divide, 0, backend=backend)


def test_timers_fire_in_their_order(in_virtual_time: Runs) -> None:
    """Whoever sleeps less wakes first, at its own time, however they were started; nobody's time runs ahead."""

    async def sleepers() -> list[tuple[float, float]]:
        woken: list[tuple[float, float]] = []

        async def sleeper(seconds: float) -> None:
            await anyio.sleep(seconds)
            woken.append((seconds, anyio.current_time()))

        async with anyio.create_task_group() as group:
            for seconds in (7_200.0, 0.001, 86_400.0, 60.0, 3_600.0):
                group.start_soon(sleeper, seconds)
        return woken

    woken = in_virtual_time(sleepers)
    assert [seconds for seconds, _ in woken] == [0.001, 60.0, 3_600.0, 7_200.0, 86_400.0]
    assert [at for _, at in woken] == pytest.approx([seconds for seconds, _ in woken])


def test_no_time_passes_while_somebody_works(in_virtual_time: Runs) -> None:
    """A thousand turns between tasks take no time; the deadline beside them does not come nearer."""

    async def work() -> float:
        with anyio.fail_after(0.001):
            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(_turns, 100)
        return anyio.current_time()

    assert in_virtual_time(work) == 0.0


async def _turns(count: int) -> None:
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


def test_a_deadline_cuts_an_endless_wait(in_virtual_time: Runs) -> None:
    """What would wait for ever ends at its deadline, and at no other time."""

    async def wait() -> tuple[bool, float]:
        with anyio.move_on_after(3_600) as scope:
            await anyio.sleep_forever()
        return scope.cancelled_caught, anyio.current_time()

    assert in_virtual_time(wait) == (True, 3_600.0)


def test_a_timer_is_due_however_late_it_is(in_virtual_time: Runs) -> None:
    """After ten years, where a float is coarser than the loop's clock, a timer still fires once it is due."""

    async def sleep_long() -> float:
        for _ in range(3):
            await anyio.sleep(10 * YEAR_SECONDS)
            await anyio.sleep(1)
        return anyio.current_time()

    assert in_virtual_time(sleep_long) == pytest.approx(30 * YEAR_SECONDS + 3)


def test_what_would_hang_says_so_and_names_who_waits(in_virtual_time: Runs) -> None:
    """When all wait and no timer is set, the run ends with an error that names them, and lets them clean up."""
    cleaned: list[str] = []

    async def wait(event: anyio.Event) -> None:
        try:
            await event.wait()
        finally:
            cleaned.append("cleaned")

    async def deadlock() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(wait, anyio.Event(), name="the one who waits")
            await anyio.sleep(60)
            await anyio.sleep_forever()

    with pytest.raises(NothingLeft, match=r"no timer is set.*the one who waits.*store in memory"):
        in_virtual_time(deadlock)
    assert cleaned == ["cleaned"]


def test_waiting_for_all_others_is_no_hang(in_virtual_time: Runs) -> None:
    """`wait_all_tasks_blocked` returns in virtual time too, without time passing."""

    async def wait() -> float:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.Event().wait)
            for _ in range(3):
                await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        return anyio.current_time()

    assert in_virtual_time(wait) <= 1


def test_a_timer_that_never_fires_can_be_cancelled() -> None:
    """A timer at infinity counts as none, and may be cancelled like any."""

    async def cancel() -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_at(math.inf, lambda: None)
        assert timer.when() == math.inf
        assert not timer.cancelled()
        timer.cancel()
        assert timer.cancelled()
        await asyncio.sleep(1)

    virtual_time.run(cancel)


def test_what_is_there_is_seen_before_time_passes(in_virtual_time: Runs) -> None:
    """A socket that has something to read already is no reason to wait; one that gets it later is outside of it."""

    async def read() -> tuple[float, float]:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            with anyio.move_on_after(3_600):
                await anyio.wait_writable(ours)
            writable_at = anyio.current_time()
            with anyio.move_on_after(3_600):
                await anyio.wait_readable(ours)
        return writable_at, anyio.current_time()

    assert in_virtual_time(read) == (0, 3_600)


def test_a_thread_is_outside_of_it(in_virtual_time: Runs) -> None:
    """While a thread works every task waits: all of an hour passes before an answer of some milliseconds."""

    async def ask() -> bool:
        with anyio.move_on_after(3_600) as scope:
            await anyio.to_thread.run_sync(time.sleep, 0.05, abandon_on_cancel=True)
        return scope.cancelled_caught

    assert in_virtual_time(ask)


def test_only_two_loops_are_known() -> None:
    """Another name is refused with those that there are."""
    with pytest.raises(ValueError, match="say asyncio or trio"):
        virtual_time.backend_options("curio")


def test_each_run_has_fresh_options() -> None:
    """A second run begins at 0 again; trio's clock and its watch are not shared."""
    first, second = (virtual_time.backend_options("trio") for _ in range(2))
    assert isinstance(first["clock"], trio.testing.MockClock)
    assert first["clock"] is not second["clock"]
    assert first["instruments"] != second["instruments"]
    assert virtual_time.backend_options("asyncio") == {"loop_factory": VirtualLoop}


class TestAsAFixture:
    """The same through anyio's pytest plugin, as the module's docstring shows."""

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
        """Run the tests of this class in virtual time."""
        return request.param, virtual_time.backend_options(request.param)

    @pytest.mark.anyio
    async def test_hours_pass(self) -> None:
        """A test sleeps for hours."""
        await anyio.sleep(36_000)
        assert anyio.current_time() == 36_000

    @pytest.mark.anyio
    async def test_the_next_test_begins_anew(self) -> None:
        """Each test has its own time."""
        assert anyio.current_time() == 0


def test_a_test_that_hangs_fails_with_the_reason(pytester: pytest.Pytester) -> None:
    """Under pytest too a hang is told on both loops, and the tests after it run."""
    pytester.makepyfile(
        """
        import anyio, pytest
        from taskdock.testing import virtual_time

        @pytest.fixture(params=["asyncio", "trio"])
        def anyio_backend(request):
            return request.param, virtual_time.backend_options(request.param)

        @pytest.mark.anyio
        async def test_hangs():
            await anyio.Event().wait()

        @pytest.mark.anyio
        async def test_goes_on():
            await anyio.sleep(3600)
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=2, passed=2)
    assert result.stdout.str().count("no timer is set, so nothing can happen any more") >= 2


def test_the_clock_is_the_loop_and_an_epoch(in_virtual_time: Runs) -> None:
    """It fits the port: aware times that pass with the loop, to the microsecond."""

    async def read() -> list[Any]:
        clock: Clock = VirtualClock()
        seen: list[Any] = [clock.now()]
        for seconds in (0.000_001, 3_600.0):
            await anyio.sleep(seconds)
            seen.append(clock.now())
        return seen

    assert in_virtual_time(read) == [
        EPOCH,
        EPOCH + timedelta(microseconds=1),
        EPOCH + timedelta(hours=1, microseconds=1),
    ]


def test_the_clock_begins_where_it_is_told(in_virtual_time: Runs) -> None:
    """An epoch of one's own."""

    async def read() -> Any:  # noqa: ANN401 - a time
        return VirtualClock(EPOCH + timedelta(days=9)).now()

    assert in_virtual_time(read) == EPOCH + timedelta(days=9)


def test_ids_are_counted() -> None:
    """Ids have the port's shape, rise, and are the same in each run; outside of a loop as well."""
    first, second = VirtualClock(), VirtualClock()
    made = [first.new_id("task") for _ in range(1_000)]
    assert made == [second.new_id("task") for _ in range(1_000)]
    assert made == sorted(set(made))
    assert made[0] == "task-00000000000000000001"
    assert first.new_id("tab") == "tab-00000000000000001001"


def test_what_goes_on_in_no_time_is_told() -> None:
    """A loop that was given a bound raises when so many turns bring no time, and counts anew once some has passed."""

    async def turn(times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(0)

    async def turn_with_pauses() -> None:
        for _ in range(5):
            await turn(60)
            await asyncio.sleep(1)

    loop = VirtualLoop(turns_max=100)
    try:
        loop.run_until_complete(turn_with_pauses())
        endless = loop.create_task(turn(1_000))
        with pytest.raises(TimeStands, match="at 5 s: something went on for 101 turns"):
            loop.run_until_complete(endless)
        endless.cancel()
        loop.run_until_complete(asyncio.wait([endless]))
    finally:
        loop.close()
