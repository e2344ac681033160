"""Children: what is done in a process of its own, made by `fork` and bounded.

Owns: the numbers that such a process ends with, and its limits.
Never: a child that returns into the code of its parent.
Reads as: trials.py -> `forked` -> a function in a child -> its number.
"""

import math
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable

_WALL_SECONDS = 600
_MEMORY_BYTES = 4 * 1024**3

SURVIVED, NOTICED, NEEDS_IMPORT, BROKEN = 0, 1, 3, 4
"""What a child ends with; `BROKEN` is a fault of these tools, and stops everything."""
OUT_OF_TIME = (signal.SIGXCPU, signal.SIGALRM)
"""What ends a child that takes too long."""


def limit(seconds: int) -> None:
    """From now on at most this much of the processor, and a generous time on the wall."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used.ru_utime + used.ru_stime) + seconds, hard))
    signal.alarm(_WALL_SECONDS)


def forked(what: Callable[[], int]) -> int:
    """Do it in a child; its exit code, or the negative number of the signal that ended it."""
    return ended(fork(what, memory=_MEMORY_BYTES))


def ended(child: int) -> int:
    """Wait for a child; its exit code, or the negative number of the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork(what: Callable[[], int], memory: int = resource.RLIM_INFINITY) -> int:
    """Begin it in a child that ends with it, whatever comes of it; the child's number."""
    child = os.fork()
    if child != 0:
        return child
    code = BROKEN
    try:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        code = what()
    except BaseException:  # noqa: BLE001 - nothing may go on in the copy of a process
        traceback.print_exc()
    finally:
        os._exit(code)


def be_quiet() -> None:
    """What pytest writes here is for nobody."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
