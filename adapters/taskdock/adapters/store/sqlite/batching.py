"""Batching: what waits goes through one thread together, so that a hop there and back is paid once for all of it.

Owns: the bounded queue of submissions, the loop that takes what waits, and telling each caller what became of it.
Never: a submission without an answer; what cannot be carried out ends in an error for its caller.
Reads as: committer.py, readers.py -> `Batching.submit(submission)` -> `run` -> their `carry_out(batch)` on a thread.

A caller that is cancelled stops waiting; its submission is carried out all the same.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import anyio
import anyio.to_thread

from taskdock.adapters.store.sqlite.failures import WaitingRoomFull
from taskdock.core.errors import StoreError

_RETRY_AFTER_SECONDS = 1.0

_T = TypeVar("_T")


class Submission(Generic[_T]):
    """Work that waits, and later its result or its error."""

    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: Callable[..., _T]) -> None:
        self.work = work
        self.done = anyio.Event()
        self.result: _T | None = None
        self.error: BaseException | None = None


CarryOut = Callable[[list[Any]], Callable[[], None] | None]
"""Gives every submission its result or error; what it returns is called in the event loop after all were told."""


class Batching:
    """One thread at a time; batches of up to `batch_max` submissions, in the order of their coming."""

    def __init__(self, carry_out: CarryOut, *, waiting_max: int, batch_max: int) -> None:
        self._carry_out = carry_out
        self._waiting_max = waiting_max
        self._batch_max = batch_max
        self._waiting: deque[Submission[Any]] = deque()
        self._arrived = anyio.Event()
        self._closing = False
        self._limiter = anyio.CapacityLimiter(1)

    async def submit(self, submission: Submission[_T]) -> _T:
        """Wait for the result or raise the error; WaitingRoomFull when too much waits, StoreError once closed."""
        if self._closing:
            raise StoreError("The store is closed.")
        if len(self._waiting) >= self._waiting_max:
            raise WaitingRoomFull(len(self._waiting), retry_after_seconds=_RETRY_AFTER_SECONDS)
        self._waiting.append(submission)
        self._arrived.set()
        await submission.done.wait()
        if submission.error is not None:
            raise submission.error
        result: Any = submission.result
        answer: _T = result
        return answer

    def close(self) -> None:
        """Take nothing more; `run` carries out what waits and returns."""
        self._closing = True
        self._arrived.set()

    async def run(self) -> None:
        """Carry out batch after batch until closed. Shielded: a cancelled host still gets done what it was promised."""
        batch: list[Submission[Any]] = []
        try:
            with anyio.CancelScope(shield=True):
                while batch := await self._next_batch():
                    afterwards = await anyio.to_thread.run_sync(self._carry_out, batch, limiter=self._limiter)
                    for submission in batch:
                        submission.done.set()
                    if afterwards is not None:
                        afterwards()
        finally:
            self._closing = True
            self._turn_away([*batch, *self._waiting])

    async def _next_batch(self) -> list[Submission[Any]]:
        """Wait for submissions; an empty list once closed and empty."""
        while not self._waiting and not self._closing:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch_max))]

    def _turn_away(self, submissions: list[Submission[Any]]) -> None:
        for submission in submissions:
            if not submission.done.is_set():
                submission.error = StoreError("The store stopped before this was done.")
                submission.done.set()
