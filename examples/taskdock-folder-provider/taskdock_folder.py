"""Folder provider: a sandbox is a folder, and what runs in it is found by a mark in its environment.

Owns: `PROVIDER`, found through the entry point group `taskdock.sandbox_providers`.
Never: something in memory that the next process would miss; isolation of any kind (see `capabilities`).
Reads as: Taskdock -> `FolderSandboxes` -> the functions below it -> folders and /proc.

    <root>/.guards/<number>     locks, shared by the sandboxes whose names fall on the number
    <root>/<name>/record.json   labels, mark, and what it is meant to be; written last and removed last
    <root>/<name>/home/         HOME of all that runs inside; home/checkout is the task's checkout
    <root>/<name>/services/     one start of each service, and its log
"""

import errno
import fcntl
import json
import os
import platform
import secrets
import select
import shutil
import signal
import socket
import stat
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial, wraps
from pathlib import Path, PurePosixPath
from subprocess import DEVNULL, Popen
from tempfile import TemporaryFile
from types import CoroutineType
from typing import IO, Any, Concatenate, ParamSpec, TypeVar

import anyio
import anyio.lowlevel
import httpx
from anyio import CapacityLimiter, to_thread
from attrs import asdict, evolve, field, frozen
from attrs.validators import ge

from taskdock.core.errors import Foreign, Permanent, PortError, Transient, Unreachable, Unsupported
from taskdock.ports.provider import Opening, ProviderSpec
from taskdock.ports.sandbox import (
    Capabilities,
    Endpoint,
    Exec,
    ExecResult,
    Observation,
    Phase,
    ProgramFile,
    SandboxRef,
    SandboxSpec,
    ServiceSpec,
)

OUTPUT_BYTES_MAX = 1 << 20
FILE_BYTES_MAX = 1 << 29
TAIL_BYTES = 4096
GUARDS = 64
GUARD_SECONDS = 60.0
END_SECONDS = 10.0
SETTLE_SECONDS = 0.02
_MARK, _START = "FOLDER_MARK", "FOLDER_START"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")

# The exception map: what may pass by itself is Transient, every other error of the system will come again.
_MAY_PASS = {errno.EAGAIN, errno.EBUSY, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.ETXTBSY}


@frozen
class FolderConfig:
    """The table `[provider.folder]`."""

    root: Path | None = None
    """Where the sandboxes are; in the home of the installation when nobody says."""
    commands_max: int = field(default=64, validator=ge(1))
    """How many commands may run at once, in all sandboxes together."""


@frozen
class _Record:
    """A sandbox as it is written down. `meant` is what was asked for last: running, stopped or destroying."""

    labels: dict[str, str]
    mark: str
    created_at: str
    meant: str = "running"


@frozen
class _Start:
    """One start of a service as it is written down. `process` is None until there is one; `is_up` once it answered."""

    version: str
    incarnation: str
    token: str = field(repr=False)
    port: int
    log_path: str | None
    process: str | None = None
    is_up: bool = False


def _in_thread(
    work: Callable[Concatenate["FolderSandboxes", _Given], _Answer], /
) -> Callable[Concatenate["FolderSandboxes", _Given], "CoroutineType[Any, Any, _Answer]"]:
    """Do what blocks in a thread. What the system refuses becomes an error of the port here, and nowhere else."""

    @wraps(work)
    async def call(self: "FolderSandboxes", /, *args: _Given.args, **kwargs: _Given.kwargs) -> _Answer:
        limiter = self.commands if work.__name__ == "_exec" else self.quick
        try:
            return await to_thread.run_sync(partial(work, self, *args, **kwargs), limiter=limiter)
        except OSError as error:
            raise (Transient if error.errno in _MAY_PASS else Permanent)(f"{error}.") from error
        except ValueError as error:
            raise Permanent(f"{error}.") from error  # a null byte in an argument, a record that was spoilt

    return call  # type: ignore[return-value] # the coroutine of an `async def` has this very type


class FolderSandboxes:
    """Both sandbox ports. What blocks runs in a thread; what two callers could break is done under a guard."""

    id = "folder"

    def __init__(self, root: Path, now: Callable[[], datetime], commands_max: int = 64) -> None:
        self._root = root.absolute()
        self._now = now
        # Two, so that a stop never waits for the commands that it is to end.
        self.quick, self.commands = CapacityLimiter(32), CapacityLimiter(commands_max)
        self.capabilities = Capabilities(
            place=platform.node(),
            isolation="none",
            create_window_seconds=0.0,
            stop_keeps_files=True,
            not_enforced=(
                "What runs inside may do whatever your user may; nothing is limited.",
                "What a command prints lies on the disk until it ends.",
                "A process that changes its own environment is not found when its sandbox ends.",
            ),
        )

    # Life and death

    @_in_thread
    def ensure(self, spec: SandboxSpec) -> Observation:
        """Make the folder, or adopt the one that has these labels."""
        top = self._top(spec.ref)
        with self._guard(top):
            record = _record(top)
            if record is not None and record.labels != spec.labels:
                raise Foreign(f"The sandbox {top.name} belongs to somebody else: {record.labels}.")
            if record is not None and record.meant == "destroying":
                _remove(top, record)
                record = None
            if record is None:
                # The record comes last: a folder without one is only half made, and the next ensure goes on with it.
                (top / "home/checkout").mkdir(parents=True, exist_ok=True)
                (top / "services").mkdir(exist_ok=True)
                made = _Record(spec.labels, secrets.token_hex(16), self._now().isoformat())
                _write(top / "record.json", made)
        return self._look(spec.ref)

    @_in_thread
    def start(self, ref: SandboxRef, owner: str) -> Observation:
        """Let things run in it again."""
        return self._change(ref, owner, "running")

    @_in_thread
    def stop(self, ref: SandboxRef, owner: str) -> Observation:
        """End all that runs in it."""
        return self._change(ref, owner, "stopped")

    @_in_thread
    def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        """End all that runs in it, and remove it."""
        return self._change(ref, owner, "destroying")

    @_in_thread
    def observe(self, ref: SandboxRef) -> Observation:
        """Look at the folder, and for `stopped` at the processes."""
        return self._look(ref)

    async def list_owned(self, owner: str) -> AsyncIterator[Observation]:
        """Look at every folder, and give those of this owner."""
        for name in await self._names():
            observation = await self.observe(SandboxRef(self.id, name))
            if observation.labels.get("owner") == owner:
                yield observation

    async def aclose(self) -> None:
        """Nothing is held between two calls."""

    def _change(self, ref: SandboxRef, owner: str, meant: str) -> Observation:
        """First what it is meant to be, then the deed: who comes after a crash in between starts nothing in it."""
        top = self._top(ref)
        with self._guard(top):
            record = _record(top)
            if record is not None and record.labels["owner"] != owner:
                raise Foreign(f"The sandbox {top.name} belongs to somebody else: {record.labels}.")
            if meant == "destroying":
                _remove(top, record)
            elif record is not None and record.meant != "destroying" and "stopped" in (meant, record.meant):
                _write(top / "record.json", evolve(record, meant="stopped"))
                _end(record.mark)
                for path in (top / "services").glob("*.json"):
                    path.unlink()
                _write(top / "record.json", evolve(record, meant=meant))
        return self._look(ref)

    def _look(self, ref: SandboxRef) -> Observation:
        top, read_at = self._top(ref), self._now()
        record = _record(top)
        if record is None and top.exists():
            return Observation(ref, Phase.PENDING, read_at, reason="It is only half made: ensure it again.")
        if record is None:
            return Observation(ref, Phase.ABSENT, read_at)
        phase = Phase(record.meant)
        if phase is Phase.STOPPED and _marked(record.mark):
            phase = Phase.STOPPING
        created_at = datetime.fromisoformat(record.created_at)
        return Observation(ref, phase, read_at, labels=record.labels, created_at=created_at)

    @_in_thread
    def _names(self) -> list[str]:
        return sorted(path.name for path in self._root.glob("[!.]*/")) if self._root.is_dir() else []

    # Inside

    @_in_thread
    def put_files(self, ref: SandboxRef, files: Sequence[ProgramFile]) -> None:
        """Write each beside its place, then move it there."""
        top = self._top(ref)
        with self._running(top, fcntl.LOCK_SH):
            _put(top, files)

    @_in_thread
    def get_file(self, ref: SandboxRef, path: str) -> bytes:
        """Read a regular file below the home."""
        top = self._top(ref)
        with self._running(top, fcntl.LOCK_SH):
            return _get(top / "home", path)

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        """Run a program in a thread. Cancelling closes the pipe `cut`, which ends the program, and then the thread."""
        cut, cutter = os.pipe()
        outcome: ExecResult | PortError = Transient("It was cancelled.")
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_close_when_cancelled, cutter)
                try:
                    outcome = await self._exec(ref, command, cut)
                except PortError as error:
                    outcome = error  # raised below, since a task group would wrap it
                group.cancel_scope.cancel()
        finally:
            os.close(cut)
        await anyio.lowlevel.checkpoint_if_cancelled()
        if isinstance(outcome, PortError):
            raise outcome
        return outcome

    @_in_thread
    def _exec(self, ref: SandboxRef, command: Exec, cut: int) -> ExecResult:
        top, run = self._top(ref), secrets.token_hex(16)
        with TemporaryFile() as asked, TemporaryFile() as said, TemporaryFile() as told:
            asked.write(command.stdin)
            asked.seek(0)
            with self._running(top, fcntl.LOCK_SH) as record, _opened(top / "home", command.cwd) as cwd:
                environment = _environment(top, record.mark, run, command.env)
                process = _spawn(command.argv, f"/proc/self/fd/{cwd}", environment, (asked, said, told))
            try:
                if not _ended(process, cut, command.timeout_seconds):
                    tail = (_last(told, TAIL_BYTES) or _last(said, TAIL_BYTES)).decode(errors="replace")
                    raise Transient(f"{command.argv[0]} did not end in time.", log_tail=tail)
            finally:
                # Whatever came: the time is up, or nobody wants to know any more.
                if process.poll() is None:
                    process.kill()
                    _end(run, _START)
            code = process.wait()
            return ExecResult(code if code >= 0 else 128 - code, _last(said), _last(told))

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        """Start or adopt it under the guard; wait for its health without one, so that a stop need not wait."""
        top = self._top(ref)
        start = await self._settle(top, service)
        endpoint = _endpoint(top, start)
        async with httpx.AsyncClient(trust_env=False, headers=endpoint.headers, timeout=2.0) as client:
            with anyio.move_on_after(service.start_seconds_max):
                while _runs(start):
                    with suppress(httpx.TransportError):
                        answer = await client.get(endpoint.url + service.health_path)
                        if answer.status_code == httpx.codes.OK:
                            await self._confirm(top, service.name, start)
                            return endpoint
                    await anyio.sleep(0.05)
        raise await self._give_up(top, service.name, start)

    @_in_thread
    def endpoint(self, ref: SandboxRef, service: str) -> Endpoint:
        """Where a service answers that was up once and whose process still runs."""
        top = self._top(ref)
        with self._running(top, fcntl.LOCK_SH):
            start = _started(top, service)
            if start is None or not start.is_up or not _runs(start):
                raise Unreachable(f"{service} does not run in {top.name}.")
            return _endpoint(top, start)

    @_in_thread
    def stop_service(self, ref: SandboxRef, service: str) -> None:
        """End the processes of its start."""
        top = self._top(ref)
        with self._running(top):
            _forget(top, service)

    @_in_thread
    def _settle(self, top: Path, service: ServiceSpec) -> _Start:
        """The start that runs in this version, or a new one."""
        with self._running(top) as record:
            start = _started(top, service.name)
            if start is not None and start.version == service.version and _runs(start):
                return start
            _forget(top, service.name)
            _put(top, service.files)
            try:
                return _begin(top, service, record.mark)
            except (OSError, ValueError, PortError):
                _forget(top, service.name)
                raise

    @_in_thread
    def _confirm(self, top: Path, service: str, start: _Start) -> None:
        with self._running(top):
            found = _started(top, service)
            if found is None or found.incarnation != start.incarnation:
                raise Transient(f"{service} was stopped while it started.")
            _write(top / f"services/{service}.json", evolve(found, is_up=True))

    @_in_thread
    def _give_up(self, top: Path, service: str, start: _Start) -> Transient:
        """End what never answered, so that the next call starts it anew; the error to raise."""
        with self._running(top):
            tail = _tail(top, service, start)
            found = _started(top, service)
            if found is not None and found.incarnation == start.incarnation:
                _forget(top, service)
        return Transient(f"{service} did not answer.", log_tail=tail)

    # Both

    def _top(self, ref: SandboxRef) -> Path:
        if ref.provider != self.id or not ref.name or ref.name.startswith(".") or "/" in ref.name:
            raise Permanent(f"{ref} is no sandbox of the provider {self.id}.")
        return self._root / ref.name

    @contextmanager
    def _guard(self, top: Path, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
        """Hold the lock for this name. It lies beside the sandboxes: it is there before one is, and after."""
        guard = self._root / ".guards" / str(zlib.crc32(top.name.encode()) % GUARDS)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        guard.parent.mkdir(exist_ok=True)
        give_up_at = time.monotonic() + GUARD_SECONDS
        with guard.open("a") as file:
            while True:
                try:
                    fcntl.flock(file, kind | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > give_up_at:
                        raise Transient(f"Another process works on {top.name}.") from None
                    time.sleep(0.005)
            yield

    @contextmanager
    def _running(self, top: Path, kind: int = fcntl.LOCK_EX) -> Iterator[_Record]:
        """Hold the guard of a sandbox that runs, so that it goes on running. Unreachable when it does not."""
        if _record(top) is not None:
            with self._guard(top, kind):
                record = _record(top)
                if record is not None and record.meant == "running":
                    yield record
                    return
        raise Unreachable(f"The sandbox {top.name} does not run.")


# Records


def _write(path: Path, record: _Record | _Start) -> None:
    """Write it whole or not at all, for our eyes only: a start has the token."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(asdict(record)))
    fresh.replace(path)


def _record(top: Path) -> _Record | None:
    with suppress(FileNotFoundError):
        return _Record(**json.loads((top / "record.json").read_text()))
    return None


def _started(top: Path, service: str) -> _Start | None:
    with suppress(FileNotFoundError):
        return _Start(**json.loads((top / f"services/{service}.json").read_text()))
    return None


# Processes


class _Process(Popen[bytes]):
    """A process that may outlive us: letting go of it is no mistake, so it warns of nothing."""

    def __del__(self) -> None:
        """Leave the process alone."""


_children: dict[int, _Process] = {}


def _spawn(
    argv: Sequence[str], cwd: str, environment: Mapping[str, str], files: tuple[IO[bytes] | int, ...]
) -> _Process:
    """Start a program in a session of its own; `files` are its three. Collects the exits of those before it."""
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            _children.pop(pid, None)
    if not argv:
        raise Permanent("There is no program to run.")
    stdin, stdout, stderr = files
    process = _Process(
        argv, cwd=cwd, env=environment, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
    )
    _children[process.pid] = process
    return process


def _environment(top: Path, mark: str, start: str, added: Mapping[str, str]) -> dict[str, str]:
    """A clean one: nothing of ours but the path, and the marks over everything."""
    own = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(top / "home"), "LANG": "C.UTF-8"}
    return {**own, **added, _MARK: mark, _START: start}


def _marked(value: str, name: str = _MARK) -> list[int]:
    """Which processes carry the mark. One that has ended and waits for its parent shows no environment."""
    pids = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]
    return [pid for pid in pids if _carries(pid, value, name)]


def _carries(pid: int, value: str, name: str) -> bool:
    try:
        return f"{name}={value}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False  # it has ended, or is another user's


def _end(value: str, name: str = _MARK) -> None:
    """Kill whatever carries the mark until two looks in a row find nothing: at the first one may be just in its exec."""
    give_up_at = time.monotonic() + END_SECONDS
    quiet = False
    while True:
        found = _marked(value, name)
        if not found and quiet:
            return
        if time.monotonic() > give_up_at:
            raise Transient(f"{len(found)} processes did not end within {END_SECONDS:.0f} s.")
        for pid in found:
            _kill(pid, value, name)
        quiet = not found
        time.sleep(SETTLE_SECONDS)


def _kill(pid: int, value: str, name: str) -> None:
    """Through a handle, and only while the mark is there: the number may be another process's by now."""
    with suppress(ProcessLookupError, PermissionError):
        handle = os.pidfd_open(pid)
        try:
            if _carries(pid, value, name):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def _identity(pid: str | int) -> str | None:
    """`<pid> <start> <boot>` of the process that has this pid now; None when there is none, or it has ended."""
    try:
        columns = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None if columns[0] in ("Z", "X") else f"{pid} {columns[19]} {boot}"


def _ended(process: _Process, cut: int, timeout_seconds: float) -> bool:
    """Wait for its own end, not for that of its output; False when the time is up, or `cut` was closed at its other end."""
    handle = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.register(cut, select.POLLIN)
        return handle in [descriptor for descriptor, _ in poll.poll(timeout_seconds * 1000)]
    finally:
        os.close(handle)


async def _close_when_cancelled(descriptor: int) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        os.close(descriptor)


def _last(file: IO[bytes], count: int = OUTPUT_BYTES_MAX) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - count))
    return file.read(count)


# Services


def _begin(top: Path, service: ServiceSpec, mark: str) -> _Start:
    """Start it anew. Written down before there is a process: after a crash in between it is found by the incarnation."""
    path = top / f"services/{service.name}.json"
    incarnation, token = secrets.token_hex(16), secrets.token_hex(32)
    start = _Start(service.version, incarnation, token, _free_port(), service.log_path)
    _write(path, start)
    argv = [_filled(part, top, start) for part in service.argv]
    added = {name: _filled(text, top, start) for name, text in service.env.items()}
    with path.with_suffix(".log").open("wb") as log:
        process = _spawn(
            argv, str(top / "home"), _environment(top, mark, incarnation, added), (DEVNULL, log, log)
        )
    start = evolve(start, process=_identity(process.pid))
    _write(path, start)
    return start


def _filled(text: str, top: Path, start: _Start) -> str:
    """Fill in the placeholders, and leave every other brace as it is."""
    values = {
        "home": top / "home",
        "checkout": top / "home/checkout",
        "token": start.token,
        "port": start.port,
    }
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def _free_port() -> int:
    """A port that is free now. Should another take it first, the server ends, and the next try has another one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _runs(start: _Start) -> bool:
    return start.process is not None and start.process == _identity(start.process.split()[0])


def _forget(top: Path, service: str) -> None:
    """End every process of a service's start, and then its record."""
    start = _started(top, service)
    if start is not None:
        _end(start.incarnation, _START)
        (top / f"services/{service}.json").unlink()


def _endpoint(top: Path, start: _Start) -> Endpoint:
    headers = {"Authorization": f"Bearer {start.token}"}
    return Endpoint(f"http://127.0.0.1:{start.port}", headers, start.incarnation, str(top / "home/checkout"))


def _tail(top: Path, service: str, start: _Start) -> str:
    """The end of what it printed and of what it logged, without the token."""
    logs = [(top / f"services/{service}.log").read_bytes()]
    if start.log_path is not None:
        with suppress(OSError, Permanent):
            logs.append(_get(top / "home", start.log_path))
    text = b"\n".join(log[-TAIL_BYTES:] for log in logs).decode(errors="replace")
    return text.replace(start.token, "…").strip()


# Files


@contextmanager
def _opened(home: Path, path: str, *, make: bool = False) -> Iterator[int]:
    """Open a folder below the home step by step, so that no link leads out of it."""
    parts = PurePosixPath(path).parts
    if ".." in parts or path.startswith("/"):
        raise Permanent(f"{path!r} leads out of the home.")
    folder = os.open(home, _FOLDER)
    try:
        for part in parts:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=folder)
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def _split(path: str) -> tuple[str, str]:
    parsed = PurePosixPath(path)
    if parsed.name in ("", ".."):
        raise Permanent(f"{path!r} is no file.")
    return str(parsed.parent), parsed.name


def _put(top: Path, files: Sequence[ProgramFile]) -> None:
    for file in files:
        parent, name = _split(file.path)
        with _opened(top / "home", parent, make=True) as folder:
            fresh = top / f"{secrets.token_hex(8)}.new"
            try:
                if file.host_path is None:
                    fresh.write_bytes(file.content or b"")
                else:
                    shutil.copyfile(file.host_path, fresh)
                fresh.chmod(file.mode)
                os.rename(fresh, name, dst_dir_fd=folder)
            finally:
                fresh.unlink(missing_ok=True)


def _get(home: Path, path: str) -> bytes:
    parent, name = _split(path)
    with _opened(home, parent) as folder:
        # Follows no link, and waits for no other end of a pipe that was planted there.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file:
            seen = os.fstat(file.fileno())
            if not stat.S_ISREG(seen.st_mode) or seen.st_size > FILE_BYTES_MAX:
                raise Permanent(f"{path!r} is no file, or too large.")
            return file.read(FILE_BYTES_MAX)


def _remove(top: Path, record: _Record | None) -> None:
    """End what runs in it, then remove everything, the record last: a crash in between leaves `destroying`."""
    if record is not None:
        _write(top / "record.json", evolve(record, meant="destroying"))
        _end(record.mark)
    if top.is_dir():
        _empty(top)
        (top / "record.json").unlink(missing_ok=True)
        top.rmdir()


def _empty(top: Path) -> None:
    """Remove all but the record. Folders are moved up before they are emptied: however deep they lie, no path grows long."""
    waiting = [top]
    while waiting:
        here = waiting.pop()
        for entry in list(os.scandir(here)):
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                path.chmod(0o700)
                waiting.append(path.rename(top / secrets.token_hex(8)))
            elif path != top / "record.json":
                path.unlink()
        if here != top:
            here.rmdir()


# The spec


async def _open(config: FolderConfig, opening: Opening) -> FolderSandboxes:
    """Open it on Linux; elsewhere there is no /proc to find processes by."""
    if sys.platform != "linux":
        raise Unsupported("The provider 'folder' finds processes in /proc.", mend="use Linux")
    return FolderSandboxes(config.root or opening.folder, opening.now, config.commands_max)


PROVIDER = ProviderSpec("folder", FolderConfig, _open, install="taskdock-folder-provider")
