"""Docker provider: a sandbox is a container of a Docker-compatible engine (Docker, podman) on this machine.

Owns: `PROVIDER`, found through the entry point group `taskdock.sandbox_providers`.
Never: something in memory or on the disk of the host that the next process would miss; an image that is pulled.
Reads as: Taskdock -> `DockerSandboxes` -> the engine's socket, and the keeper in the box by its published port.

A container has the sandbox's name, its labels are the sandbox's, its files are its own: removing it leaves nothing. Its
main program is the keeper: the second part of this file (`INSIDE`), which the container carries as its command. The
keeper runs commands and services, and forgets all with every stop of the box, just as they end. Its key is in the
container's environment, where any process of Taskdock finds it that may use the engine, and no other user of the host.
"""

from __future__ import annotations

import errno
import hmac
import inspect
import json
import os
import re
import secrets
import select
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from subprocess import DEVNULL, Popen
from tempfile import TemporaryFile
from typing import IO, Any, ClassVar

import anyio
import httpx
from anyio import CapacityLimiter, to_thread
from attrs import field, frozen
from attrs.validators import ge, gt, le, optional

from taskdock.core.errors import (
    AuthFailed,
    Foreign,
    OutcomeUnknown,
    Permanent,
    PortError,
    QuotaExceeded,
    Transient,
    Unreachable,
    Unsupported,
)
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

LABEL = "taskdock."
PORTS_LABEL = "taskdock-ports"
CREATE_WINDOW_SECONDS = 15.0
ENGINE_SECONDS = 60.0
TAKEN_SECONDS = 10.0
UP_SECONDS = 20.0

# The exception map: what the engine's refusals mean. Other 5xx are `OutcomeUnknown` for what makes something.
_STATUSES: dict[int, type[PortError]] = {
    401: AuthFailed,
    403: AuthFailed,
    408: Transient,
    409: Transient,
    429: Transient,
    503: Transient,
    507: QuotaExceeded,
}
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_PHASES = {
    "created": Phase.PENDING,
    "configured": Phase.PENDING,
    "initialized": Phase.PENDING,
    "restarting": Phase.PENDING,
    "running": Phase.RUNNING,
    "stopping": Phase.STOPPING,
    "stopped": Phase.STOPPED,
    "exited": Phase.STOPPED,
    "removing": Phase.DESTROYING,
    "dead": Phase.DESTROYING,
}
_NEVER_STARTED = ("created", "configured")
_PORT_TAKEN = re.compile("address already in use|port is already allocated")  # podman's words, and Docker's


class PortTaken(Transient):
    """Somebody else listens on the host where a port of the box is published."""


@frozen
class DockerConfig:
    """The table `[provider.docker]`."""

    image: str
    socket: Path = Path("/var/run/docker.sock")
    python: str = "python3"
    uid: int = field(default=1000, validator=ge(1))
    """What runs inside is this user; the image need not know it."""
    network: str = "bridge"
    memory_mib: int | None = field(default=None, validator=optional(ge(64)))
    cpus: float | None = field(default=None, validator=optional(gt(0)))
    processes_max: int = field(default=1024, validator=ge(16))
    services_max: int = field(default=4, validator=ge(1))
    """How many services may run in one box: so many ports it publishes, and one more."""
    port_min: int = field(default=10_000, validator=ge(1))
    port_max: int = field(default=32_767, validator=le(65_535))
    """Where boxes publish, on 127.0.0.1. Below the ports that a host gives to connections that go out (Linux: 32768
    and more): one of those could take the port of a box while that is stopped."""


@frozen
class _Box:
    """What the engine said about one container."""

    id: str
    word: str
    labels: Mapping[str, str]
    read_at: datetime
    created_at: datetime
    exit_code: int = 0
    ports: Mapping[str, Sequence[Mapping[str, str]] | None] = field(factory=dict)
    key: str = field(default="", repr=False)

    @property
    def phase(self) -> Phase:
        return _PHASES.get(self.word, Phase.UNKNOWN)

    def url(self, port: int) -> str:
        """Where a port of the box is published."""
        bound = self.ports.get(f"{port}/tcp")
        if not bound:
            raise Unreachable("The engine does not tell where a port of the box is published.")
        return f"http://127.0.0.1:{bound[0]['HostPort']}"

    def told(self, ref: SandboxRef) -> Observation:
        """The same in our words."""
        reason = None if self.word in _PHASES else f"The engine says that it is {self.word}."
        return Observation(
            ref, self.phase, self.read_at, reason, labels=self.labels, created_at=self.created_at
        )


class DockerSandboxes:
    """Both sandbox ports. All there is to know is in the engine and in the boxes."""

    id = "docker"

    def __init__(self, config: DockerConfig, now: Callable[[], datetime]) -> None:
        self._config, self._now = config, now
        self.capabilities = _capabilities(config)
        # No connection is kept: a stale one would make a refused request look like a lost answer.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        transport = httpx.AsyncHTTPTransport(uds=str(config.socket), limits=limits)
        timeout = httpx.Timeout(ENGINE_SECONDS, connect=10.0)
        self._engine = httpx.AsyncClient(transport=transport, base_url="http://engine", timeout=timeout)
        self._keepers = httpx.AsyncClient(
            trust_env=False, limits=limits, timeout=httpx.Timeout(None, connect=5.0)
        )
        self._threads = CapacityLimiter(4)

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._engine.aclose()
        await self._keepers.aclose()

    # Life and death

    async def observe(self, ref: SandboxRef) -> Observation:
        """Ask the engine for the container of this name."""
        box = await self._look(ref)
        return Observation(ref, Phase.ABSENT, self._now()) if box is None else box.told(ref)

    async def ensure(self, spec: SandboxSpec) -> Observation:
        """Make and start the container, or adopt the one that has these labels."""
        until = anyio.current_time() + TAKEN_SECONDS
        while (box := await self._made(spec, until)) is not None and box.word in _NEVER_STARTED:
            try:
                await self._launch(spec.ref, box)
                break
            except PortTaken:
                if anyio.current_time() > until:
                    raise
                # It never ran, so nothing is in it: the next one gets other ports. Without force, one that runs by now stays.
                query, gone_or_runs = {"v": "1"}, {204, 404, 409, 500}
                await self._call("DELETE", f"/containers/{box.id}", gone_or_runs, makes=True, params=query)
        return await self.observe(spec.ref)

    async def _made(self, spec: SandboxSpec, until: float) -> _Box | None:
        """The container, made if there is none; None if it went at once."""
        while (box := await self._look(spec.ref)) is None:
            taken = await self._create(spec)
            if taken is None:
                box = await self._look(spec.ref)
                break
            if anyio.current_time() > until:
                raise _refused(taken, makes=True)
            await anyio.sleep(0.1)  # what has the name is just going, or is about to show itself
        if box is not None and box.labels != spec.labels:
            raise Foreign(f"The container {spec.ref.name} belongs to somebody else: {dict(box.labels)}.")
        return box

    async def start(self, ref: SandboxRef, owner: str) -> Observation:
        """Start the container."""
        box = await self._owned(ref, owner)
        if box is not None and box.phase is not Phase.RUNNING:
            await self._launch(ref, box)
        return await self.observe(ref)

    async def stop(self, ref: SandboxRef, owner: str) -> Observation:
        """Kill everything in the container."""
        box = await self._owned(ref, owner)
        if box is not None and box.word in _NEVER_STARTED:  # an engine stops only what has run
            await self._launch(ref, box)
        if box is not None and box.phase is not Phase.STOPPED:
            done = {Phase.STOPPED, Phase.STOPPING}
            await self._order(ref, box, done, "POST", f"/containers/{box.id}/stop", {"t": "2"})
        return await self.observe(ref)

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        """Remove the container, running or not."""
        box = await self._owned(ref, owner)
        if box is not None:
            query = {"force": "1", "v": "1"}
            await self._order(ref, box, {Phase.DESTROYING}, "DELETE", f"/containers/{box.id}", query)
        return await self.observe(ref)

    async def list_owned(self, owner: str) -> AsyncIterator[Observation]:
        """Ask the engine for all containers with this owner's label."""
        read_at = self._now()
        query = {"all": "1", "filters": json.dumps({"label": [f"{LABEL}owner={owner}"]})}
        for found in (await self._call("GET", "/containers/json", {200}, params=query)).json():
            labels = _labels(found["Labels"])
            if labels.get("owner") == owner:
                made = datetime.fromtimestamp(found["Created"], read_at.tzinfo)
                name = found["Names"][0].removeprefix("/")
                yield _Box(found["Id"], found["State"], labels, read_at, made).told(SandboxRef(self.id, name))

    async def _look(self, ref: SandboxRef) -> _Box | None:
        read_at = self._now()
        reply = await self._call("GET", f"/containers/{ref.name}/json", {200, 404})
        said = reply.json()
        # The engine takes the beginning of an id for a name, too.
        if reply.status_code == 404 or said["Name"].removeprefix("/") != ref.name:
            return None
        env = dict(line.partition("=")[::2] for line in said["Config"]["Env"] or ())
        return _Box(
            said["Id"],
            said["State"]["Status"],
            _labels(said["Config"]["Labels"]),
            read_at,
            datetime.fromisoformat(said["Created"]),
            said["State"]["ExitCode"],
            said["NetworkSettings"]["Ports"] or {},
            env.get("TASKDOCK_KEY", ""),
        )

    async def _owned(self, ref: SandboxRef, owner: str) -> _Box | None:
        box = await self._look(ref)
        if box is not None and box.labels.get("owner") != owner:
            raise Foreign(f"The container {ref.name} belongs to somebody else: {dict(box.labels)}.")
        return box

    async def _create(self, spec: SandboxSpec) -> httpx.Response | None:
        """Make the container; None, or the refusal, which may mean that the name is taken."""
        config = self._config
        published = await self._free_ports()
        bindings = {
            f"{PORT + number}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]
            for number, port in enumerate(published)
        }
        asked = {
            "Image": config.image,
            "Entrypoint": [config.python],  # whatever the image has
            "Cmd": ["-I", "-S", "-c", INSIDE, str(config.uid), str(config.services_max)],
            "Env": [f"TASKDOCK_KEY={secrets.token_urlsafe(32)}"],
            "User": "0:0",  # until the keeper has made its folders; it keeps no right then
            "WorkingDir": "/",
            "StopSignal": "SIGKILL",
            "Labels": {
                PORTS_LABEL: f"{published[0]}-{published[-1]}",
                **{f"{LABEL}{key}": value for key, value in spec.labels.items()},
            },
            "ExposedPorts": {port: {} for port in bindings},
            "HostConfig": {
                "Init": True,
                "NetworkMode": config.network,
                "CapDrop": ["ALL"],
                "CapAdd": ["CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID"],
                "SecurityOpt": ["no-new-privileges"],
                "PidsLimit": config.processes_max,
                "Memory": (config.memory_mib or 0) << 20,
                "NanoCpus": int((config.cpus or 0) * 1e9),
                "PortBindings": bindings,
            },
        }
        # "Taken" is 409 at Docker and 500 at podman: whoever looks again knows.
        query = {"name": spec.ref.name}
        reply = await self._call(
            "POST", "/containers/create", {201, 409, 500}, makes=True, params=query, json=asked
        )
        return None if reply.status_code == 201 else reply

    async def _free_ports(self) -> range:
        """Ports of the host for a new box, none of them a box's, be that stopped. Who else has one shows at the start."""
        config, query = self._config, {"all": "1", "filters": json.dumps({"label": [PORTS_LABEL]})}
        taken: set[int] = set()
        for found in (await self._call("GET", "/containers/json", {200}, params=query)).json():
            first, _, last = found["Labels"][PORTS_LABEL].partition("-")
            taken.update(range(int(first), int(last) + 1))
        size = config.services_max + 1
        blocks = (
            range(first, first + size) for first in range(config.port_min, config.port_max + 2 - size, size)
        )
        free = [block for block in blocks if taken.isdisjoint(block)]
        if not free:
            raise QuotaExceeded(
                f"Every port from {config.port_min} to {config.port_max} is some box's: destroy boxes, or widen"
                " port_min and port_max."
            )
        return secrets.choice(free)

    async def _launch(self, ref: SandboxRef, box: _Box) -> None:
        """Start the container, and wait until its keeper answers."""
        await self._order(ref, box, {Phase.RUNNING}, "POST", f"/containers/{box.id}/start", {})
        with anyio.move_on_after(UP_SECONDS):
            while (now := await self._look(ref)) is not None and now.phase is Phase.RUNNING:
                if await self._is_up(now):
                    return
                await anyio.sleep(0.05)
            if now is not None and now.exit_code not in (0, 128 + signal.SIGKILL):
                raise Permanent(f"{self._config.image} does not stay up.", log_tail=await self._log(box))

    async def _log(self, box: _Box) -> str:
        """The end of what the keeper said, without the frames that part it."""
        query = {"stdout": "1", "stderr": "1", "tail": "20"}
        said = (await self._call("GET", f"/containers/{box.id}/logs", {200}, params=query)).content
        return re.sub(rb"[\x01\x02]\0\0\0....", b"", said, flags=re.DOTALL).decode(errors="replace")

    async def _order(
        self, ref: SandboxRef, box: _Box, enough: set[Phase], method: str, path: str, query: dict[str, str]
    ) -> None:
        """Ask something of this very container. A refusal counts only if it is there and not as it was to be."""
        try:
            await self._call(method, path, {200, 204, 304, 404}, makes=True, params=query)
        except Unreachable:
            raise
        except (OutcomeUnknown, Transient):
            now = await self._look(ref)
            if now is not None and now.id == box.id and now.phase not in enough:
                raise

    async def _call(
        self, method: str, path: str, hoped: set[int], *, makes: bool = False, **how: Any
    ) -> httpx.Response:
        """Ask the engine. `makes` says that a lost answer leaves something to find out."""
        try:
            with anyio.fail_after(ENGINE_SECONDS):
                reply = await self._engine.request(method, path, **how)
        except _NOT_SENT as error:
            raise _unreachable(error) from error
        except (httpx.TransportError, TimeoutError) as error:
            kind = OutcomeUnknown if makes else Transient
            raise kind("The engine took the request and gave no answer.") from error
        if reply.status_code not in hoped:
            raise _refused(reply, makes)
        return reply

    # Inside

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        """Let the keeper run it. It kills it when this call is cancelled: it sees the connection end."""
        ask = {
            "argv": command.argv,
            "cwd": command.cwd,
            "env": dict(command.env),
            "seconds": command.timeout_seconds,
        }
        _, said, (out, err) = await self._ask(ref, "exec", ask, [command.stdin], command.timeout_seconds)
        if said["code"] is None:
            tail = (out + err)[-4096:].decode(errors="replace")
            raise Transient(f"{command.argv[0]} did not end in {command.timeout_seconds} s.", log_tail=tail)
        return ExecResult(said["code"], out, err)

    async def put_files(self, ref: SandboxRef, files: Sequence[ProgramFile]) -> None:
        """Let the keeper write each beside its place, then move it there."""
        await self._ask(ref, "put", _listed(files), await self._bodies(files))

    async def get_file(self, ref: SandboxRef, path: str) -> bytes:
        """Let the keeper read a regular file below the home."""
        _, _, (content,) = await self._ask(ref, "get", {"path": path})
        return content

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        """Let the keeper adopt it or, when that needs files, start it; the answer comes when it is healthy."""
        seconds = service.start_seconds_max
        known = {"name": service.name, "version": service.version, "seconds": seconds}
        box, said, _ = await self._ask(ref, "ensure", known, seconds=seconds)
        if said["verdict"] == "none":
            begun = {"argv": service.argv, "env": dict(service.env), "health": service.health_path}
            ask = {**known, **begun, **_listed(service.files), "log_path": service.log_path}
            box, said, _ = await self._ask(ref, "ensure", ask, await self._bodies(service.files), seconds)
        if said["verdict"] != "up":
            reason = {"ended": "ended before it answered", "silent": f"did not answer in {seconds} s"}
            raise Transient(f"{service.name} {reason[said['verdict']]}.", log_tail=said["tail"])
        return _endpoint(box, said)

    async def endpoint(self, ref: SandboxRef, service: str) -> Endpoint:
        """Ask the keeper for a service that was up once and still runs."""
        box, said, _ = await self._ask(ref, "endpoint", {"name": service})
        if said["verdict"] != "up":
            raise Unreachable(f"{service} does not run in {ref.name}.")
        return _endpoint(box, said)

    async def stop_service(self, ref: SandboxRef, service: str) -> None:
        """Let the keeper end all its processes."""
        await self._ask(ref, "stop", {"name": service})

    async def _ask(
        self,
        ref: SandboxRef,
        verb: str,
        ask: Mapping[str, Any],
        bodies: Sequence[bytes] = (),
        seconds: float = 0.0,
    ) -> tuple[_Box, dict[str, Any], list[bytes]]:
        """Ask the keeper: a line of JSON and bytes to it, the same back."""
        box = await self._kept(ref)
        line = json.dumps({**ask, "sizes": [len(body) for body in bodies]}).encode() + b"\n"
        content = b"".join([line, *bodies])
        try:
            with anyio.fail_after(seconds + 60.0 + len(content) / 500_000):
                reply = await self._keepers.post(
                    f"{box.url(PORT)}/{verb}", headers=_keyed(box), content=content
                )
        except _NOT_SENT as error:
            raise Unreachable(f"The keeper of {ref.name} does not answer.") from error
        except (httpx.TransportError, TimeoutError) as error:
            # Asking again is safe where it goes by name. What became of a command or a file, nobody knows.
            kind = OutcomeUnknown if verb in ("exec", "put") else Transient
            raise kind(f"The sandbox {ref.name} was asked, and gave no answer.") from error
        said, parts = _parts(reply.content)
        if reply.status_code != httpx.codes.OK:
            raise (Transient if said.get("may_pass") else Permanent)(f"{said['why']}.")
        return box, said, parts

    async def _kept(self, ref: SandboxRef) -> _Box:
        """The box, if it runs, as soon as its keeper answers."""
        box = await self._look(ref)
        if box is None or box.phase is not Phase.RUNNING:
            raise Unreachable(f"The sandbox {ref.name} does not run.")
        with anyio.move_on_after(UP_SECONDS):
            while not await self._is_up(box):
                await anyio.sleep(0.03)
            return box
        raise Unreachable(f"The keeper of {ref.name} does not answer.")

    async def _is_up(self, box: _Box) -> bool:
        """Whether its keeper answers. Between the start of a box and that, connections are refused or broken."""
        with suppress(httpx.TransportError):
            answer = await self._keepers.get(box.url(PORT), headers=_keyed(box), timeout=5.0)
            return answer.status_code == httpx.codes.OK
        return False

    async def _bodies(self, files: Sequence[ProgramFile]) -> list[bytes]:
        def read() -> list[bytes]:
            return [file.host_path.read_bytes() if file.host_path else file.content or b"" for file in files]

        try:
            return await to_thread.run_sync(read, limiter=self._threads)
        except OSError as error:
            raise Permanent(f"{error}.") from error


def _capabilities(config: DockerConfig) -> Capabilities:
    limits = [f"Processes: {config.processes_max}."]
    limits += [f"Memory: {config.memory_mib} MiB for all of a sandbox together."] if config.memory_mib else []
    limits += [f"Processor time: {config.cpus} processors."] if config.cpus else []
    open_ends = [
        "The kernel is shared with the host, and user namespaces are as the engine is set up.",
        "The network is not limited: what runs inside reaches whatever the engine's network reaches.",
        "Disk space is not limited; what a command or a service prints lies on the disk until it ends.",
        "A process that empties its environment and leaves its parents outlives its command, not its sandbox.",
    ]
    open_ends += [] if config.memory_mib else ["Memory is not limited (memory_mib)."]
    open_ends += [] if config.cpus else ["Processor time is not limited (cpus)."]
    return Capabilities(
        place=socket.gethostname(),
        isolation="container",
        create_window_seconds=CREATE_WINDOW_SECONDS,
        stop_keeps_files=True,
        limits=tuple(limits),
        not_enforced=tuple(open_ends),
    )


def _unreachable(error: BaseException) -> PortError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PermissionError):
            return AuthFailed("This user may not use the engine's socket.")
        cause = cause.__cause__ or cause.__context__
    return Unreachable("The engine does not answer on its socket.")


def _refused(reply: httpx.Response, makes: bool) -> PortError:  # noqa: FBT001
    """What an answer of the engine means that is none of those that were hoped for."""
    try:
        reason = f"The engine refused: {reply.json()['message']}"
    except (ValueError, KeyError, TypeError):
        reason = f"The engine refused with the status {reply.status_code}."
    if _PORT_TAKEN.search(reason):
        return PortTaken(reason)
    unknown = OutcomeUnknown if makes else Transient
    kind = _STATUSES.get(reply.status_code, unknown if reply.is_server_error else Permanent)
    later = reply.headers.get("Retry-After", "")
    return (
        Transient(reason, retry_after_seconds=float(later))
        if kind is Transient and later.isdigit()
        else kind(reason)
    )


def _labels(labels: Mapping[str, str] | None) -> dict[str, str]:
    return {key[len(LABEL) :]: value for key, value in (labels or {}).items() if key.startswith(LABEL)}


def _listed(files: Sequence[ProgramFile]) -> dict[str, Any]:
    return {"files": [(file.path, file.mode) for file in files]}


def _endpoint(box: _Box, said: Mapping[str, Any]) -> Endpoint:
    headers = {"Authorization": f"Bearer {said['token']}"}
    return Endpoint(box.url(said["slot"]), headers, said["word"], CHECKOUT)


def _keyed(box: _Box) -> dict[str, str]:
    return {"Authorization": f"Bearer {box.key}"}


def _parts(content: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Take apart what `Keeper.answer` put together."""
    line, _, rest = content.partition(b"\n")
    said: dict[str, Any] = json.loads(line)
    parts = []
    for size in said["sizes"]:
        parts.append(rest[:size])
        rest = rest[size:]
    return said, parts


# The keeper: what follows runs in the box, on the standard library of Python 3.9, as `INSIDE` puts it together.

HOME, STAGED = "/box/home", "/box/staged"
CHECKOUT = f"{HOME}/checkout"
PORT = 17000  # the keeper's; the ports after it are the slots
BLOCK, OUTPUT_BYTES_MAX, TAIL_BYTES = 1 << 16, 1 << 20, 4096
END_SECONDS, LOCK_SECONDS = 10.0, 60.0
MARK = "TASKDOCK_START"
MAY_PASS = (errno.EAGAIN, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ETXTBSY)


class Job:
    """A program that was started, and all that it starts: whatever has its word in its environment, and their children."""

    def __init__(self, ask: dict[str, Any], cwd: str, stdin: IO[bytes] | int) -> None:
        self.word = secrets.token_hex(16)
        self.stdout, self.stderr = (TemporaryFile(dir=STAGED) for _ in range(2))  # noqa: SIM115 - they live as long as it
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": HOME, **ask["env"], MARK: self.word}
        with opened(cwd) as folder:
            self.process = Popen(
                ask["argv"],
                cwd=f"/proc/self/fd/{folder}",
                env=env,
                stdin=stdin,
                stdout=self.stdout,
                stderr=self.stderr,
                start_new_session=True,
            )

    def end(self) -> None:
        """Kill all of it until none was found twice: one look may miss what is forking."""
        until, quiet = time.monotonic() + END_SECONDS, 0
        while quiet < 2:
            found = self.family()
            quiet = 0 if found else quiet + 1
            if time.monotonic() > until:
                raise TimeoutError(errno.EAGAIN, f"{found} do not end")
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
        self.process.wait(END_SECONDS)

    def family(self) -> set[int]:
        """The processes that live."""
        parents, found = {}, set()
        mark = f"{MARK}={self.word}".encode()
        for pid in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
            words = peek(f"/proc/{pid}/stat").rpartition(b")")[2].split()
            if words and words[0] not in (b"Z", b"X"):
                parents[pid] = int(words[1])
                if mark in peek(f"/proc/{pid}/environ").split(b"\0"):
                    found.add(pid)
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found


class Service(Job):
    """A job that answers on a port of the box's loopback, with a slot: the published port that leads there."""

    def __init__(self, ask: dict[str, Any], slot: int) -> None:
        self.ask, self.slot = ask, slot
        self.token, self.is_up = secrets.token_urlsafe(32), False
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        env = {key: self.filled(value) for key, value in ask["env"].items()}
        super().__init__({"argv": [self.filled(word) for word in ask["argv"]], "env": env}, ".", DEVNULL)

    def filled(self, text: str) -> str:
        """Fill in the placeholders, and leave every other brace as it is."""
        values = {"home": HOME, "checkout": CHECKOUT, "token": self.token, "port": str(self.port)}
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def answers(self) -> bool:
        """Whether it is healthy."""
        line = HTTPConnection("127.0.0.1", self.port, timeout=2.0)
        try:
            line.request("GET", self.ask["health"], headers={"Authorization": f"Bearer {self.token}"})
            return line.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            line.close()

    def told(self, verdict: str) -> dict[str, Any]:
        """What the provider learns of it; the end of its output, without the token, when it is not up."""
        if verdict == "up":
            return {"verdict": verdict, "word": self.word, "token": self.token, "slot": self.slot}
        logs = [last(self.stdout), last(self.stderr)]
        with suppress(OSError, ValueError):
            logs.append(read(self.ask["log_path"] or ""))
        text = b"".join(log[-TAIL_BYTES:] for log in logs).decode(errors="replace")
        return {"verdict": verdict, "tail": text.replace(self.token, "...")}


class Keeper(BaseHTTPRequestHandler):
    """Answers the provider. Errors of the system go back by class; a line that breaks while a command runs ends it."""

    timeout = LOCK_SECONDS
    services: ClassVar[dict[str, Service]] = {}
    slots: ClassVar[set[int]] = set()
    lock = threading.Lock()

    def do_GET(self) -> None:
        """Say that the box is up, to who has the key."""
        self.answer(200 if self.is_known() else 401, {})

    def do_POST(self) -> None:
        """Do what the path names."""
        if not self.is_known():
            return self.answer(401, {"why": "who asks has not the key"})
        ask = json.loads(self.rfile.readline())
        try:
            said, *parts = getattr(self, f"do_{self.path[1:]}")(ask)
        except (OSError, ValueError) as error:
            may_pass = isinstance(error, TimeoutError) or getattr(error, "errno", None) in MAY_PASS
            return self.answer(422, {"why": str(error), "may_pass": may_pass})
        return self.answer(200, said, parts)

    def is_known(self) -> bool:
        """Whether who asks has the key."""
        wanted = f"Bearer {os.environ['TASKDOCK_KEY']}"
        return hmac.compare_digest(self.headers.get("Authorization", "").encode(), wanted.encode())

    def answer(self, status: int, said: dict[str, Any], parts: Sequence[bytes] = ()) -> None:
        """Send a line of JSON, and bytes."""
        line = json.dumps({**said, "sizes": [len(part) for part in parts]}).encode() + b"\n"
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(line) + sum(map(len, parts))))
        self.end_headers()
        for part in (line, *parts):
            self.wfile.write(part)

    def taken(self, size: int, into: IO[bytes]) -> None:
        """Take bytes that the provider sends."""
        while size:
            data = self.rfile.read(min(size, BLOCK))
            if not data:
                raise OSError(errno.EAGAIN, "the provider broke off")
            into.write(data)
            size -= len(data)

    def do_exec(self, ask: dict[str, Any]) -> tuple[Any, ...]:
        """Run a command until it ends, its time is up, or nobody wants to know any more."""
        with TemporaryFile(dir=STAGED) as stdin:
            self.taken(ask["sizes"][0], stdin)
            stdin.seek(0)
            job = Job(ask, ask["cwd"], stdin)
        with job.stdout, job.stderr:
            ended = os.pidfd_open(job.process.pid)
            ready, _, _ = select.select([ended, self.connection], [], [], ask["seconds"])
            os.close(ended)
            if ended not in ready:
                job.end()
            code = job.process.wait() if ended in ready else None
            shown = 128 - code if code is not None and code < 0 else code
            return {"code": shown}, last(job.stdout), last(job.stderr)

    def do_put(self, ask: dict[str, Any]) -> tuple[Any, ...]:
        """Write every file beside its place, then move them there."""
        with self.staged(ask) as files:
            place(files)
        return ({},)

    @contextmanager
    def staged(self, ask: dict[str, Any]) -> Iterator[list[tuple[Path, str]]]:
        """Take the files; each with its path."""
        listed = ask.get("files", ())
        files = [(Path(STAGED, secrets.token_hex(8)), path) for path, _ in listed]
        try:
            for (fresh, _), (_, mode), size in zip(files, listed, ask["sizes"]):  # noqa: B905 - Python 3.9
                with fresh.open("xb") as file:
                    self.taken(size, file)
                fresh.chmod(mode)
            yield files
        finally:
            for fresh, _ in files:
                fresh.unlink(missing_ok=True)

    def do_get(self, ask: dict[str, Any]) -> tuple[Any, ...]:
        """Read a file."""
        return {}, read(ask["path"])

    def do_ensure(self, ask: dict[str, Any]) -> tuple[Any, ...]:
        """Adopt a service that runs in this version, or start it if the question says how."""
        with self.staged(ask) as files, self.alone():
            found = self.running(ask["name"])
            if found is None or found.ask["version"] != ask["version"]:
                if "argv" not in ask:
                    return ({"verdict": "none"},)
                self.ended(ask["name"])
                place(files)
                free = self.slots - {one.slot for one in self.services.values()}
                if not free:
                    raise OSError(errno.EAGAIN, "as many services run as may (services_max)")
                found = self.services[ask["name"]] = Service(ask, min(free))
        return (self.settled(found, ask),)

    def settled(self, service: Service, ask: dict[str, Any]) -> dict[str, Any]:
        """Wait until it is healthy, without the lock, so that a stop need not wait. What does not come up is ended."""
        until = time.monotonic() + ask["seconds"]
        while (runs := service.process.poll() is None) and time.monotonic() < until:
            if service.is_up or service.answers():
                service.is_up = True
                return service.told("up")
            time.sleep(0.03)
        with self.alone():
            if self.services.get(ask["name"]) is service:
                self.ended(ask["name"])
        return service.told("silent" if runs else "ended")

    def do_endpoint(self, ask: dict[str, Any]) -> tuple[Any, ...]:
        """Where a service is that was up and runs."""
        found = self.running(ask["name"])
        return (found.told("up") if found and found.is_up else {"verdict": "none"},)

    def do_stop(self, ask: dict[str, Any]) -> tuple[Any, ...]:
        """End a service."""
        with self.alone():
            self.ended(ask["name"])
        return ({},)

    def running(self, name: str) -> Service | None:
        """A service whose own process lives."""
        found = self.services.get(name)
        return found if found and found.process.poll() is None else None

    def ended(self, name: str) -> None:
        """Under the lock: end a service, and forget it."""
        if name in self.services:
            self.services[name].end()
            del self.services[name]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else starts or ends a service meanwhile."""
        if not self.lock.acquire(timeout=LOCK_SECONDS):
            raise OSError(errno.EAGAIN, "somebody else goes on starting or ending a service")
        try:
            yield
        finally:
            self.lock.release()


class Relay(BaseRequestHandler):
    """Carries what comes in by a slot to the loopback of the box, where its service listens."""

    def handle(self) -> None:
        """Until either side ends."""
        slot = self.request.getsockname()[1]
        ports = [one.port for one in list(Keeper.services.values()) if one.slot == slot]
        with suppress(OSError, IndexError), socket.create_connection(("127.0.0.1", ports[0]), 10.0) as inner:
            inner.settimeout(None)
            back = threading.Thread(target=self.pump, args=(inner, self.request), daemon=True)
            back.start()
            self.pump(self.request, inner)
            back.join()

    def pump(self, source: socket.socket, target: socket.socket) -> None:
        """Carry one way, then end both."""
        with suppress(OSError):
            while data := source.recv(BLOCK):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Gate(ThreadingTCPServer):
    """Listens on one port of the box."""

    daemon_threads = True
    request_queue_size = 128


def peek(path: str) -> bytes:
    """Read a file of /proc; nothing when its process has just gone."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def last(file: IO[bytes]) -> bytes:
    """The end of what was printed."""
    return os.pread(
        file.fileno(), OUTPUT_BYTES_MAX, max(0, os.fstat(file.fileno()).st_size - OUTPUT_BYTES_MAX)
    )


@contextmanager
def opened(path: str, *, make: bool = False) -> Iterator[int]:
    """Open a folder below the home step by step, so that no link leads out of it."""
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{path!r} leads out of the home")
    folder = os.open(HOME, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in path.split("/"):
            if part not in ("", "."):
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=folder)
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
        yield folder
    finally:
        os.close(folder)


def split(path: str) -> tuple[str, str]:
    """The folder of a file, and its name there."""
    parent, _, name = path.rpartition("/")
    if path.startswith("/") or name in ("", ".", ".."):
        raise ValueError(f"{path!r} is no file below the home")
    return parent, name


def place(files: list[tuple[Path, str]]) -> None:
    """Move files that lie ready to where they belong."""
    for fresh, path in files:
        parent, name = split(path)
        with opened(parent, make=True) as folder:
            os.rename(fresh, name, dst_dir_fd=folder)


def read(path: str) -> bytes:
    """Read a file: no link, and no pipe whose other end was planted there."""
    parent, name = split(path)
    with opened(parent) as folder:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(f"{path!r} is no regular file")
            return file.read()


def keep(uid: int, services_max: int) -> None:
    """Make the folders, become the user, and answer. Ends with the box."""
    Keeper.slots = set(range(PORT + 1, PORT + 1 + services_max))
    for folder in (CHECKOUT, STAGED):
        Path(folder).mkdir(parents=True, exist_ok=True)
    for folder in (HOME, CHECKOUT, STAGED):
        os.chown(folder, uid, uid)
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    os.umask(0o022)
    for slot in Keeper.slots:
        threading.Thread(target=Gate(("", slot), Relay).serve_forever, daemon=True).start()
    Gate(("", PORT), Keeper).serve_forever()


_SOURCE = inspect.getsource(sys.modules[__name__])
_KEEPER = _SOURCE[_SOURCE.index("HOME, STAGED") : _SOURCE.index("\n_SOURCE")]
# Its first line is by what the keeper is known among the processes of its box.
INSIDE = (
    f"# taskdock-keeper\n{_SOURCE[: _SOURCE.index('import anyio')]}{_KEEPER}keep(*map(int, sys.argv[1:]))"
)


# The spec


async def _open(config: DockerConfig, opening: Opening) -> DockerSandboxes:
    """Open it where the engine has its socket."""
    if not config.socket.is_socket():
        raise Unsupported(
            f"There is no socket of an engine at {config.socket}.",
            mend=f"podman system service --time=0 unix://{config.socket}",
        )
    return DockerSandboxes(config, opening.now)


PROVIDER = ProviderSpec("docker", DockerConfig, _open, install="taskdock-docker-provider")
