"""Lock: who in a namespace holds the sandbox's lock file, asked of the kernel.

Owns: `holder`.
Never: a lock taken here; only the first process of each namespace holds one, from before anything else runs in it.
Reads as: ending.py, provider.py -> `holder` -> fcntl.

A POSIX lock cannot be handed on to a child, ends with its process, and the kernel names that process in our own terms.
It is one of three ways to find what runs (the records and the marker are the others), so losing one loses nothing.
"""

import fcntl
import os
import struct
from pathlib import Path

_FLOCK = struct.Struct("hhqqi4x")


def holder(lock: Path) -> int | None:
    """Return the pid of one process that holds the lock, None when there is none or no such file."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else int(pid)
