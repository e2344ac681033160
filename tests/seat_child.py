"""A process that holds the seat of a home, to be stopped and killed by a test.

Owns: what it says: the pid of a program that it started and that outlives it, "held" once it serves, then each position
      that it was poked with.
Never: a test; tests/integration/test_seat.py runs it, and borrows `listens`.
Reads as: the test -> argv (home, event loop) -> this -> lines on stdout.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import anyio

from taskdock.adapters.seat.address import find
from taskdock.adapters.seat.unix import UnixSeat


def say(word: object) -> None:
    """Write one line at once."""
    os.write(1, f"{word}\n".encode())


def listens(home: Path) -> bool:
    """Whether somebody accepts connections at the home's socket."""
    path = find(home)
    with socket.socket(socket.AF_UNIX) as probe:
        return path is not None and probe.connect_ex(str(path)) == 0


def start_a_program() -> int:
    """Start what outlives us, and would inherit every descriptor that is not closed by its own flag."""
    return subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], stdout=subprocess.DEVNULL, close_fds=False
    ).pid


async def hold(home: Path) -> None:
    """Take the seat and serve until killed; a poke is published too, as a scheduler would."""
    seat = UnixSeat(home)
    assert await seat.take()
    seat.publish(1)
    say(start_a_program())

    def on_poke(position: int) -> None:
        say(position)
        seat.publish(position)

    async with anyio.create_task_group() as group:
        group.start_soon(seat.serve, on_poke)
        while not listens(home):  # noqa: ASYNC110 - there is no event for it
            await anyio.sleep(0.01)
        say("held")


if __name__ == "__main__":
    anyio.run(hold, Path(sys.argv[1]), backend=sys.argv[2])
