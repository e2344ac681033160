"""Children: processes that we start, which may outlive us.

Owns: `start`, and the reaping of children that nobody waits for.
Never: a shell; our own environment, descriptors or terminal in a child.
Reads as: services.py, commands.py -> `start` -> subprocess.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from taskdock.core.errors import Permanent


class Child(subprocess.Popen[bytes]):
    """A process meant to outlive us: letting go of it is no mistake, so it warns of nothing."""

    def __del__(self) -> None:
        """Leave the process alone."""


_unwatched: dict[int, Child] = {}
_lock = threading.Lock()


def start(
    argv: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    output: int | None = None,
    passed: Sequence[int] = (),
) -> Child:
    """Start a program as leader of its own session, and return once it runs; it gets the descriptors `passed`.

    With `output` (a descriptor) its stdin is empty and both outputs go there; without, all three are pipes.
    Call under the sandbox's guard: see rule 2 in guard.py.
    Raises: the `OSError` that says why it cannot be run; `Permanent` for what no program can be called with.
    """
    reap()
    if not argv:
        raise Permanent("There is no program to run.")
    try:
        return Child(
            list(argv),
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.PIPE if output is None else subprocess.DEVNULL,
            stdout=subprocess.PIPE if output is None else output,
            stderr=subprocess.PIPE if output is None else output,
            start_new_session=True,
            bufsize=0,
            pass_fds=tuple(passed),
        )
    except ValueError as error:
        # A null byte, a name with "=", a lone surrogate.
        raise Permanent(f"{argv[0]!r} cannot be called like that: {error}.") from error


def kill_group(child: Child) -> None:
    """Kill the process group at once; it cannot be another's, for its leader has not been waited for."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    let_go(child)


def let_go(child: Child) -> None:
    """Wait for the child no longer, nor listen to it; its exit is collected by the next `reap`, so no zombie stays."""
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()
    with _lock:
        _unwatched[child.pid] = child


def reap() -> None:
    """Collect the exits of children that were let go. Never blocks."""
    with _lock:
        for pid in [pid for pid, child in _unwatched.items() if child.poll() is not None]:
            del _unwatched[pid]
