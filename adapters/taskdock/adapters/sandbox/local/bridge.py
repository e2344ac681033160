"""Bridge: carries connections from outside into a network that has no way in.

Owns: `find`, `Bridge`.
Never: more than the standard library (it runs inside, as a script); a connection to anything but a program of the
    sandbox; more than `CONNECTIONS_MAX` at once (the others wait in the socket's queue).
Reads as: the provider opens a unix socket -> inside.py hands it to this -> threads -> the program on loopback.

The socket lies where nothing inside can touch it; only its open descriptor comes in. So there is no port to choose
outside, nobody else of the machine can connect, and what is inside cannot put another socket in its place.
Where the program listens is found out: every listening socket that a process of this namespace holds is asked on the
health path, and the first that answers 200 it is.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS_MAX = 256
CHUNK_BYTES = 65536
ASK_SECONDS = 2.0
PAUSE_SECONDS_MIN = 0.01
PAUSE_SECONDS_MAX = 0.25
STACK_BYTES = 256 * 1024
LISTENING = "0A"
IPV4_DIGITS = 8

Address = tuple[str, int]


def listening(proc: str = "/proc") -> dict[str, Address]:
    """Say which sockets listen on loopback in this network, by inode."""
    found = {}
    for name, any_address, loopback in (
        ("tcp", "00000000", "127.0.0.1"),
        ("tcp6", "00000000000000000000000000000000", "::1"),
    ):
        with contextlib.suppress(OSError), open(f"{proc}/net/{name}", encoding="ascii") as rows:  # noqa: PTH123
            for row in list(rows)[1:]:
                columns = row.split()
                host, _, port = columns[1].partition(":")
                if columns[3] == LISTENING:
                    found[columns[9]] = (loopback if host == any_address else readable(host), int(port, 16))
    return found


def readable(digits: str) -> str:
    """Turn an address of /proc/net/tcp into one to connect to."""
    raw = bytes.fromhex(digits)
    if sys.byteorder == "little":
        raw = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
    return socket.inet_ntop(socket.AF_INET if len(digits) == IPV4_DIGITS else socket.AF_INET6, raw)


def held(proc: str = "/proc") -> Iterator[str]:
    """Every socket that another process of this namespace holds, oldest process first, by inode."""
    for pid in sorted((int(entry) for entry in os.listdir(proc) if entry.isdigit()), key=int):  # noqa: PTH208
        folder = f"{proc}/{pid}/fd"
        with contextlib.suppress(OSError):
            for descriptor in sorted(os.listdir(folder), key=int) if pid != os.getpid() else ():  # noqa: PTH208
                with contextlib.suppress(OSError):
                    target = os.readlink(f"{folder}/{descriptor}")  # noqa: PTH115 - "socket:[1]" is no path
                    if target.startswith("socket:["):
                        yield target[8:-1]


def answers(address: Address, health_path: str, token: str) -> bool:
    """Whether it answers 200 to the token."""
    connection = http.client.HTTPConnection(*address, timeout=ASK_SECONDS)
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", health_path, headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status == http.client.OK
    connection.close()
    return False


def find(health_path: str, token: str) -> Address:
    """Look for the program's address until it answers; this process ends with the program, so not for ever."""
    pause_seconds = PAUSE_SECONDS_MIN
    while True:
        sockets = listening()
        for address in dict.fromkeys(sockets[inode] for inode in held() if inode in sockets):
            if answers(address, health_path, token):
                return address
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 1.5, PAUSE_SECONDS_MAX)


class Bridge:
    """Takes connections of `listener` and carries each to `address`, both ways, until either side is done."""

    def __init__(self, listener: socket.socket, address: Address) -> None:
        self.listener = listener
        self.address = address
        self.free = threading.BoundedSemaphore(CONNECTIONS_MAX)

    def run(self) -> None:
        """Take one connection after the other."""
        while True:
            self.free.acquire()
            outside, _ = self.listener.accept()
            threading.Thread(target=self.carry, args=(outside,), daemon=True).start()

    def carry(self, outside: socket.socket) -> None:
        """Carry one connection to its end; whoever asked and went needs no answer any more."""
        with outside, contextlib.suppress(OSError), socket.create_connection(self.address) as program:
            back = threading.Thread(target=pump, args=(program, outside, socket.SHUT_WR), daemon=True)
            back.start()
            pump(outside, program, socket.SHUT_RDWR)
            back.join()
        self.free.release()


def pump(source: socket.socket, sink: socket.socket, then: int) -> None:
    """Carry one direction until its source ends or either is gone, then close the sink as far as `then` says."""
    with contextlib.suppress(OSError):
        while chunk := source.recv(CHUNK_BYTES):
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(then)


def end_with(pid: int) -> None:
    """End this process when the program does."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        select.select([handle], [], [])
    os._exit(0)


def main(listener: int, program: int, health_path: str) -> None:
    """Bridge until the program ends."""
    threading.stack_size(STACK_BYTES)
    threading.Thread(target=end_with, args=(program,), daemon=True).start()
    opened = socket.socket(fileno=listener)
    Bridge(opened, find(health_path, os.environ["TASKDOCK_BRIDGE_TOKEN"])).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
