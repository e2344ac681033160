"""Patience: how long a worker thread may wait for something that cannot wake it.

Owns: `Patience`.
Never: a wait without a deadline, or one that outlives the task that asked.
Reads as: guard.py, ending.py, removal.py -> `Patience` -> anyio.from_thread.
"""

import time

from anyio import from_thread


class Patience:
    """A deadline for one piece of work in a worker thread; every pause also notices that the task was cancelled."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left_seconds(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self._end - time.monotonic())

    @property
    def spent(self) -> bool:
        """Whether the deadline has passed."""
        return self.left_seconds == 0.0

    def check(self) -> None:
        """Raise the event loop's own cancellation here when the task that waits for this thread was cancelled."""
        from_thread.check_cancelled()

    def pause(self, seconds: float) -> None:
        """Sleep for `seconds`, at most until the deadline."""
        self.check()
        time.sleep(min(seconds, self.left_seconds))
