"""Virtual time: event loops whose clock jumps to the next timer whenever nothing is ready, so hours pass in milliseconds.

Owns: `run`, `backend_options`, `VirtualLoop`, `VirtualClock`, `NothingLeft`, `TimeStands`.
Never: waits for real time; and nothing outside the event loop has a place in it (below).
Reads as: a test -> `run`, or a fixture `anyio_backend` -> anyio on asyncio or trio -> the real services, unchanged.

    assert virtual_time.run(my_test, backend="trio") is None

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(request):
        return request.param, virtual_time.backend_options(request.param)

Time passes only while every task of the loop waits, and then all at once. Threads, processes and sockets are invisible to
it: while one of them works, every task waits, so an hour may pass before its answer. Use `MemoryStore` and ports that
answer from memory. When every task waits and no timer is set, nothing can ever happen again: that is `NothingLeft`, where
real time would hang. Something that looks again and again, as a scheduler does each minute, always has a timer: bound what
waits beside it with `anyio.fail_after`, which costs no time here.
"""

import asyncio
import math
import selectors
import time
from collections.abc import Awaitable, Callable, Iterable
from contextvars import Context
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, TypeVarTuple

import anyio

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""When virtual time begins, for those who do not care."""
_RESOLUTION_SECONDS = time.get_clock_info("monotonic").resolution
_ID_CHARACTERS = 20
_TASKS_NAMED_MAX = 20


class NothingLeft(RuntimeError):
    """Every task waits and no timer is set: in real time this would hang for ever."""

    def __init__(self, waiting: Iterable[str]) -> None:
        """Name the tasks that wait."""
        names = sorted(waiting)
        told = ", ".join(names[:_TASKS_NAMED_MAX]) + (", …" if len(names) > _TASKS_NAMED_MAX else "")
        super().__init__(
            f"Every task waits and no timer is set, so nothing can happen any more. Waiting: {told}. Look for an event "
            "that nobody sets. What waits for a thread, a process or a socket cannot be tested in virtual time: give it "
            "the store in memory and ports that answer from memory, or run it in real time."
        )


class TimeStands(RuntimeError):
    """So much happened without any time passing that it will go on like this for ever."""

    def __init__(self, turns: int, seconds: float) -> None:
        super().__init__(
            f"time stands still at {seconds:g} s: something went on for {turns} turns in no time"
        )


def run(
    async_fn: Callable[[*Arguments], Awaitable[Result]],
    *args: *Arguments,
    backend: str = "asyncio",
) -> Result:
    """Run `async_fn(*args)` to its end in virtual time that begins at 0, and return what it returns."""
    try:
        return anyio.run(async_fn, *args, backend=backend, backend_options=backend_options(backend))
    except Exception as error:
        # Trio wraps what its instruments raise as an error of its own.
        if isinstance(group := error.__cause__, BaseExceptionGroup) and (left := _left_in(group)) is not None:
            raise left from None
        raise


def backend_options(backend: str) -> dict[str, Any]:
    """What anyio is given to run `asyncio` or `trio` in virtual time; fresh ones for each run."""
    if backend == "asyncio":
        return {"loop_factory": VirtualLoop}
    if backend == "trio":
        import trio.testing  # noqa: PLC0415 - who has asyncio only has no trio

        return {"clock": trio.testing.MockClock(autojump_threshold=0), "instruments": [_TrioWatch()]}
    raise ValueError(f"there is no event loop {backend!r}: say asyncio or trio")


class VirtualClock:
    """Implements `Clock` in virtual time: the loop's time since `epoch`, and ids that are counted.

    It can be read inside of a running loop only.
    """

    def __init__(self, epoch: datetime = EPOCH) -> None:
        self._epoch = epoch
        self._made = 0

    def now(self) -> datetime:
        """The epoch, and the virtual time since then."""
        return self._epoch + timedelta(seconds=anyio.current_time())

    def new_id(self, kind: str) -> str:
        """Make `<kind>-00000000000000000001` and so on: the same ids in each run."""
        self._made += 1
        return f"{kind}-{self._made:0{_ID_CHARACTERS}d}"


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop in virtual time, from 0 on.

    With `turns_max` it raises `TimeStands` from whatever runs it, after so many turns in which no time passed.
    """

    def __init__(self, turns_max: float = math.inf) -> None:
        self._virtual_seconds = 0.0
        self._turns_max = turns_max
        self._turns = 0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """The virtual time in seconds."""
        return self._virtual_seconds

    def call_at(
        self,
        when: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer; one that is never due is no timer, for time would run after it for ever."""
        if when == math.inf:
            return _NeverDue(when, callback, args, self, context)
        return super().call_at(when, callback, *args, context=context)

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self._turns = 0
        due = self._virtual_seconds + seconds
        # The loop takes a timer as due once it is the clock's resolution past it, which a large float cannot express.
        self._virtual_seconds = due if due + _RESOLUTION_SECONDS > due else math.nextafter(due, math.inf)

    def turn(self) -> None:
        """Go round once more without letting time pass."""
        self._turns += 1
        if self._turns > self._turns_max:
            turns, self._turns = self._turns, 0
            raise TimeStands(turns, self._virtual_seconds)

    def waiting(self) -> list[str]:
        """The names of the tasks that are there."""
        return [task.get_name() for task in asyncio.all_tasks(self)]


class _NeverDue(asyncio.TimerHandle):
    """What a caller may cancel; the loop knows nothing of it."""

    def cancel(self) -> None:
        asyncio.Handle.cancel(self)


class _Jumping(selectors.DefaultSelector):
    """Looks at what is ready, and lets time pass instead of waiting for more."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now. `timeout` is how long until the next timer; None when there is none."""
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise NothingLeft(self._loop.waiting())
        if timeout > 0:
            self._loop.jump(timeout)
        else:
            self._loop.turn()
        return ready


class _TrioWatch:
    """An instrument: ends a trio run in which nothing is left, since trio's own clock would look again for ever."""

    def __init__(self) -> None:
        self._was_idle = False
        self._told = False

    def before_task_step(self, _task: object) -> None:
        """Something happens."""
        self._was_idle = False

    def after_io_wait(self, _timeout: float) -> None:
        """Nothing came twice, with no step between (what waits for all others to wait gets its step after the first)."""
        import trio  # noqa: PLC0415 - as above

        seen = trio.lowlevel.current_statistics()
        is_idle = (
            seen.tasks_runnable == 0
            and seen.run_sync_soon_queue_size == 0
            and seen.seconds_to_next_deadline == math.inf
        )
        if is_idle and self._was_idle and not self._told:
            self._told = True
            trio.lowlevel.spawn_system_task(_end, NothingLeft(_trio_tasks()), name="virtual time")
        self._was_idle = is_idle


async def _end(error: NothingLeft) -> None:
    raise error


def _left_in(error: BaseException) -> NothingLeft | None:
    """The first NothingLeft in a group of groups."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for one in error.exceptions if (found := _left_in(one)) is not None), None)
    return error if isinstance(error, NothingLeft) else None


def _trio_tasks() -> list[str]:
    """The names of the tasks that are there, trio's own left out."""
    import trio  # noqa: PLC0415 - as above

    root = trio.lowlevel.current_root_task()
    found: list[str] = []
    left = [task for nursery in (root.child_nurseries if root else ()) for task in nursery.child_tasks]
    own = {task.name for task in left if task.name.startswith(("<", "trio."))}
    while left:
        task = left.pop()
        found.append(task.name)
        left += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return [name for name in found if name not in own]
