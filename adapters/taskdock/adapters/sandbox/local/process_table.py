"""Process table: what the kernel says about processes, read from /proc.

Owns: `ProcessKey` (a process's identity), `Process`, `Address`, `ProcessTable`.
Never: a signal or a change; a pid trusted without its start time (pids come round again).
Reads as: ending.py, services.py -> `ProcessTable` -> /proc.
"""

import os
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from attrs import frozen

_LISTENING = b"0A"
_IPV4_BYTES = 4


@frozen
class ProcessKey:
    """Which process, for all time: `start_ticks` is its start in clock ticks since the boot `boot_id`."""

    boot_id: str
    pid: int
    start_ticks: int


@frozen
class Process:
    """One row of the table as it was read."""

    pid: int
    parent_pid: int
    group: int
    session: int
    start_ticks: int
    zombie: bool


@frozen(order=True)
class Address:
    """Where something listens on this machine."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The base of an HTTP address, without a slash at its end."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


class ProcessTable:
    """Reads the table anew at each call. Every method bears with processes that end meanwhile or may not be read."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc

    @property
    def available(self) -> bool:
        """Whether this system has such a table (Linux) and a handle for processes that cannot point at another one."""
        return os.access(self._proc / "self" / "stat", os.R_OK) and hasattr(os, "pidfd_open")

    def boot_id(self) -> str:
        """Return the id of this boot of the machine. Raises: `OSError` where there is no table."""
        return (self._proc / "sys/kernel/random/boot_id").read_text().strip()

    def read(self, pid: int) -> Process | None:
        """Return the row of one process, None when there is none."""
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            # The name, second and in parentheses, may itself hold spaces and parentheses.
            rest = (self._proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
            parent_pid, group, session, start_ticks = (int(rest[column]) for column in (1, 2, 3, 19))
            return Process(pid, parent_pid, group, session, start_ticks, zombie=rest[0] in (b"Z", b"X"))
        return None

    def key(self, pid: int) -> ProcessKey | None:
        """Return the identity of the process that has this pid now, None when there is none or it has ended."""
        process = self.read(pid)
        return (
            None
            if process is None or process.zombie
            else ProcessKey(self.boot_id(), pid, process.start_ticks)
        )

    def alive(self, key: ProcessKey) -> bool:
        """Whether exactly this process still runs."""
        return self.available and self.key(key.pid) == key

    def family(self, marks: frozenset[bytes], leaders: Iterable[ProcessKey] = ()) -> Mapping[int, Process]:
        """Find running processes that carry all `marks` in their environment, or descend from one that does or a leader.

        Descent is by parent and by session, so a child that was given a fresh environment is still found while what
        started it lives. Without `marks` only the leaders count. Never this process itself.
        """
        if not self.available:
            return {}
        rows = {process.pid: process for process in self._rows()}
        found = {leader.pid for leader in leaders if self._is(rows.get(leader.pid), leader)}
        if marks:
            found |= {pid for pid, row in rows.items() if not row.zombie and marks <= self.environment(pid)}
        while more := {
            pid for pid, row in rows.items() if pid not in found and {row.parent_pid, row.session} & found
        }:
            found |= more
        return {pid: rows[pid] for pid in found if not rows[pid].zombie}

    def environment(self, pid: int) -> frozenset[bytes]:
        """Return the environment a process was started with, as `NAME=value`; empty when it may not be read."""
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            return frozenset((self._proc / str(pid) / "environ").read_bytes().split(b"\0"))
        return frozenset()

    def listening(self, leader: ProcessKey) -> tuple[Address, ...]:
        """Where the process and its descendants listen on loopback; what the leader itself holds comes first."""
        pids = sorted(self.family(frozenset(), (leader,)), key=lambda pid: (pid != leader.pid, pid))
        open_addresses = self._open_addresses(leader.pid)
        found = [
            open_addresses[inode] for pid in pids for inode in self._sockets(pid) if inode in open_addresses
        ]
        return tuple(dict.fromkeys(found))

    def _rows(self) -> Iterator[Process]:
        for entry in self._proc.iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                process = self.read(int(entry.name))
                if process is not None:
                    yield process

    def _is(self, row: Process | None, key: ProcessKey) -> bool:
        return row is not None and row.start_ticks == key.start_ticks and self.boot_id() == key.boot_id

    def _sockets(self, pid: int) -> list[bytes]:
        """Inodes of the sockets that the process has open, in the order of its descriptors."""
        found = []
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            for entry in sorted((self._proc / str(pid) / "fd").iterdir(), key=lambda entry: int(entry.name)):
                with suppress(FileNotFoundError):
                    target = os.readlink(entry)  # noqa: PTH115 - "socket:[1]" is no path
                    if target.startswith("socket:["):
                        found.append(target[8:-1].encode())
        return found

    def _open_addresses(self, pid: int) -> Mapping[bytes, Address]:
        """Inode -> address of every TCP socket that listens where loopback reaches it, in the process's network."""
        found: dict[bytes, Address] = {}
        for name in ("tcp", "tcp6"):
            with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                for line in (self._proc / str(pid) / "net" / name).read_bytes().splitlines()[1:]:
                    columns = line.split()
                    host = _loopback_host(columns[1].partition(b":")[0])
                    if columns[3] == _LISTENING and host is not None:
                        found[columns[9]] = Address(host, int(columns[1].partition(b":")[2], 16))
        return found


def _loopback_host(address: bytes) -> str | None:
    """Return the host to connect to for a listening address of /proc/net/tcp, None when loopback does not lead there."""
    raw = bytes.fromhex(address.decode())
    if sys.byteorder == "little":
        raw = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
    of_four_bytes = len(raw) == _IPV4_BYTES
    if not any(raw):
        return "127.0.0.1" if of_four_bytes else "::1"
    host = socket.inet_ntop(socket.AF_INET if of_four_bytes else socket.AF_INET6, raw)
    return host if host == "::1" or host.startswith("127.") else None
