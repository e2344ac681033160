"""Guard: the lock of one sandbox's folder, across threads, adapters and processes.

Owns: `held` and the rule by which a folder that was moved away lets its waiters start over.
Never: held while something answers over a network; a lock whose holder's death leaves it locked (the kernel frees it).
Reads as: folders.py, provider.py -> `held` -> flock on `<folder>/guard`.

Two rules make it safe to remove a folder that others wait for, and to die while starting a process in it:
Rule 1: a lock counts only while `<folder>/guard` is still the file that was locked. A destroyer renames the folder
        away under the lock, so whoever waited finds another file there, or none, and begins again.
Rule 2: a process is started under the lock. Between fork and exec the child holds the same lock through its copy of
        the descriptor, so when we die there, the next holder gets the lock only once the child shows its marker.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from taskdock.adapters.sandbox.local.patience import Patience
from taskdock.core.errors import Foreign, Transient

GUARD = "guard"
RECORD = "record.json"
WAIT_SECONDS = 30.0
"""Longest wait for a guard: well above what the longest holder takes (ten seconds, to end what does not end)."""
_PAUSE_SECONDS_MAX = 0.05


@contextmanager
def held(folder: Path, *, make: bool = False, shared: bool = False) -> Iterator[bool]:
    """Hold the guard of `folder`; the value says whether the folder is there (always true with `make`).

    `shared` holders exclude only exclusive ones. Only in a worker thread: it blocks, at most `WAIT_SECONDS`.
    Raises: `Transient` when the wait is over, `Foreign` when something that is not ours has the name.
    """
    patience = Patience(WAIT_SECONDS)
    descriptor = _lock(folder, make=make, shared=shared, patience=patience)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            # Not by close alone: a child that another thread is just starting may have a copy of the descriptor.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


def _lock(folder: Path, *, make: bool, shared: bool, patience: Patience) -> int | None:
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    pause_seconds = 0.001
    while True:
        descriptor = _open(folder, make=make)
        if descriptor is None and not make:
            return None
        if descriptor is not None:
            if _locked(descriptor, how) and _is_current(descriptor, folder):
                return descriptor
            os.close(descriptor)
        if patience.spent:
            raise Transient(
                f"The sandbox {folder.name} was busy for {WAIT_SECONDS:.0f} s.", retry_after_seconds=5
            )
        patience.pause(pause_seconds)
        pause_seconds = min(pause_seconds * 2, _PAUSE_SECONDS_MAX)


def _open(folder: Path, *, make: bool) -> int | None:
    """Open the guard; None when the folder is not there, or was taken away while we looked."""
    if make:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    create = os.O_CREAT if _is_ours(folder) else 0
    with suppress(FileNotFoundError):
        return os.open(folder / GUARD, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | create, 0o600)
    return None


def _is_ours(folder: Path) -> bool:
    """Whether the folder is one that we began: a guard or a record in it, or nothing at all yet.

    Raises: `Foreign` when it is something else, which must not get as much as a lock file.
    """
    try:
        # Asked once: between two questions it may be made or taken away.
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise Foreign(f"{folder} is in the way: it is no folder. Move it elsewhere.")
        inside = set(os.listdir(folder))  # noqa: PTH208 - the names are all that is wanted
    except FileNotFoundError:
        return False
    if inside and not inside & {GUARD, RECORD}:
        raise Foreign(f"{folder} is in the way: Taskdock did not make it. Move it elsewhere.")
    return True


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    return True


def _is_current(descriptor: int, folder: Path) -> bool:
    ours = os.fstat(descriptor)
    try:
        there = (folder / GUARD).lstat()
    except FileNotFoundError:
        return False
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
