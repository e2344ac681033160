"""A process that makes calls of the local adapter, each in a child that can die in the middle of it.

Owns: the words in which a call is asked for, and the ways to die: at a step, or between fork and exec.
Never: imported by a test; tests/local_process.py runs it.
Reads as: tests/local_process.py -> JSON lines -> this -> a forked child -> the adapter.

A line asks `{"root", "name", "call", "level", "backend"?, "step"?, "gap"?}` and is answered by "killed", "done" or an
error. With `step` the child kills itself just before the step of that number: each touch of the file system below the
root, each lock, each start of a process is a step. With `gap` (seconds, file) the child kills itself as soon as it has forked, and
what it forked waits so long, writes its pid into the file, and only then becomes the program.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import trio  # noqa: F401 - loaded once here, not in each child

from local_process import OWNER, current_level, new_spec, sandboxes, service
from taskdock.adapters.sandbox.local import children
from taskdock.adapters.sandbox.local.levels import Level
from taskdock.ports.sandbox import Exec, ProgramFile

_ALWAYS = {"subprocess.Popen", "fcntl.flock", "os.killpg", "signal.pidfd_send_signal"}


def die_at(step: int, root: str) -> None:
    """Kill this process just before its step of that number, counted from one."""
    steps = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal steps
        if event in _ALWAYS or any(str(one).startswith(root) for one in arguments[:2]):
            steps += 1
            if steps == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def start_with_gap(
    gap: tuple[float, str],
    argv: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    output: int | None = None,
) -> children.Child:
    """Start a program as the adapter does, but die after the fork, and let the fork wait before its exec."""
    if os.fork():
        os.kill(os.getpid(), signal.SIGKILL)
    assert output is not None
    os.setsid()
    os.chdir(cwd)
    os.dup2(output, 1)
    os.dup2(output, 2)
    time.sleep(gap[0])
    Path(gap[1]).write_text(str(os.getpid()))
    os.execvpe(argv[0], list(argv), dict(environment))  # noqa: S606 - that is the point
    raise AssertionError


async def make(call: str, root: str, name: str) -> None:
    """Make one call of the adapter."""
    adapter, spec = sandboxes(Path(root)), new_spec(name)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "ensure": partial(adapter.ensure, spec),
        "service": partial(adapter.ensure_service, spec.ref, service()),
        "new_version": partial(adapter.ensure_service, spec.ref, service(version="2")),
        "stop": partial(adapter.stop_service, spec.ref, "server"),
        "put": partial(adapter.put_files, spec.ref, [ProgramFile("new/file", content=b"new" * 100_000)]),
        "exec": partial(adapter.exec, spec.ref, Exec(("sleep", "0.5"))),
        "halt": partial(adapter.stop, spec.ref, OWNER),
        "start": partial(adapter.start, spec.ref, OWNER),
        "destroy": partial(adapter.destroy, spec.ref, OWNER),
    }
    await calls[call]()


def work(ask: Mapping[str, Any]) -> None:
    """Make the call in this process, prepared to die as asked."""
    current_level.append(Level(ask["level"]))
    if "gap" in ask:
        children.start = partial(start_with_gap, ask["gap"])
    if "step" in ask:
        die_at(ask["step"], ask["root"])
    anyio.run(make, ask["call"], ask["root"], ask["name"], backend=ask.get("backend", "asyncio"))


def main() -> None:
    """Answer each line with how the child ended that made the call."""
    for line in sys.stdin:
        ask = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.dup2(2, 1)
            try:
                work(ask)
            except BaseException as error:  # noqa: BLE001 - told to the test by the exit code and on stderr
                print(repr(error), file=sys.stderr, flush=True)  # noqa: T201
                os._exit(1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print({-signal.SIGKILL: "killed", 0: "done"}.get(status, f"failed {status}"), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
