"""Locks: who works on a server now, and whether a supervisor still lives.

Owns: `guarded`, `ended`, and the deadline under which both wait.
Never: a pid trusted; a lock ends with its holder, a number may be another's.
Reads as: commands.py, services.py -> these -> flock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal

TYPE_CHECKING = False  # not typing's: it takes as long to import as all the rest
if TYPE_CHECKING:
    from collections.abc import Iterator

ALIVE = "alive"
_GUARD_SECONDS = 60.0
_OPEN = os.O_RDWR | os.O_CLOEXEC


class _Late(Exception):
    """The time is up."""


@contextlib.contextmanager
def guarded(folder: str) -> Iterator[None]:
    """Hold the one lock of a server, so that two who start it start one."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    guard = os.open(f"{folder}/guard", _OPEN | os.O_CREAT, 0o600)
    try:
        try:
            with _within(_GUARD_SECONDS):
                fcntl.flock(guard, fcntl.LOCK_EX)
        except _Late:
            raise OSError(errno.EBUSY, "another call works on this service") from None
        yield
    finally:
        os.close(guard)


def ended(folder: str, seconds: float = 0.0) -> bool:
    """Wait so long for the end of the supervisor there, and tell whether it has ended."""
    try:
        alive = os.open(f"{folder}/{ALIVE}", _OPEN)
    except FileNotFoundError:
        return True
    try:
        if seconds <= 0:
            fcntl.flock(alive, fcntl.LOCK_SH | fcntl.LOCK_NB)
        else:
            with _within(seconds):
                fcntl.flock(alive, fcntl.LOCK_SH)
    except (_Late, BlockingIOError):
        return False
    else:
        return True
    finally:
        os.close(alive)


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raise `_Late` inside when the time is up; a wait for a lock ends with it."""

    def ring(_number: int, _frame: object) -> None:
        raise _Late

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
