"""Lock: the file lock that makes one process the scheduler's.

Owns: the descriptor that holds it.
Never: waiting for it, and never its file's removal; a removed lock file would be held twice.
Reads as: unix.py -> `SeatLock.take` -> flock.

When the process dies, the kernel lets the lock go with the last copy of the descriptor. Programs that are started get none,
but a process that merely forks would hold it on.
"""

import fcntl
import os
from pathlib import Path

from taskdock.core.errors import Permanent


class SeatLock:
    """An exclusive flock on one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this process holds it."""
        return self._descriptor is not None

    def take(self) -> bool:
        """Try to get it, now; True also when it is held already. Permanent when the file cannot be made."""
        if self._descriptor is not None:
            return True
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Permanent(f"the seat's lock {self._path} cannot be opened: {error.strerror}") from error
        if not _lock(descriptor) or not self._is_the_file(descriptor):
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let it go; idempotent."""
        if self._descriptor is not None:
            # By name, for a program that is just being started has a copy until its exec is done.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None

    def _is_the_file(self, descriptor: int) -> bool:
        """Whether the path still names what was locked; somebody may have removed or replaced the file in between."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
