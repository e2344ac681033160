"""Local sandboxes under test: how they are made, and how they are looked at from outside.

Owns: `sandboxes`, `new_spec`, `local_process`, and eyes that share nothing with the adapter's own.
Never: the marker, a record or a lock of the adapter; a process is known by its HOME, a file by its path.
Reads as: tests/conformance, tests/integration -> this.
"""

import itertools
import json
import os
import secrets
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from anyio.from_thread import start_blocking_portal

from taskdock.adapters.sandbox.local.levels import Ground, Level, prepare
from taskdock.adapters.sandbox.local.provider import LocalSandboxes
from taskdock.core.errors import PortError
from taskdock.ports.sandbox import ProgramFile, SandboxRef, SandboxSpec, ServiceSpec
from taskdock.testing.conformance.sandbox import SandboxUnderTest

OWNER = "tests"
CHILD = Path(__file__).with_name("local_process_child.py")
_numbers = itertools.count(1)

current_level = [Level.PROCESS]
"""The last one counts; the fixture `level` in conftest.py moves it."""

# A server that answers its token, and notes each start of it in its home.
SERVER = b"""
import http.server, os, sys
with open(os.path.join(os.environ["HOME"], "starts"), "a") as starts:
    starts.write(f"{os.getpid()}\\n")

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.headers.get("Authorization") == f"Bearer {sys.argv[1]}" else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Answer).serve_forever()
"""


@cache
def ground(level: Level) -> Ground:
    """Try the level on this machine, once."""

    async def tried() -> Ground:
        return await to_thread.run_sync(prepare, level)

    with start_blocking_portal() as portal:
        return portal.call(tried)


def sandboxes(root: Path, level: Level | None = None) -> LocalSandboxes:
    """Make an adapter over `root`, at this level, or at the one that the running test is for."""
    return LocalSandboxes(
        root, "this-machine", lambda: datetime.now(UTC), ground=ground(level or current_level[-1])
    )


def new_spec(name: str | None = None) -> SandboxSpec:
    """Make a spec, of a fresh name unless one is given."""
    fresh = f"taskdock-{secrets.token_hex(3)}-{next(_numbers)}"
    return SandboxSpec(SandboxRef("local", fresh if name is None else name), OWNER, "task-1", 1)


@asynccontextmanager
async def running_sandbox(root: Path, level: Level | None = None) -> AsyncIterator[SandboxSpec]:
    """Make a sandbox below the root and end its processes afterwards, whatever a test did to it."""
    spec = new_spec()
    await sandboxes(root, level).ensure(spec)
    try:
        yield spec
    finally:
        # A test may have spoilt the record on purpose; then it started no process.
        with anyio.CancelScope(shield=True), suppress(PortError):
            await sandboxes(root, level).destroy(spec.ref, OWNER)


def service(name: str = "server", version: str = "1") -> ServiceSpec:
    """Make the spec of the server above."""
    argv = ("python3", "{home}/.taskdock/server.py", "{token}", "{port}")
    return ServiceSpec(
        name, version, argv, {}, (ProgramFile(".taskdock/server.py", content=SERVER),), "/health"
    )


class Children:
    """A process that makes calls of the adapter in children of its own, which can be killed at any step."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def call(self, **what: Any) -> str:
        """Make one call in a child, as `local_process_child.py` says; how the child ended."""
        self.begin(**what)
        return self.ended()

    def begin(self, **what: Any) -> None:
        """Begin a call without waiting for its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"level": current_level[-1].value, **what}, default=str) + "\n")
        self._process.stdin.flush()

    def ended(self) -> str:
        """Wait for the end of the call that was begun first; how the child ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def children(count: int = 1) -> Iterator[list[Children]]:
    """Run `count` processes that make calls; each works on one call after the other."""
    started = [
        subprocess.Popen(
            [sys.executable, str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(),
        )
        for _ in range(count)
    ]
    try:
        yield [Children(process) for process in started]
    finally:
        for process in started:
            process.communicate(timeout=30)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def processes(root: Path, name: str) -> set[int]:
    """Which processes run with their HOME in the sandbox; one that has ended and waits for its parent does not run.

    Without what only holds the sandbox together (bwrap, the bridge), unless nothing else is left.
    """
    wanted = f"HOME={root / name / 'home'}".encode()
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    found = {pid for pid in pids if _runs_with(pid, wanted)}
    return {pid for pid in found if not _is_machinery(pid)} or found


def is_waiting(root: Path, name: str) -> bool:
    """Whether there is a namespace in which nothing of the sandbox runs yet."""
    found = processes(root, name)
    return bool(found) and all(_is_machinery(pid) for pid in found)


async def killed(pid: int) -> None:
    """SIGKILL a process and wait until the kernel says that it has ended; on its way out it has no environment already."""
    descriptor = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        await until(lambda: select.select([descriptor], [], [], 0)[0])
    finally:
        os.close(descriptor)


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds; only asking tells, so it is asked often, and for ten seconds at most."""
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.005)


@contextmanager
def bell(path: Path) -> Iterator[Callable[[], Awaitable[None]]]:
    """Lay a pipe with a name; what is given waits until a program has written into it, for a minute at most."""
    os.mkfifo(path)
    # Nobody has to be at the other end for this: without a writer yet the pipe has nothing to read, and no end either.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    async def rung() -> None:
        with anyio.fail_after(60):
            await anyio.wait_readable(descriptor)

    try:
        yield rung
    finally:
        os.close(descriptor)


def a_figure() -> str:
    """Make up how long to sleep: long enough, and like nobody else on this machine."""
    return f"600.{secrets.randbelow(10**9):09}"


def sleepers(figure: str) -> set[int]:
    """Which processes run `sleep` for exactly so long."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes() == f"sleep\0{figure}\0".encode():
                found.add(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def files(root: Path, name: str) -> list[str]:
    """List every path below the root that has the name in it."""
    found = [Path(top) / one for top, folders, inside in os.walk(root) for one in folders + inside]
    return sorted(
        path.relative_to(root).as_posix() for path in found if name in path.relative_to(root).as_posix()
    )


def local_sandboxes(root: Path, level: Level) -> SandboxUnderTest:
    """Make the record that the conformance checks take."""
    adapter = sandboxes(root, level)

    def second() -> tuple[LocalSandboxes, LocalSandboxes]:
        other = sandboxes(root, level)
        return other, other

    async def count_processes(ref: SandboxRef) -> int:
        return len(processes(root, ref.name))

    async def leftovers(ref: SandboxRef) -> list[str]:
        return files(root, ref.name)

    return SandboxUnderTest(adapter, adapter, new_spec, second, count_processes, leftovers, settle_seconds=10)


def _runs_with(pid: int, variable: bytes) -> bool:
    try:
        return variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


def _is_machinery(pid: int) -> bool:
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    ours = (b"/run/taskdock/inside.py", b"/run/taskdock/bridge.py")
    return argv[0].endswith(b"bwrap") or any(part in ours for part in argv[:5])
