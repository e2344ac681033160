"""Orphans: gits that outlived the process that started them, found by their marker and ended.

Owns: the search through /proc for gits of a dead owner under one lock.
Never: a process whose owner lives, is of another pid namespace, or cannot be told; those are waited for.
Reads as: lock.py (the lock is busy) -> this.

Where there is no /proc nothing is found: such a git is waited for within the deadline of the lock. It does no harm
meanwhile, because what it writes to is replaced only under the lock that it still holds.
"""

import os
import re
import signal
from contextlib import suppress
from pathlib import Path

from taskdock.adapters.clone.environment import OWNER_VARIABLE, pid_namespace, process_start

_MARKER = re.compile(r"(?P<space>[^/]+)/(?P<owner>\d+)/(?P<start>\d+)/(?P<path>.+)", re.DOTALL)


def end_orphans(lock_path: Path) -> int:
    """Kill every surviving git of a dead owner under this lock; gives how many. Blocking: call it in a thread."""
    return sum(_end(pid, lock_path) for pid in _processes())


def _processes() -> list[int]:
    try:
        entries = list(Path("/proc").iterdir())
    except OSError:
        return []
    return [int(entry.name) for entry in entries if entry.name.isdecimal()]


def _end(pid: int, lock_path: Path) -> bool:
    """Kill one process if it is an orphan; the handle is opened first, so a reused pid cannot be hit."""
    try:
        handle = os.pidfd_open(pid)
    except (OSError, AttributeError):
        return False
    try:
        if not _is_orphan(pid, lock_path):
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        return True
    finally:
        os.close(handle)


def _is_orphan(pid: int, lock_path: Path) -> bool:
    """Tell whether the process carries our marker for this lock and names an owner that is gone."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    prefix = f"{OWNER_VARIABLE}=".encode()
    marker = next((os.fsdecode(v[len(prefix) :]) for v in variables if v.startswith(prefix)), None)
    match = _MARKER.fullmatch(marker or "")
    if match is None or match["space"] != pid_namespace() or match["path"] != str(lock_path):
        return False
    return process_start(int(match["owner"])) != int(match["start"])
