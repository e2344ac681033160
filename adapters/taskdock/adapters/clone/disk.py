"""Disk: the few things done to files of our own, off the event loop and with errors that a user can read.

Owns: `on_disk`, and what an `OSError` means in Taskdock's errors.
Never: a file inside a clone's `.git` but git's own left-over locks.
Reads as: git.py, clone.py, lock.py, process.py -> this.
"""

import errno
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import anyio.to_thread

from taskdock.core.errors import Permanent, PortError, Transient

_Answer = TypeVar("_Answer")
_Arguments = TypeVarTuple("_Arguments")

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_PASSING = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBUSY, errno.ENOTEMPTY})


async def on_disk(function: Callable[[*_Arguments], _Answer], *arguments: *_Arguments) -> _Answer:
    """Run a blocking function in a thread, to its end even when cancelled; its `OSError` becomes a `PortError`."""
    try:
        return await anyio.to_thread.run_sync(function, *arguments)
    except OSError as error:
        raise disk_failure(error) from error


def disk_failure(error: OSError) -> PortError:
    """Say what an error of the operating system means for clones: a full disk and a wrong folder need somebody."""
    if error.errno in _FULL:
        return Permanent("the disk is full; make room, then retry")
    what = f"the files of the clones cannot be used: {error.strerror or type(error).__name__}"
    return Transient(what) if error.errno in _PASSING else Permanent(what)
