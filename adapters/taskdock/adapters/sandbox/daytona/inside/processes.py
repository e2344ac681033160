"""Processes: who descends from whom in the box, and the end of all of them.

Owns: `family`, `end_family`, `reap`.
Never: a process of somebody else's; those that have ended and wait for their parent do not count.
Reads as: supervisor.py -> these -> /proc.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time

_END_SECONDS = 10.0
_SETTLE_SECONDS = 0.005
_QUIET_LOOKS = 2


def family(root: int, mark: str) -> set[int]:
    """Who descends from the process, and who carries the mark (`NAME=value`) in its environment; without us."""
    parents: dict[int, int] = {}
    marked: set[int] = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (seen := _seen(entry, mark.encode())) is not None:
            parents[int(entry)] = seen[0]
            if seen[1]:
                marked.add(int(entry))
    below = {root} if root else set()
    while grown := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= grown
    return (marked | below) - {root, os.getpid()}


def end_family(root: int, mark: str) -> None:
    """Kill until two looks in a row find nobody: at the first one may be just being born."""
    give_up_at, quiet = time.monotonic() + _END_SECONDS, 0
    while quiet < _QUIET_LOOKS:
        if time.monotonic() > give_up_at:
            raise OSError(errno.EBUSY, "processes do not end")
        found = family(root, mark)
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        reap()
        quiet = 0 if found else quiet + 1
        time.sleep(_SETTLE_SECONDS)


def reap() -> dict[int, int]:
    """Collect the exits of those that are ours or came back to us: their status by pid."""
    gone: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while (one := os.waitpid(-1, os.WNOHANG))[0]:
            gone[one[0]] = one[1]
    return gone


def _seen(pid: str, mark: bytes) -> tuple[int, bool] | None:
    """The parent, and whether it carries the mark; None for one that has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            columns = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    if columns[0] in ("Z", "X"):
        return None
    try:
        with open(f"/proc/{pid}/environ", "rb") as environment:
            return int(columns[1]), mark in environment.read().split(b"\0")
    except OSError:
        return int(columns[1]), False
