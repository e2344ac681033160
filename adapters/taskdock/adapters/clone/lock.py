"""Lock: one writer per clone on this host, across processes, held on by every git that the writer started.

Owns: the flock beside a clone, and how long to wait for it.
Never: a lock file inside the clone; a sweep of git's own `*.lock` files would take it away.
Reads as: git.py -> this; process.py passes the descriptor on to git.

A git inherits the descriptor, so the lock outlives our death as long as that git runs. The lock is let go by name
(LOCK_UN), not by closing, because a helper that stays in the background may hold a copy of the descriptor for ever.
"""

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from attrs import frozen

from taskdock.adapters.clone.disk import on_disk
from taskdock.adapters.clone.orphans import end_orphans
from taskdock.core.errors import Transient

_FIRST_PAUSE_SECONDS = 0.01
_PAUSE_SECONDS_MAX = 0.25
# Reading all of /proc costs more than one try for the lock, and an orphan is there from the start or never.
_TRIES_PER_SEARCH = 8


@frozen
class RepoLock:
    """The held lock: its path and the open descriptor that gits inherit."""

    path: Path
    descriptor: int


@asynccontextmanager
async def hold(path: Path, timeout_seconds: float) -> AsyncIterator[RepoLock]:
    """Hold the lock at `path`; `Transient` when somebody alive keeps it for longer than `timeout_seconds`."""
    descriptor = await on_disk(os.open, path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with anyio.move_on_after(timeout_seconds) as deadline:
            await _wait(descriptor, path)
        if deadline.cancelled_caught:
            reason = (
                f"another job held the clone for more than {timeout_seconds:g} s; try again when it is done"
            )
            raise Transient(reason)
        yield RepoLock(path=path, descriptor=descriptor)
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


async def _wait(descriptor: int, path: Path) -> None:
    """Ask for the lock until it is ours: a blocking flock in a thread could neither be cancelled nor left behind."""
    pause = _FIRST_PAUSE_SECONDS
    tries = 0
    while not _try(descriptor):
        if tries % _TRIES_PER_SEARCH == 0:
            await on_disk(end_orphans, path)
        tries += 1
        await anyio.sleep(pause)
        pause = min(pause * 2, _PAUSE_SECONDS_MAX)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
