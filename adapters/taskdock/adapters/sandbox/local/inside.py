"""Inside: the first program of ours in a namespace, which becomes the program that was ordered.

Owns: the words that bubblewrap.py and this exchange over two descriptors.
Never: more than the standard library, nor a module that costs time (this comes before every command; json alone takes as
    long as all the rest); a program started without an order that came whole.
Reads as: bubblewrap.py -> bwrap -> this, in the namespace, with `-S -E` -> the program.

`h` says that it is there: from then on nothing in the namespace starts anything until the order comes.
The order is its length, a colon, and its fields with a null byte between them: the folder to work in, how many processes
there may be, where connections are to be carried in (the listening descriptor, the health path and the token, or three
empty ones), then the program and its arguments. When it does not come whole, because who wrote it died, nothing is
started. `s` is said just before the program is called; an end after it means that the program runs, `e` and an errno why
it does not.
"""

from __future__ import annotations

# What `signal` stands on, without its enums, which cost as long as all the rest.
import _signal  # type: ignore[import-not-found]
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTHING_STARTED = 125
CANNOT_BE_RUN = 127
FIELDS = 5


def receive(descriptor: int) -> list[bytes] | None:
    """Read the order; None when its writer died before it was whole."""
    data, length = b"", -1
    while length < 0 or len(data) < length:
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return None
        data += chunk
        if length < 0 and b":" in data:
            told, _, data = data.partition(b":")
            length = int(told)
    return data.split(b"\0")


def keep_only(descriptors: Sequence[int]) -> None:
    """Close every other descriptor beyond the first three."""
    lower = 3
    for kept in sorted(descriptors):
        os.closerange(lower, kept)
        lower = kept + 1
    os.closerange(lower, os.sysconf("SC_OPEN_MAX"))


def limit_processes(most: int) -> None:
    """Let no more than so many processes of this user be in the namespace; what comes after may only lower it."""
    import resource  # noqa: PLC0415 - only where it is used

    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def start_bridge(listener: int, health_path: bytes, token: bytes) -> None:
    """Start the bridge beside us; it watches this process, which is about to become the program."""
    program = os.getpid()
    if os.fork() == 0:
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bridge.py")  # noqa: PTH100, PTH118, PTH120
        arguments = [script, str(listener), str(program), os.fsdecode(health_path)]
        environment = {**os.environ, "TASKDOCK_BRIDGE_TOKEN": os.fsdecode(token)}
        os.execve(sys.executable, [sys.executable, "-S", "-E", *arguments], environment)  # noqa: S606
    os.close(listener)


def main(order_from: int, say_to: int) -> int:
    """Become the ordered program; returns only when that is not possible."""
    os.write(say_to, b"h")
    order = receive(order_from)
    if order is None:
        return NOTHING_STARTED
    cwd, processes_max, listener, health_path, token = order[:FIELDS]
    argv = order[FIELDS:]
    keep_only([say_to, *([int(listener)] if listener else [])])
    os.set_inheritable(say_to, False)  # noqa: FBT003 - the name says it
    try:
        os.chdir(cwd)
        limit_processes(int(processes_max))
        if listener:
            start_bridge(int(listener), health_path, token)
        os.write(say_to, b"s")
        for ignored in (_signal.SIGPIPE, _signal.SIGXFSZ):
            # Python ignores them, and what is ignored stays so for the program: it would not end with its pipe.
            _signal.signal(ignored, _signal.SIG_DFL)
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(say_to, b"e%d" % (error.errno or 0))
    return CANNOT_BE_RUN


if __name__ == "__main__":
    # At once: nothing is to be flushed or tidied up, and threads there are none.
    os._exit(main(int(sys.argv[1]), int(sys.argv[2])))
