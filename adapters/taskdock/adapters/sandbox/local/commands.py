"""Commands: short programs inside a sandbox, run to their end.

Owns: `LocalCommands`, and what is kept of a command's output.
Never: a pipe that fills up, an output kept whole, a command that outlives its deadline or the task that asked for it.
Reads as: provider.py -> `LocalCommands.run` -> children.py, ending.py, converse below.

The command ends when its own process ends: what it left running in the background stays in the sandbox but is not
waited for, even if it holds the output open.
"""

import fcntl
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from subprocess import TimeoutExpired
from typing import IO

import anyio
from anyio import CancelScope, CapacityLimiter, to_thread

from taskdock.adapters.sandbox.local import children
from taskdock.adapters.sandbox.local.ending import END_SECONDS, end_processes, kill_at_once
from taskdock.adapters.sandbox.local.environment import clean_environment, marks
from taskdock.adapters.sandbox.local.files import resolve_beneath
from taskdock.adapters.sandbox.local.folders import SandboxFolder
from taskdock.adapters.sandbox.local.launching import Born, Launcher, Order
from taskdock.adapters.sandbox.local.process_table import ProcessKey, ProcessTable
from taskdock.adapters.sandbox.local.runs import forget_ended, note_run
from taskdock.core.errors import InvariantViolated, Transient
from taskdock.ports.sandbox import Exec, ExecResult

OUTPUT_BYTES_MAX = 1024 * 1024
_CHUNK_BYTES = 65536
_TAIL_BYTES = 4096


class _Launch:
    """The hand-over of a child from the thread that starts it to the task that waits.

    The task may be gone by the time the child is there; whichever of the two comes second ends it.
    """

    def __init__(self, table: ProcessTable) -> None:
        self._table = table
        self.wanted: frozenset[bytes] = frozenset()
        self.leaders: tuple[ProcessKey, ...] = ()
        self._child: children.Child | None = None
        self._abandoned = False
        self._lock = threading.Lock()

    def started(self) -> children.Child:
        """Return the child, once the thread has returned."""
        if self._child is None:
            raise InvariantViolated("a launch returned without a child")
        return self._child

    def hand_over(self, child: children.Child) -> None:
        """From the thread: here is the child."""
        with self._lock:
            self._child = child
            if self._abandoned:
                kill_at_once(self._table, child, self.leaders)

    def abandon(self) -> bool:
        """From the task: it waits no longer. Kills the group of a child that still runs; whether there was one."""
        with self._lock:
            self._abandoned = True
            if self._child is None or self._child.returncode is not None:
                return False
            kill_at_once(self._table, self._child, self.leaders)
            return True


class LocalCommands:
    """Runs commands; each is found again, with all it started, by an incarnation of its own."""

    def __init__(self, table: ProcessTable, launcher: Launcher, limiter: CapacityLimiter) -> None:
        self._table = table
        self._launcher = launcher
        self._limiter = limiter

    async def run(self, folder: SandboxFolder, command: Exec) -> ExecResult:
        """Run the command; killed by a signal counts as exit code 128 and the signal's number, as shells have it.

        Raises: `Transient` on timeout, after its processes are gone; `Unreachable` without a sandbox; `OSError` when
        the program cannot be run.
        """
        launch = _Launch(self._table)
        try:
            await to_thread.run_sync(self._start, folder, command, launch, limiter=self._limiter)
            conversation = _Conversation(launch.started(), command.stdin)
            with anyio.move_on_after(command.timeout_seconds):
                return await conversation.run()
        finally:
            if launch.abandon():
                with CancelScope(shield=True):
                    await to_thread.run_sync(self._end, launch, limiter=self._limiter)
        raise Transient(
            f"{command.argv[0]} did not end within {command.timeout_seconds:g} s; its processes were killed.",
            log_tail=conversation.log_tail,
        )

    def _start(self, folder: SandboxFolder, command: Exec, launch: _Launch) -> None:
        with folder.entered(shared=True) as sandbox:
            forget_ended(folder, self._table)
            incarnation = secrets.token_hex(16)
            launch.wanted = marks(sandbox.marker, incarnation)

            def write_down(born: Born) -> None:
                launch.leaders = born.leaders
                if born.first is not None:
                    note_run(folder, incarnation, born.first)

            environment = clean_environment(folder.home, sandbox.marker, incarnation, command.env)
            cwd = resolve_beneath(folder.home, command.cwd)
            launch.hand_over(self._launcher.start(Order(folder, command.argv, cwd, environment), write_down))

    def _end(self, launch: _Launch) -> None:
        end_processes(self._table, launch.wanted, launch.leaders)
        # Where there is no process table to wait on; its group was killed, so this is a matter of moments.
        with suppress(TimeoutExpired):
            launch.started().wait(END_SECONDS)


class _Conversation:
    """Feeds a child and listens to it until its process ends; keeps the last `OUTPUT_BYTES_MAX` of each output."""

    def __init__(self, child: children.Child, stdin: bytes) -> None:
        self._child = child
        self._stdin = stdin
        self._stdout = bytearray()
        self._stderr = bytearray()

    @property
    def log_tail(self) -> str | None:
        """The end of what it wrote to stderr, or to stdout when that is empty."""
        heard = self._stderr or self._stdout
        return heard[-_TAIL_BYTES:].decode(errors="replace") or None

    async def run(self) -> ExecResult:
        """Return when the process has ended and everything it wrote until then has been read."""
        child = self._child
        with _pipe(child.stdin) as stdin, _pipe(child.stdout) as stdout, _pipe(child.stderr) as stderr:
            async with anyio.create_task_group() as group:
                group.start_soon(self._feed, stdin)
                group.start_soon(_listen, stdout, self._stdout)
                group.start_soon(_listen, stderr, self._stderr)
                await _ended(child)
                group.cancel_scope.cancel()
            _drain(stdout, self._stdout)
            _drain(stderr, self._stderr)
        code = child.returncode
        kept = (bytes(heard[-OUTPUT_BYTES_MAX:]) for heard in (self._stdout, self._stderr))
        return ExecResult(code if code >= 0 else 128 - code, *kept)

    async def _feed(self, stdin: IO[bytes]) -> None:
        left = memoryview(self._stdin)
        with suppress(BrokenPipeError):
            while left:
                await anyio.wait_writable(stdin)
                with suppress(BlockingIOError):
                    left = left[os.write(stdin.fileno(), left[:_CHUNK_BYTES]) :]
        stdin.close()


async def _ended(child: children.Child) -> None:
    if not hasattr(os, "pidfd_open"):
        await to_thread.run_sync(child.wait, abandon_on_cancel=True)
        return
    handle = os.pidfd_open(child.pid)
    try:
        await anyio.wait_readable(handle)
    finally:
        os.close(handle)
    child.wait()


async def _listen(pipe: IO[bytes], heard: bytearray) -> None:
    while True:
        await anyio.wait_readable(pipe)
        with suppress(BlockingIOError):
            chunk = os.read(pipe.fileno(), _CHUNK_BYTES)
            if not chunk:
                return
            _keep(heard, chunk)


def _drain(pipe: IO[bytes], heard: bytearray) -> None:
    """Read what is left in the pipe: at most what it can hold, since a process in the background may go on writing."""
    left = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) if hasattr(fcntl, "F_GETPIPE_SZ") else _CHUNK_BYTES
    with suppress(BlockingIOError):
        while left > 0 and (chunk := os.read(pipe.fileno(), left)):
            _keep(heard, chunk)
            left -= len(chunk)


def _keep(heard: bytearray, chunk: bytes) -> None:
    heard += chunk
    # Twice the bound before anything is moved, so that each byte is moved once at most.
    if len(heard) > 2 * OUTPUT_BYTES_MAX:
        del heard[:-OUTPUT_BYTES_MAX]


@contextmanager
def _pipe(end: IO[bytes] | None) -> Iterator[IO[bytes]]:
    """Our end of a child's pipe, never blocking, closed afterwards."""
    if end is None:
        raise InvariantViolated("a command is started with three pipes")
    os.set_blocking(end.fileno(), False)
    try:
        yield end
    finally:
        end.close()
