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

    __slots__ = ("error", "result", "work")

    def __init__(self, work: Callable[..., _T]) -> None:
        self.work = work
        self.result: _T | None = None
        self.error: BaseException | None = None


class _Batch:
    """Submissions that go together, and the one event that tells all of them that they went."""

    __slots__ = ("done", "submissions")

    def __init__(self) -> None:
        self.submissions: list[Submission[Any]] = []
        self.done = anyio.Event()


CarryOut = Callable[[list[Any]], Callable[[], None] | None]
"""Gives every submission its result or error; what it returns is called in the event loop after all were told."""


class Batching:
    """One thread at a time; batches of up to `batch_max` submissions, in the order of their coming."""

    def __init__(self, carry_out: CarryOut, *, waiting_max: int, batch_max: int) -> None:
        self._carry_out = carry_out
        self._waiting_max = waiting_max
        self._batch_max = batch_max
        self._waiting: deque[_Batch] = deque()
        self._waiting_count = 0
        self._arrived = anyio.Event()
        self._closing = False
        self._limiter = anyio.CapacityLimiter(1)

    async def submit(self, submission: Submission[_T]) -> _T:
        """Wait for the result or raise the error; WaitingRoomFull when too much waits, StoreError once closed."""
        if self._closing:
            raise StoreError("The store is closed.")
        if self._waiting_count >= self._waiting_max:
            raise WaitingRoomFull(self._waiting_count, retry_after_seconds=_RETRY_AFTER_SECONDS)
        await self._join(submission).done.wait()
        if submission.error is not None:
            raise submission.error
        result: Any = submission.result
        answer: _T = result
        return answer

    def _join(self, submission: Submission[Any]) -> _Batch:
        """Give the last batch that waits, or a new one, a submission more."""
        if not self._waiting or len(self._waiting[-1].submissions) == self._batch_max:
            self._waiting.append(_Batch())
            self._arrived.set()
        batch = self._waiting[-1]
        batch.submissions.append(submission)
        self._waiting_count += 1
        return batch

    def close(self) -> None:
        """Take nothing more; `run` carries out what waits and returns."""
        self._closing = True
        self._arrived.set()

    async def run(self) -> None:
        """Carry out batch after batch until closed. Shielded: a cancelled host still gets done what it was promised."""
        batch: _Batch | None = None
        try:
            with anyio.CancelScope(shield=True):
                while batch := await self._next_batch():
                    work = batch.submissions
                    afterwards = await anyio.to_thread.run_sync(self._carry_out, work, limiter=self._limiter)
                    batch.done.set()
                    if afterwards is not None:
                        afterwards()
        finally:
            self._closing = True
            self._turn_away([*([] if batch is None else [batch]), *self._waiting])

    async def _next_batch(self) -> _Batch | None:
        """Wait for submissions; None once closed and empty."""
        while not self._waiting and not self._closing:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        if not self._waiting:
            return None
        batch = self._waiting.popleft()
        self._waiting_count -= len(batch.submissions)
        return batch

    def _turn_away(self, batches: list[_Batch]) -> None:
        for batch in batches:
            if batch.done.is_set():
                continue
            for submission in batch.submissions:
                submission.error = StoreError("The store stopped before this was done.")
            batch.done.set()
