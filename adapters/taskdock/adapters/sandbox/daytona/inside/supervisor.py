"""Supervisor: a process of ours above a command or a server, which ends all that came of it.

Owns: `launch`, `halt`, `Job`; the supervisor is a subreaper, so what daemonises comes back to it.
Never: an output held open; a supervisor that outlives what it watches.
Reads as: commands.py, services.py -> `launch` -> a process that outlives us -> the program.

One that somebody inside has killed is missed by its lock. What it watched is then found by the mark in its environment.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import time

from taskdock.adapters.sandbox.daytona.inside.files import (
    HOME,
    OUTPUT_BYTES_MAX,
    Refused,
    last,
    opened,
    write,
)
from taskdock.adapters.sandbox.daytona.inside.locks import ALIVE, ended
from taskdock.adapters.sandbox.daytona.inside.processes import end_family, family, reap

TYPE_CHECKING = False  # not typing's: it takes as long to import as all the rest
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO


MARK = "SUPERVISED_AS"
_END_SECONDS = 15.0
_GRACE_SECONDS = 2.0
_ASK_SECONDS = 0.5
_PID_DIGITS_MAX = 20
_STDERR = 2
_TICK_SECONDS = 30.0
_LOG_BYTES_MAX = 1 << 23
_SUBREAPER = 36
_SIGNALS = frozenset({signal.SIGCHLD, signal.SIGTERM})
_KILLED = 128 + signal.SIGKILL


class Job:
    """What to run. A server has no stdin, one log, no end of its time, and takes along what it started."""

    def __init__(
        self,
        argv: list[str],
        cwd: str,
        env: dict[str, str],
        mark: str,
        seconds: float | None,
        *,
        is_service: bool,
    ) -> None:
        self.argv, self.cwd, self.env, self.mark = argv, cwd, env, mark
        self.seconds, self.is_service = seconds, is_service


def environment(added: Mapping[str, str], mark: str) -> dict[str, str]:
    """A clean one: nothing of the toolbox's but the path, and the mark over everything."""
    path = os.environ.get("PATH") or os.defpath
    return {"PATH": path, "HOME": HOME, "LANG": "C.UTF-8", **added, MARK: mark}


def launch(folder: str, job: Job) -> None:
    """Start a supervisor, which outlives us. Refused when the program cannot be run at all."""
    alive = os.open(f"{folder}/{ALIVE}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # Locked before there is a supervisor, which inherits it: so nobody ever sees it unlocked before its end.
    fcntl.flock(alive, fcntl.LOCK_EX)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        _detach(folder, job, alive, tell)
    os.close(tell)
    os.close(alive)
    os.waitpid(child, 0)
    with open(told, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    if said.startswith("refused "):
        raise Refused(said.removeprefix("refused "))
    if said != "started":
        raise OSError(errno.EIO, "the supervisor did not start")


def halt(folder: str, mark: str) -> None:
    """Have a supervisor end all that is its own, and wait; without one, end what carries the mark."""
    give_up_at = time.monotonic() + _END_SECONDS
    while not ended(folder):
        # Asked for again, since one that is just being born has not written down yet who it is.
        with contextlib.suppress(ValueError, ProcessLookupError):
            os.kill(int(last(f"{folder}/{ALIVE}", _PID_DIGITS_MAX)), signal.SIGTERM)
        if not ended(folder, _ASK_SECONDS) and time.monotonic() > give_up_at:
            raise OSError(errno.EBUSY, "processes do not end")
    end_family(0, f"{MARK}={mark}")


def _detach(folder: str, job: Job, alive: int, tell: int) -> None:
    """Fork once more, so that the supervisor is nobody's child; never returns."""
    try:
        os.setsid()
        if os.fork() == 0:
            # A lock is held as long as anybody has its descriptor: that of a guard must not live on in here.
            for name in os.listdir("/proc/self/fd"):
                if int(name) > _STDERR and int(name) not in (alive, tell):
                    with contextlib.suppress(OSError):
                        os.close(int(name))
            _supervise(folder, job, alive, tell)
    finally:
        os._exit(0)


def _supervise(folder: str, job: Job, alive: int, tell: int) -> None:
    """Start the program, wait for its end, and end what is to end with it."""
    import ctypes

    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.pwrite(alive, str(os.getpid()).encode(), 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        main = _begin(folder, job)
    except (OSError, ValueError, Refused) as error:
        os.write(tell, f"refused {(job.argv or ['nothing'])[0]} cannot be run: {error}".encode())
        return
    os.write(tell, b"started")
    os.close(tell)
    how, code = _watch(main, job, folder)
    if how != "ended" or job.is_service:
        _end(main, job, is_gentle=job.is_service and how == "asked")
    if not job.is_service:
        for name in ("stdout", "stderr"):
            _shorten(f"{folder}/{name}")
        write(f"{folder}/result", {"how": how, "code": code})


def _begin(folder: str, job: Job) -> int:
    """Start the program itself, in a session of its own; its pid."""
    import subprocess

    def unblocked() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    if not job.argv:
        raise Refused("there is no program to run")
    with contextlib.ExitStack() as stack:
        os.fchdir(stack.enter_context(opened(job.cwd)))
        given: IO[bytes] | int = subprocess.DEVNULL
        if job.is_service:
            out = err = stack.enter_context(open(f"{folder}/log", "ab"))
        else:
            given = stack.enter_context(open(f"{folder}/stdin", "rb"))
            out = stack.enter_context(open(f"{folder}/stdout", "ab"))
            err = stack.enter_context(open(f"{folder}/stderr", "ab"))
        process = subprocess.Popen(  # noqa: S603 - what the caller asked for
            job.argv,
            stdin=given,
            stdout=out,
            stderr=err,
            env=job.env,
            start_new_session=True,
            preexec_fn=unblocked,  # noqa: PLW1509 - this process has one thread
        )
    # Else its destructor would collect the exit of a program that has ended by now, and nobody would ever see it.
    process.returncode = 0
    return process.pid


def _watch(main: int, job: Job, folder: str) -> tuple[str, int]:
    """Wait for the end of the program, of its time, or until somebody asks for it."""
    give_up_at = None if job.seconds is None else time.monotonic() + job.seconds
    while True:
        gone = reap()
        if main in gone:
            code = os.waitstatus_to_exitcode(gone[main])
            return "ended", code if code >= 0 else 128 - code
        left = _TICK_SECONDS if give_up_at is None else give_up_at - time.monotonic()
        if left <= 0:
            return "late", _KILLED
        seen = signal.sigtimedwait(_SIGNALS, min(left, _TICK_SECONDS))
        if seen is not None and seen.si_signo == signal.SIGTERM:
            return "asked", _KILLED
        log = f"{folder}/log"
        if seen is None and job.is_service and os.stat(log).st_size > _LOG_BYTES_MAX:
            _shorten(log)


def _end(main: int, job: Job, *, is_gentle: bool) -> None:
    """End the program and all that came of it."""
    mark = f"{MARK}={job.mark}"
    if is_gentle:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(main, signal.SIGTERM)
        give_up_at = time.monotonic() + _GRACE_SECONDS
        while family(os.getpid(), mark) and time.monotonic() < give_up_at:
            left = max(give_up_at - time.monotonic(), 0.001)
            signal.sigtimedwait({signal.SIGCHLD}, min(left, 0.1))
            reap()
    end_family(os.getpid(), mark)


def _shorten(path: str) -> None:
    """Keep the end of an output; who writes to it appends."""
    tail = last(path, OUTPUT_BYTES_MAX)
    with open(path, "r+b") as file:
        file.truncate(0)
        file.write(tail)
