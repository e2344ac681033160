"""Ending: stops every process of a sandbox, of a service or of a command, and waits until none is left.

Owns: `end_processes`, `kill_at_once`, `end_holders`.
Never: a signal to a pid that may have come round again (each goes through a pidfd whose start time was checked).
Reads as: provider.py, services.py, commands.py -> `end_processes` -> process_table.py, the kernel.

A process may start others while it is being ended, so the table is read again until it shows none twice in a row. The
second reading, a moment later, is for a process that was between fork and exec at the first: it showed no marker yet.
"""

import os
import select
import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from taskdock.adapters.sandbox.local import children
from taskdock.adapters.sandbox.local.lock import holder
from taskdock.adapters.sandbox.local.patience import Patience
from taskdock.adapters.sandbox.local.process_table import Process, ProcessKey, ProcessTable
from taskdock.core.errors import Transient

END_SECONDS = 10.0
"""Longest time for all rounds together."""
_SETTLE_SECONDS = 0.02
_WATCHED_MAX = 64


def end_processes(
    table: ProcessTable,
    marks: frozenset[bytes],
    leaders: Iterable[ProcessKey] = (),
    *,
    grace_seconds: float = 0.0,
) -> None:
    """End the family of `marks` and `leaders`: asked by SIGTERM for `grace_seconds`, then SIGKILL. In a worker thread.

    Idempotent. Raises: `Transient` when some are still there after `END_SECONDS`.
    """
    leaders = tuple(leaders)
    patience, grace = Patience(END_SECONDS), Patience(grace_seconds)
    asked: set[tuple[int, int]] = set()
    empty_before = False
    while True:
        family = table.family(marks, leaders)
        if not family and (empty_before or not table.available):
            return
        empty_before = not family
        if empty_before:
            patience.pause(_SETTLE_SECONDS)
            continue
        if patience.spent:
            pids = ", ".join(str(pid) for pid in sorted(family)[:5])
            raise Transient(
                f"{len(family)} processes did not end within {END_SECONDS:.0f} s, among them {pids}."
            )
        if grace.spent:
            _signal(table, family, leaders, signal.SIGKILL)
            _await_exits(family, patience, 1.0)
        else:
            fresh = {pid: row for pid, row in family.items() if (pid, row.start_ticks) not in asked}
            asked |= {(pid, row.start_ticks) for pid, row in fresh.items()}
            _signal(table, fresh, leaders, signal.SIGTERM)
            _await_exits(family, patience, grace.left_seconds)
        children.reap()


def kill_at_once(table: ProcessTable, child: children.Child, leaders: Iterable[ProcessKey]) -> None:
    """Kill a child's group and its leaders, and wait for nothing: with its first process a namespace ends by itself."""
    children.kill_group(child)
    for leader in leaders:
        process = table.read(leader.pid)
        if process is not None and process.start_ticks == leader.start_ticks:
            _signal_one(table, process, signal.SIGKILL)


def end_holders(lock: Path) -> None:
    """Kill whatever still holds the lock of a namespace, whoever forgot to write it down. In a worker thread. Idempotent.

    Never a process of our own namespace: one outside that happens to hold it is no sandbox's.
    Raises: `Transient` when it does not end within `END_SECONDS`.
    """
    patience = Patience(END_SECONDS)
    while (pid := holder(lock)) is not None:
        if patience.spent:
            raise Transient(f"The process {pid} holds {lock} and does not end.")
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                if holder(lock) == pid and not _is_beside_us(pid):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    select.select([handle], [], [], 1.0)
                else:
                    patience.pause(_SETTLE_SECONDS)
            finally:
                os.close(handle)


def _is_beside_us(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/ns/pid").stat().st_ino == Path("/proc/self/ns/pid").stat().st_ino
    return False


def _signal(
    table: ProcessTable,
    family: Mapping[int, Process],
    leaders: Iterable[ProcessKey],
    signal_number: signal.Signals,
) -> None:
    """Signal whole groups of living leaders at once (nothing forks away between two members), then the others."""
    groups = {leader.pid for leader in leaders if leader.pid in family and table.alive(leader)}
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal_number)
    for process in family.values():
        if process.group not in groups:
            _signal_one(table, process, signal_number)


def _signal_one(table: ProcessTable, process: Process, signal_number: signal.Signals) -> None:
    # What may not be signalled (it changed its user) stays in the family and is named when the rounds are over.
    with suppress(ProcessLookupError, PermissionError):
        handle = os.pidfd_open(process.pid)
        try:
            now = table.read(process.pid)
            if now is not None and now.start_ticks == process.start_ticks:
                signal.pidfd_send_signal(handle, signal_number)
        finally:
            os.close(handle)


def _await_exits(family: Mapping[int, Process], patience: Patience, seconds: float) -> None:
    """Wait until the processes have ended, at most `seconds`; a part of a very large family has to do for all."""
    end = time.monotonic() + min(seconds, patience.left_seconds)
    with ExitStack() as opened:
        poll = select.poll()
        waiting = set()
        for pid in list(family)[:_WATCHED_MAX]:
            with suppress(ProcessLookupError):
                handle = os.pidfd_open(pid)
                opened.callback(os.close, handle)
                poll.register(handle, select.POLLIN)
                waiting.add(handle)
        while waiting and time.monotonic() < end:
            patience.check()
            for handle, _ in poll.poll(min(100.0, max(1.0, (end - time.monotonic()) * 1000))):
                poll.unregister(handle)
                waiting.discard(handle)
