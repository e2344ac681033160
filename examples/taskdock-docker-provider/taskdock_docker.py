"""Sandboxes for Taskdock that are containers of a Docker-compatible engine (Docker, podman), over its unix socket.

One sandbox is one container of the same name; its files are the container's own, so removing it leaves nothing.
Whatever has to be done inside is done by `INSIDE`, a program for the container's Python that reads one request on its
stdin and writes one answer. It lives on when Taskdock dies: locks, records and supervisors of services are in the box,
on a tmpfs that goes with every stop.
"""

import json
import secrets
import socket
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpcore
import httpx
from attrs import field, frozen
from attrs.validators import ge, gt, optional

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

HOME = "/box/home"
CHECKOUT = f"{HOME}/checkout"
FOLDERS = {"box": 0o755, "box/home": 0o700, "box/home/checkout": 0o755, "box/staged": 0o700, "box/logs": 0o700}
FIRST_PORT = 17000
LABEL = "taskdock."
CREATE_WINDOW_SECONDS = 30.0
ENGINE_SECONDS = 60.0
TAKEN_SECONDS = 10.0


@frozen
class DockerConfig:
    """The table [provider.docker]."""

    image: str
    socket: Path = Path("/var/run/docker.sock")
    python: str = "python3"
    user: str = "1000:1000"
    network: str = "bridge"
    memory_mib: int | None = field(default=None, validator=optional(ge(64)))
    cpus: float | None = field(default=None, validator=optional(gt(0)))
    processes_max: int = field(default=1024, validator=ge(16))
    services_max: int = field(default=4, validator=ge(1))


# The program that works inside. Faults are answered by class; nothing of it needs a shell, nor a secret in its argv.
INSIDE = r'''# taskdock-docker
import ctypes, errno, fcntl, json, os, secrets, selectors, signal, socket, stat, subprocess, sys, threading, time

MIB, HOME, STAGED, LOGS = 1 << 20, "/box/home", "/box/staged", "/box/logs"
SOON = (errno.EAGAIN, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ETXTBSY)
INPUT = os.fdopen(0, "rb", buffering=MIB)

class Ended(BaseException):
    pass

class Fault(Exception):
    def __init__(self, why, kind="permanent"):
        self.why, self.kind = why, kind

def on_term(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Ended

def answer(head, *bodies):
    data = json.dumps({**head, "sizes": [len(body) for body in bodies]}).encode() + b"\n" + b"".join(bodies)
    while data:
        data = data[os.write(1, data):]

def adopt_orphans():
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER

def look(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            words = file.read().rpartition(")")[2].split()
        return words[0], int(words[1]), words[19]  # state, parent, born
    except (OSError, IndexError):
        return None

def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]

def below(root):
    seen = {pid: found for pid in pids() if (found := look(pid))}
    tree, more = set(), {root}
    while more:
        tree |= more
        more = {pid for pid, found in seen.items() if found[1] in tree} - tree
    return [pid for pid in tree - {root} if seen[pid][0] not in "ZX"]

def reap(but=None):
    try:
        while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and found.si_pid != but:
            os.waitpid(found.si_pid, 0)
    except ChildProcessError:
        pass

def end(find, seconds=10.0):
    """Kill what `find` finds until it has found nothing twice: one look may miss what is forking."""
    until, quiet = time.monotonic() + seconds, 0
    while quiet < 2 and time.monotonic() < until:
        found = find()
        quiet = 0 if found else quiet + 1
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        reap()
        time.sleep(0.01)

def parts_of(path):
    parts = path.split("/")
    if not path or any(part in ("", "..") for part in parts) or "\0" in path:
        raise Fault(f"{path!r} is no path below the home")
    return [part for part in parts if part != "."]

def folder_of(parts, make=False):
    at = os.open(HOME, os.O_RDONLY | os.O_DIRECTORY)
    for part in parts:
        if make:
            try:
                os.mkdir(part, 0o755, dir_fd=at)
            except FileExistsError:
                pass
        last = at
        try:
            at = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=last)
        finally:
            os.close(last)
    return at

def clean(env):
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": HOME, **env}

def cut(kept, size=MIB):
    del kept[:max(0, len(kept) - size)]

def run(ask):
    stdin = memoryview(INPUT.read(ask["stdin"]))
    if len(stdin) < ask["stdin"]:
        return
    adopt_orphans()
    child = subprocess.Popen(
        ask["argv"], cwd=f"/proc/self/fd/{folder_of(parts_of(ask['cwd']))}", env=clean(ask["env"]),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, start_new_session=True,
    )
    kept = {child.stdout.fileno(): bytearray(), child.stderr.fileno(): bytearray()}
    outs, until, ended = tuple(kept.values()), time.monotonic() + ask["seconds"], False
    with selectors.DefaultSelector() as ready:
        ready.register(os.pidfd_open(child.pid), selectors.EVENT_READ, "end")
        for fd in kept:
            os.set_blocking(fd, False)
            ready.register(fd, selectors.EVENT_READ, "out")
        os.set_blocking(child.stdin.fileno(), False)
        ready.register(child.stdin, selectors.EVENT_WRITE, "in")
        while not ended and (left := until - time.monotonic()) > 0:
            for key, _ in ready.select(min(left, 1.0)):
                if key.data == "end":
                    ended = True
                elif key.data == "in":
                    try:
                        stdin = stdin[os.write(key.fd, stdin[:65536]):] if stdin else stdin
                    except BrokenPipeError:
                        stdin = stdin[:0]
                    if not stdin:
                        ready.unregister(key.fileobj)
                        child.stdin.close()
                elif data := os.read(key.fd, 65536):
                    kept[key.fd] += data
                    if len(kept[key.fd]) > 4 * MIB:
                        cut(kept[key.fd])
                else:
                    ready.unregister(key.fileobj)
            reap(but=child.pid)
    for fd, out in kept.items():
        left = 2 * MIB  # whoever goes on writing in the background does not hold us
        try:
            while left > 0 and (data := os.read(fd, 65536)):
                out += data
                left -= len(data)
        except BlockingIOError:
            pass
        cut(out)
    if not ended:
        end(lambda: below(os.getpid()))
        return answer({"late": True}, *outs)
    code = child.wait()
    answer({"code": 128 - code if code < 0 else code}, *outs)

def put(files):
    for path, mode, size in files:
        parts, staged = parts_of(path), f"{STAGED}/{secrets.token_hex(8)}"
        if not parts:
            raise Fault(f"{path!r} is no file")
        try:
            with open(staged, "xb") as file:
                left = size
                while left:
                    data = INPUT.read(min(left, MIB))
                    if not data:
                        raise Fault("the files did not arrive whole", "transient")
                    file.write(data)
                    left -= len(data)
                os.fchmod(file.fileno(), mode)
            folder = folder_of(parts[:-1], make=True)
            os.rename(staged, parts[-1], dst_dir_fd=folder)
            os.close(folder)
        finally:
            try:
                os.unlink(staged)
            except FileNotFoundError:
                pass

def read(path, last=None):
    if not (parts := parts_of(path)):
        raise Fault(f"{path!r} is no regular file")
    fd = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder_of(parts[:-1]))
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Fault(f"{path!r} is no regular file")
        if last is not None:
            file.seek(max(0, os.fstat(fd).st_size - last))
        return file.read()

class Service:
    """One service of the box: its lock, its record and its supervisor, who is told from others by pid and birth."""

    def __init__(self, ask):
        self.ask, self.seconds = ask, ask.get("seconds", 30.0)
        os.makedirs(ask["run"], exist_ok=True)
        self.path = f"{ask['run']}/{ask['name'].encode().hex()}"
        self.log = f"{LOGS}/{ask['name'].encode().hex()}"

    def locked(self):
        lock, until = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600), time.monotonic() + 60
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except BlockingIOError:
                if time.monotonic() > until:
                    raise Fault("somebody else goes on starting or stopping this service", "transient")
                time.sleep(0.02)

    def record(self):
        try:
            with open(self.path) as file:
                return json.load(file)
        except FileNotFoundError:
            return None

    def write(self, name, text):
        with open(f"{name}.new", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(text)
        os.rename(f"{name}.new", name)

    def alive(self, record):
        found = look(record["pid"])
        return bool(found) and found[0] not in "ZX" and found[2] == record["born"]

    def ready(self, record):
        try:
            with open(f"{self.path}.ready") as file:
                return file.read() == record["word"]
        except FileNotFoundError:
            return False

    def running(self):
        record = self.record()
        return record if record and self.alive(record) else None

    def marked(self, word):
        mark, found = f"TASKDOCK_START={word}".encode(), []
        for pid in pids():
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if mark in file.read().split(b"\0"):
                        found.append(pid)
            except OSError:
                pass
        return found

    def stop(self):
        """Under the lock: the supervisor ends all below it; what a dead supervisor left is found by its word."""
        if not (record := self.record()):
            return
        until = time.monotonic() + 12
        if self.alive(record):
            os.kill(record["pid"], signal.SIGTERM)
        while self.alive(record) and time.monotonic() < until:
            time.sleep(0.01)
        if self.alive(record):
            end(lambda: below(record["pid"]))
            end(lambda: [record["pid"]] if self.alive(record) else [])
        end(lambda: self.marked(record["word"]))
        os.unlink(self.path)

    def start(self):
        """Under the lock: prepare everything, and start a supervisor that outlives this program."""
        put(self.ask["files"])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        listener, slot = self.listener()
        record = {
            "version": self.ask["version"], "word": secrets.token_hex(16), "token": secrets.token_urlsafe(32),
            "port": port, "slot": slot, "log_path": self.ask["log_path"], "health": self.ask["health"],
        }
        told, tell = os.pipe()
        if (first := os.fork()) == 0:
            os.setsid()
            if os.fork() == 0:
                os.close(told)
                self.supervise(record, listener, tell)
            os._exit(0)
        os.waitpid(first, 0)
        os.close(tell)
        listener.close()
        with os.fdopen(told, "rb") as file:
            said = file.read()
        if said != b"started":
            raise Fault(said.decode() or "the start of the service was cut off", "permanent" if said else "transient")
        return self.record()

    def listener(self):
        for slot in range(self.ask["first_port"], self.ask["first_port"] + self.ask["slots"]):
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("0.0.0.0", slot))
                listener.listen(64)
                return listener, slot
            except OSError:
                listener.close()
        raise Fault("all ports that services of a box may have are taken (services_max)", "transient")

    def supervise(self, record, listener, tell):
        """Never returns. It holds the lock, as its parent does, until the server is there and recorded."""
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            adopt_orphans()
            record.update(pid=os.getpid(), born=look(os.getpid())[2])
            self.write(self.path, json.dumps(record))
            fill = {"{home}": HOME, "{checkout}": f"{HOME}/checkout", "{token}": record["token"], "{port}": str(record["port"])}
            def filled(text):
                for mark, value in fill.items():
                    text = text.replace(mark, value)
                return text
            env = {key: filled(value) for key, value in self.ask["env"].items()}
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
            try:
                child = subprocess.Popen(
                    [filled(word) for word in self.ask["argv"]], cwd=HOME, start_new_session=True,
                    env={**clean(env), "TASKDOCK_START": record["word"]}, stdin=null, stdout=log, stderr=log,
                )
            except OSError as error:
                os.unlink(self.path)
                os.write(tell, f"{self.ask['argv'][0]} cannot be run: {error.strerror}".encode())
                os._exit(1)
            os.write(tell, b"started")
            os.close(tell)
            os.close(self.ask["lock"])
            threading.Thread(target=relay, args=(listener, record["port"]), daemon=True).start()
            while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)).si_pid != child.pid:
                os.waitpid(found.si_pid, 0)
        except Ended:
            pass
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            end(lambda: below(os.getpid()))
            os._exit(0)

    def healthy(self, record):
        ask = f"GET {record['health']} HTTP/1.1\r\nHost: 127.0.0.1:{record['port']}\r\nConnection: close\r\n"
        try:
            with socket.create_connection(("127.0.0.1", record["port"]), 2.0) as line:
                line.sendall(f"{ask}Authorization: Bearer {record['token']}\r\n\r\n".encode())
                said = b""
                while b"\n" not in said and len(said) < 1024 and (data := line.recv(1024)):
                    said += data
            return said.split()[1:2] == [b"200"]
        except OSError:
            return False

    def tail(self, record):
        texts = []
        for take in (lambda: open(self.log, "rb").read()[-4096:], lambda: read(record["log_path"], 4096)):
            try:
                texts.append(take().decode(errors="replace").replace(record["token"], "***"))
            except (OSError, TypeError, AttributeError, Fault):
                pass
        return "".join(texts)

    def wait(self, record):
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            if not self.alive(record):
                return answer({"verdict": "ended", "tail": self.tail(record)})
            if self.ready(record) or self.healthy(record):
                self.write(f"{self.path}.ready", record["word"])
                return answer({"verdict": "ready", **record})
            time.sleep(0.03)
        self.locked()
        if (now := self.record()) and now["word"] == record["word"]:
            self.stop()
        answer({"verdict": "silent", "tail": self.tail(record)})

def relay(listener, port):
    """The server listens on the loopback of the box; what comes in by the published port is carried to it."""
    def pump(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
    def carry(outer):
        try:
            with outer, socket.create_connection(("127.0.0.1", port), 10.0) as inner:
                inner.settimeout(None)
                def back():
                    pump(inner, outer)
                    outer.shutdown(socket.SHUT_RDWR)
                threading.Thread(target=back, daemon=True).start()
                pump(outer, inner)
                inner.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
    while True:
        threading.Thread(target=carry, args=(listener.accept()[0],), daemon=True).start()

def serve(ask):
    op = ask["op"]
    if op == "run":
        run(ask)
    elif op == "put":
        put(ask["files"])
        answer({})
    elif op == "get":
        answer({}, read(ask["path"]))
    elif op == "kill":
        until = time.monotonic() + 12
        def mine():
            found = []
            for pid in pids():
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as file:
                        if file.read().split(b"\0")[-2:-1] == [ask["key"].encode()]:
                            found.append(pid)
                except OSError:
                    pass
            return found
        for pid in mine():
            os.kill(pid, signal.SIGTERM)
        while (left := mine()) and time.monotonic() < until:
            time.sleep(0.01)
        for pid in left:
            end(lambda: below(pid))
            end(mine)
        answer({})
    else:
        service = Service(ask)
        if op == "endpoint":
            record = service.running()
            answer(record if record and service.ready(record) else {"verdict": "none"})
        elif op == "look":
            record = service.running()
            if record and record["version"] == ask["version"]:
                service.wait(record)
            else:
                answer({"verdict": "none"})
        elif op == "stop":
            service.locked()
            service.stop()
            answer({})
        elif op == "start":
            ask["lock"] = service.locked()
            record = service.running()
            if not record or record["version"] != ask["version"]:
                service.stop()
                record = service.start()
            os.close(ask["lock"])
            service.wait(record)

signal.signal(signal.SIGTERM, on_term)
os.umask(0o022)
try:
    line = INPUT.readline()
    if line.endswith(b"\n"):
        serve(json.loads(line))
except Fault as fault:
    answer({"fault": fault.kind, "why": fault.why})
except (OSError, ValueError) as error:
    kind = "transient" if getattr(error, "errno", None) in SOON else "permanent"
    what = f" ({error.filename})" if getattr(error, "filename", None) else ""
    answer({"fault": kind, "why": (getattr(error, "strerror", None) or str(error)) + what})
except Ended:
    end(lambda: below(os.getpid()))
'''

PHASES = {
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
NEVER_STARTED = {"created", "configured"}

# The one table of foreign errors: what a status says. 5xx is another thing for a request that makes something.
STATUSES: dict[int, type[PortError]] = {
    401: AuthFailed,
    403: AuthFailed,
    408: Transient,
    409: Transient,
    429: Transient,
    503: Transient,
    507: QuotaExceeded,
}
BROKEN_LINE = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)  # httpx maps none of a stream
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def broken(error: Exception, makes: bool) -> PortError:
    """What a request that got no answer means."""
    if isinstance(error, NOT_SENT):
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, PermissionError):
                return AuthFailed("This user may not use the engine's socket.")
            cause = cause.__cause__ or cause.__context__
        return Unreachable("The engine does not answer on its socket.")
    if makes:
        return OutcomeUnknown("The engine took the request and gave no answer.")
    return Transient("The engine gave no answer.")


def refused(reply: httpx.Response, makes: bool) -> PortError:
    """What an answer means that is none of those that were hoped for."""
    try:
        said = str(reply.json()["message"])
    except (ValueError, KeyError, TypeError):
        said = f"status {reply.status_code}"
    reason = f"The engine refused: {said}"
    kind = STATUSES.get(reply.status_code)
    if kind is None and reply.status_code >= 500:
        kind = OutcomeUnknown if makes else Transient
    if kind is Transient:
        later = reply.headers.get("Retry-After", "")
        return Transient(reason, retry_after_seconds=float(later) if later.isdigit() else None)
    return (kind or Permanent)(reason)


@frozen
class Box:
    """What the engine said about one container."""

    id: str
    word: str
    labels: Mapping[str, str]
    made: datetime | None
    ports: Mapping[str, Sequence[Mapping[str, str]] | None]
    read_at: datetime

    @property
    def phase(self) -> Phase:
        return PHASES.get(self.word, Phase.UNKNOWN)


def own_labels(labels: Mapping[str, str] | None) -> dict[str, str]:
    return {key[len(LABEL) :]: value for key, value in (labels or {}).items() if key.startswith(LABEL)}


class DockerSandboxes:
    """Both ports. It remembers nothing: all there is to know is in the engine and in the boxes."""

    id = "docker"

    def __init__(self, config: DockerConfig, now: Callable[[], datetime]) -> None:
        self._config, self._now = config, now
        limits = [f"Processes: {config.processes_max}."]
        limits += [f"Memory: {config.memory_mib} MiB for all of a sandbox together."] if config.memory_mib else []
        limits += [f"Processor time: {config.cpus} processors."] if config.cpus else []
        open_ends = [
            "The kernel is shared with the host, and user namespaces are as the engine is set up.",
            "The network is not limited: what runs inside reaches whatever the engine's network reaches.",
            "Disk space is not limited, nor is the log of a service.",
        ]
        open_ends += [] if config.memory_mib else ["Memory is not limited (memory_mib)."]
        open_ends += [] if config.cpus else ["Processor time is not limited (cpus)."]
        self.capabilities = Capabilities(
            place=socket.gethostname(),
            isolation="container",
            create_window_seconds=CREATE_WINDOW_SECONDS,
            stop_keeps_files=True,
            limits=tuple(limits),
            not_enforced=tuple(open_ends),
        )
        # No connection is kept: a stale one would make a refused request look like a lost answer.
        self._engine = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                uds=str(config.socket),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            ),
            base_url="http://engine",
            timeout=httpx.Timeout(ENGINE_SECONDS, connect=10.0),
        )
        self._threads = anyio.CapacityLimiter(4)

    async def aclose(self) -> None:
        await self._engine.aclose()

    # Life and death

    async def observe(self, ref: SandboxRef) -> Observation:
        read_at = self._now()
        box = await self._look(ref)
        if box is None:
            return Observation(ref, Phase.ABSENT, read_at=read_at)
        return self._told(ref, box)

    async def ensure(self, spec: SandboxSpec) -> Observation:
        until = anyio.current_time() + TAKEN_SECONDS
        while (box := await self._look(spec.ref)) is None:
            taken = await self._create(spec)
            box = await self._look(spec.ref)
            if box is not None:
                break
            if taken is None:  # made, and destroyed by somebody since
                return await self.observe(spec.ref)
            if anyio.current_time() > until:
                raise refused(taken, makes=True)
            await anyio.sleep(0.2)  # the name is taken by what has just gone, or is about to show itself
        if box.labels != spec.labels:
            raise Foreign(f"A container {spec.ref.name} is there, and it is not ours.")
        if box.word in NEVER_STARTED:
            await self._launch(spec.ref, box)
        return await self.observe(spec.ref)

    async def start(self, ref: SandboxRef, owner: str) -> Observation:
        box = await self._owned(ref, owner)
        if box is not None and box.phase is not Phase.RUNNING:
            await self._launch(ref, box)
        return await self.observe(ref)

    async def stop(self, ref: SandboxRef, owner: str) -> Observation:
        box = await self._owned(ref, owner)
        if box is not None and box.word in NEVER_STARTED:  # the engine leaves it so: only what ran is ever stopped
            await self._launch(ref, box)
        if box is not None and box.phase is not Phase.STOPPED:
            await self._order(ref, box, "POST", f"/containers/{box.id}/stop", {"t": "2"}, {Phase.STOPPED, Phase.STOPPING})
        return await self.observe(ref)

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        box = await self._owned(ref, owner)
        if box is not None:
            query = {"force": "1", "v": "1"}
            await self._order(ref, box, "DELETE", f"/containers/{box.id}", query, {Phase.DESTROYING})
        return await self.observe(ref)

    async def list_owned(self, owner: str) -> AsyncIterator[Observation]:
        read_at = self._now()
        query = {"all": "1", "filters": json.dumps({"label": [f"{LABEL}owner={owner}"]})}
        for found in (await self._call("GET", "/containers/json", {200}, params=query)).json():
            labels = own_labels(found["Labels"])
            if labels.get("owner") == owner:
                ref = SandboxRef(self.id, found["Names"][0].removeprefix("/"))
                made = datetime.fromtimestamp(found["Created"], UTC)
                yield self._told(ref, Box(found["Id"], found["State"], labels, made, {}, read_at))

    # Inside

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        ask = {
            "op": "run",
            "argv": list(command.argv),
            "cwd": command.cwd,
            "env": dict(command.env),
            "stdin": len(command.stdin),
            "seconds": command.timeout_seconds,
        }
        _, said, (out, err) = await self._inside(ref, ask, [command.stdin], command.timeout_seconds + 30.0)
        if said.get("late"):
            tail = (out + err)[-4096:].decode(errors="replace")
            raise Transient(f"{command.argv[0]} took longer than {command.timeout_seconds} s.", log_tail=tail)
        return ExecResult(said["code"], out, err)

    async def put_files(self, ref: SandboxRef, files: Sequence[ProgramFile]) -> None:
        listed, bodies = await self._packed(files)
        await self._inside(ref, {"op": "put", "files": listed}, bodies, upload_seconds(bodies))

    async def get_file(self, ref: SandboxRef, path: str) -> bytes:
        return (await self._inside(ref, {"op": "get", "path": path}, [], 300.0))[2][0]

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        until = anyio.current_time() + service.start_seconds_max
        ask = {
            **self._service(ref, service.name),
            "op": "look",
            "version": service.version,
            "seconds": service.start_seconds_max,
        }
        box, said, _ = await self._inside(ref, ask, [], service.start_seconds_max + 30.0)
        if said["verdict"] == "none":
            listed, bodies = await self._packed(service.files)
            ask |= {
                "op": "start",
                "argv": list(service.argv),
                "env": dict(service.env),
                "files": listed,
                "health": service.health_path,
                "log_path": service.log_path,
                "first_port": FIRST_PORT,
                "slots": self._config.services_max,
            }
            seconds = service.start_seconds_max + 90.0 + upload_seconds(bodies)
            box, said, _ = await self._inside(ref, ask, bodies, seconds)
        if said["verdict"] == "ended":
            raise Transient(f"{service.name} ended before it answered.", log_tail=said["tail"])
        if said["verdict"] == "silent":
            reason = f"{service.name} did not answer within {service.start_seconds_max} s."
            raise Transient(reason, log_tail=said["tail"])
        endpoint = self._endpoint(box, said)
        if not await answers(endpoint, service.health_path, max(5.0, until - anyio.current_time())):
            await self.stop_service(ref, service.name)
            raise Transient(f"{service.name} runs, and does not answer at {endpoint.url}.")
        return endpoint

    async def endpoint(self, ref: SandboxRef, service: str) -> Endpoint:
        box, said, _ = await self._inside(ref, {**self._service(ref, service), "op": "endpoint"}, [], 30.0)
        if said.get("verdict") == "none":
            raise Unreachable(f"{service} does not run in {ref.name}.")
        return self._endpoint(box, said)

    async def stop_service(self, ref: SandboxRef, service: str) -> None:
        await self._inside(ref, {**self._service(ref, service), "op": "stop"}, [], 120.0)

    # The engine

    async def _call(
        self, method: str, path: str, hoped: set[int], *, makes: bool = False, **how: Any
    ) -> httpx.Response:
        try:
            with anyio.fail_after(ENGINE_SECONDS):
                reply = await self._engine.request(method, path, **how)
        except (httpx.TransportError, TimeoutError) as error:
            raise broken(error, makes) from error
        if reply.status_code not in hoped:
            raise refused(reply, makes)
        return reply

    async def _look(self, ref: SandboxRef) -> Box | None:
        read_at = self._now()
        reply = await self._call("GET", f"/containers/{ref.name}/json", {200, 404})
        if reply.status_code == 404:
            return None
        said = reply.json()
        if said["Name"].removeprefix("/") != ref.name:  # the engine takes the beginning of an id for a name
            return None
        return Box(
            said["Id"],
            said["State"]["Status"],
            own_labels(said["Config"]["Labels"]),
            datetime.fromisoformat(said["Created"]),
            said["NetworkSettings"]["Ports"] or {},
            read_at,
        )

    async def _owned(self, ref: SandboxRef, owner: str) -> Box | None:
        box = await self._look(ref)
        if box is not None and box.labels.get("owner") != owner:
            raise Foreign(f"A container {ref.name} is there, and it is not ours.")
        return box

    def _told(self, ref: SandboxRef, box: Box) -> Observation:
        reason = None if box.word in PHASES else f"The engine says that it is {box.word}."
        return Observation(ref, box.phase, read_at=box.read_at, reason=reason, labels=box.labels, created_at=box.made)

    async def _create(self, spec: SandboxSpec) -> httpx.Response | None:
        """Make the container; None, or the refusal, which may mean that the name is taken."""
        config = self._config
        ports = [f"{FIRST_PORT + number}/tcp" for number in range(config.services_max)]
        asked = {
            "Image": config.image,
            "Entrypoint": ["tail"],  # whatever the image has
            "Cmd": ["-f", "/dev/null"],
            "User": config.user,
            "WorkingDir": "/",
            "Labels": {f"{LABEL}{key}": value for key, value in spec.labels.items()},
            "ExposedPorts": {port: {} for port in ports},
            "HostConfig": {
                "Init": True,
                "NetworkMode": config.network,
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                "PidsLimit": config.processes_max,
                "Memory": (config.memory_mib or 0) << 20,
                "NanoCpus": int((config.cpus or 0) * 1e9),
                "PortBindings": {port: [{"HostIp": "127.0.0.1", "HostPort": ""}] for port in ports},
                "Tmpfs": {run_folder(spec.ref): "rw,nosuid,nodev,mode=1777,size=16m"},
            },
        }
        how = {"params": {"name": spec.ref.name}, "json": asked}
        # "taken" is 409 at Docker and 500 at podman: whoever looks again knows.
        reply = await self._call("POST", "/containers/create", {201, 409, 500}, makes=True, **how)
        return None if reply.status_code == 201 else reply

    async def _launch(self, ref: SandboxRef, box: Box) -> None:
        if box.word in NEVER_STARTED:
            query = {"path": "/"}
            content = folders(self._config.user, ref)
            kind = {"Content-Type": "application/x-tar"}
            path = f"/containers/{box.id}/archive"
            await self._order(ref, box, "PUT", path, query, {Phase.RUNNING, Phase.STOPPED}, content=content, headers=kind)
        await self._order(ref, box, "POST", f"/containers/{box.id}/start", {}, {Phase.RUNNING})

    async def _order(
        self, ref: SandboxRef, box: Box, method: str, path: str, query: dict[str, str], enough: set[Phase], **how: Any
    ) -> None:
        """Ask something of this very container. A refusal counts only if it is still there and not as it was to be."""
        try:
            await self._call(method, path, {200, 204, 304, 404}, makes=True, params=query, **how)
        except (OutcomeUnknown, Transient) as lost:
            if isinstance(lost, Unreachable):
                raise
            now = await self._look(ref)
            if now is not None and now.id == box.id and now.phase not in enough:
                raise

    # What works inside

    async def _inside(
        self, ref: SandboxRef, ask: Mapping[str, Any], bodies: Sequence[bytes], seconds: float
    ) -> tuple[Box, dict[str, Any], list[bytes]]:
        box = await self._look(ref)
        if box is None or box.phase is not Phase.RUNNING:
            raise Unreachable(f"The sandbox {ref.name} does not run.")
        key = secrets.token_hex(16)
        try:
            with anyio.fail_after(seconds):
                said, parts = await self._talk(ref, box, ask, bodies, key)
        except TimeoutError as late:
            await self._kill(ref, box, key)
            raise OutcomeUnknown(f"The sandbox {ref.name} gave no answer within {seconds:.0f} s.") from late
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._kill(ref, box, key)
            raise
        if "fault" in said:
            raise (Transient if said["fault"] == "transient" else Permanent)(f"{ref.name}: {said['why']}")
        return box, said, parts

    async def _talk(
        self, ref: SandboxRef, box: Box, ask: Mapping[str, Any], bodies: Sequence[bytes], key: str
    ) -> tuple[dict[str, Any], list[bytes]]:
        asked = {
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "User": self._config.user,
            "WorkingDir": "/",
            "Cmd": [self._config.python, "-I", "-S", "-c", INSIDE, key],
        }
        try:
            made = await self._call("POST", f"/containers/{box.id}/exec", {201}, json=asked)
        except (Transient, Permanent) as lost:
            await self._must_run(ref, box)
            raise lost
        run = made.json()["Id"]
        heads = {"Connection": "Upgrade", "Upgrade": "tcp"}
        stdout, stderr = bytearray(), bytearray()
        try:
            async with self._engine.stream(
                "POST", f"/exec/{run}/start", json={"Detach": False, "Tty": False}, headers=heads
            ) as reply:
                if reply.status_code != 101:
                    await reply.aread()
                    await self._must_run(ref, box)
                    raise refused(reply, makes=False)
                line = reply.extensions["network_stream"]
                try:
                    for part in (json.dumps(dict(ask)).encode() + b"\n", *bodies):
                        await line.write(part, timeout=ENGINE_SECONDS)
                except httpcore.NetworkError:
                    pass  # it ended before it had read all: its answer says why
                frames = bytearray()
                while data := await line.read(1 << 18):
                    frames += data
                    unframe(frames, stdout, stderr)
                    if whole := answer_in(stdout):
                        return whole
        except NOT_SENT as error:
            raise broken(error, makes=False) from error
        except (httpx.TransportError, *BROKEN_LINE):
            pass
        # A box that does not run has no service either: that much is known.
        await self._must_run(ref, box, OutcomeUnknown if ask["op"] in ("run", "put") else Transient)
        code = (await self._call("GET", f"/exec/{run}/json", {200})).json().get("ExitCode")
        if code in (126, 127):
            raise Permanent(f"The image {self._config.image} has no {self._config.python} that runs.")
        said = stderr[-2048:].decode(errors="replace")
        raise OutcomeUnknown(f"What worked in {ref.name} was cut off (exit code {code}).", log_tail=said)

    async def _must_run(self, ref: SandboxRef, box: Box, kind: type[PortError] = Unreachable) -> None:
        now = await self._look(ref)
        if now is None or now.id != box.id or now.phase is not Phase.RUNNING:
            raise kind(f"The sandbox {ref.name} does not run any more.")

    async def _kill(self, ref: SandboxRef, box: Box, key: str) -> None:
        """End what this key stands for, and all below it. A box that does not run has nothing to end."""
        with anyio.move_on_after(20.0):
            try:
                await self._talk(ref, box, {"op": "kill", "key": key}, [], secrets.token_hex(16))
            except PortError:
                pass

    async def _packed(self, files: Sequence[ProgramFile]) -> tuple[list[tuple[str, int, int]], list[bytes]]:
        bodies = []
        for file in files:
            if file.host_path is None:
                bodies.append(file.content or b"")
                continue
            try:
                bodies.append(await anyio.to_thread.run_sync(file.host_path.read_bytes, limiter=self._threads))
            except OSError as error:
                raise Permanent(f"{file.host_path} cannot be read: {error.strerror}") from error
        return [(file.path, file.mode, len(body)) for file, body in zip(files, bodies, strict=True)], bodies

    def _service(self, ref: SandboxRef, name: str) -> dict[str, Any]:
        return {"name": name, "run": run_folder(ref)}

    def _endpoint(self, box: Box, said: Mapping[str, Any]) -> Endpoint:
        bound = box.ports.get(f"{said['slot']}/tcp")
        if not bound:
            raise Unreachable("The engine does not tell where the port of this service is published.")
        return Endpoint(
            url=f"http://127.0.0.1:{bound[0]['HostPort']}",
            headers={"Authorization": f"Bearer {said['token']}"},
            incarnation=said["word"],
            checkout=CHECKOUT,
        )


def run_folder(ref: SandboxRef) -> str:
    """A tmpfs under the name of the box: so the mounts of each process tell, from outside, where it belongs."""
    return f"/run/taskdock/{ref.name}"


def upload_seconds(bodies: Sequence[bytes]) -> float:
    return 60.0 + sum(map(len, bodies)) / 500_000


def folders(user: str, ref: SandboxRef) -> bytes:
    """What a new box gets. podman gives a tmpfs the mode of what it covers, at every start but the first."""
    packed = BytesIO()
    uid, _, gid = user.partition(":")
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, mode in {**FOLDERS, run_folder(ref)[1:]: 0o1777}.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, int(uid), int(gid or uid)
            tar.addfile(entry)
    # No more than the end mark: podman trips over padding that nobody reads ("write |1: broken pipe").
    return packed.getvalue()[: 512 * (len(FOLDERS) + 1) + 1024]


def unframe(frames: bytearray, stdout: bytearray, stderr: bytearray) -> None:
    """Take the whole frames out: one byte names the channel, four after three others the length."""
    at = 0
    while len(frames) >= at + 8 and len(frames) >= (end := at + 8 + int.from_bytes(frames[at + 4 : at + 8], "big")):
        (stderr if frames[at] == 2 else stdout).extend(frames[at + 8 : end])
        at = end
    del frames[:at]


def answer_in(stdout: bytearray) -> tuple[dict[str, Any], list[bytes]] | None:
    head, found, _ = stdout[: 1 << 16].partition(b"\n")
    if not found:
        return None
    said = json.loads(head)
    at, parts = len(head) + 1, []
    if len(stdout) < at + sum(said["sizes"]):
        return None
    for size in said["sizes"]:
        parts.append(bytes(stdout[at : at + size]))
        at += size
    return said, parts


async def answers(endpoint: Endpoint, path: str, seconds: float) -> bool:
    with anyio.move_on_after(seconds):
        async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
            while True:
                try:
                    reply = await client.get(endpoint.url + path, headers=dict(endpoint.headers))
                    if reply.status_code == 200:
                        return True
                except httpx.TransportError:
                    pass
                await anyio.sleep(0.05)
    return False


async def open_docker(config: DockerConfig, opening: Opening) -> DockerSandboxes:
    if not config.socket.is_socket():
        raise Unsupported(
            f"There is no socket of an engine at {config.socket}.",
            mend=f"podman system service --time=0 unix://{config.socket}",
        )
    return DockerSandboxes(config, opening.now)


PROVIDER = ProviderSpec("docker", DockerConfig, open_docker)
