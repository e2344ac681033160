"""Sandbox: the two ports to the place where a task's files and agent live.

Owns: `SandboxProvider` (life and death), `SandboxAccess` (what happens inside), and the shapes that cross them.
Never: a remote credential or a secret in a spec, a label or an observation.
Reads as: services/executors -> these Protocols -> adapters/sandbox/<provider>.py.

Rules that every provider keeps (each is a check in `taskdock.testing.conformance.sandbox`):
a name is chosen before the first call and is the identity; verbs *request*, only `observe` is truth; `ensure` twice,
or from two processes at once, makes one sandbox; what carries another owner's labels is `Foreign` and stays untouched;
destroying what is absent succeeds, and afterwards neither process nor file of it is left; stopping ends every process
and, where `stop_keeps_files` says so, keeps every file; only `start` makes a stopped one run again.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from attrs import field, frozen

from taskdock.core.inputs import SandboxPhase

Phase = SandboxPhase
"""What a provider says of a sandbox right now; the core decides by the same words."""


@frozen
class SandboxRef:
    """Which sandbox: its deterministic name at one provider."""

    provider: str
    name: str


@frozen
class SandboxSpec:
    """What to make: `labels` are exactly owner, task and generation, and decide whether a box found is ours."""

    ref: SandboxRef
    owner: str
    task_id: str
    generation: int

    @property
    def labels(self) -> dict[str, str]:
        """The labels that prove ownership, all values as text."""
        return {"owner": self.owner, "task": self.task_id, "generation": str(self.generation)}


@frozen
class Observation:
    """What the provider said, and when it was read (windows are computed from `read_at`, never from a commit)."""

    ref: SandboxRef
    phase: Phase
    read_at: datetime
    reason: str | None = None
    labels: Mapping[str, str] = field(factory=dict)
    retry_after_seconds: float | None = None
    created_at: datetime | None = None
    """When it was made, aware; None where the provider does not say."""
    takes: Mapping[str, float] = field(factory=dict)
    """How much of what it takes up at its provider now, by unit (`vCPU`); empty where the provider does not say."""
    cost_hourly: float | None = None
    """What an hour of it costs as it is now, in the currency of the configured prices; None where nobody says."""


@frozen
class Capabilities:
    """What a provider promises, shown by `doctor`."""

    place: str | None
    """The host that alone can reach these sandboxes, or None when any host can."""
    isolation: str
    create_window_seconds: float
    """How long after a create began it may still land."""
    stop_keeps_files: bool
    """Whether a stopped sandbox has its files when it is started again."""
    limits: tuple[str, ...] = ()
    """What is limited and by how much, a sentence each."""
    not_enforced: tuple[str, ...] = ()
    """What it cannot hold, a sentence each."""
    mend: str | None = None
    """The command or the change that would let it hold more, where there is one."""


@frozen
class ProgramFile:
    """A file that a service needs inside: bytes, or a read-only program on the host (digest already checked)."""

    path: str
    """Relative to the sandbox's home."""
    content: bytes | None = None
    host_path: Path | None = None
    mode: int = 0o644


@frozen
class ServiceSpec:
    """A long-running server inside the sandbox.

    `argv` and the values of `env` may hold `{home}`, `{checkout}`, `{token}` and `{port}`; the provider fills them in: a
    fresh random token for every start, and a port (or 0 where it finds the real one itself). `health_path` answers 200
    on HTTP with `Authorization: Bearer <token>` when the server is up. `log_path` (relative to the home) is where the
    server itself logs; the provider also keeps its stdout and stderr, and both feed the log tail of an error.
    `env` may hold keys: it stands in no command line, no record, no log and no error (repr leaves it out).
    """

    name: str
    version: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    files: tuple[ProgramFile, ...]
    health_path: str
    start_seconds_max: float = 30.0
    log_path: str | None = None


@frozen
class Endpoint:
    """How to talk to a running service: never stored, asked for again after every start.

    `incarnation` changes with every start of the service, so a client knows when what it remembers is void.
    `headers` hold the token and must not be logged (repr leaves them out).
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    incarnation: str
    checkout: str
    """Where the checkout is inside the sandbox, absolute."""
    uds: Path | None = None
    """The unix socket to connect to, where there is one; `url` then only names the host. Good in this process."""


@frozen
class Exec:
    """A short command inside: `argv` without a shell, `cwd` relative to the home ('checkout' is the task's checkout).

    `env` is added to the sandbox's own clean environment. `stdin` is given whole. Only what it leaves below the home is
    sure to be there for the next one.
    """

    argv: tuple[str, ...]
    cwd: str = "."
    env: Mapping[str, str] = field(factory=dict)
    stdin: bytes = b""
    timeout_seconds: float = 60.0


@frozen
class ExecResult:
    """What became of a command: its exit code and both outputs (each cut to its last 1 MiB)."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class SandboxProvider(Protocol):
    """Life and death of sandboxes at one provider. Raises only `PortError`s."""

    id: str
    capabilities: Capabilities

    async def ensure(self, spec: SandboxSpec) -> Observation:
        """Request that the sandbox exists; idempotent by name, also across processes and restarts.

        Adopts what is there under the name when its labels match, else raises `Foreign`. Returns what was read after
        the request; a stopped sandbox stays stopped. After `OutcomeUnknown` the box may exist: call again.
        """
        ...

    async def start(self, ref: SandboxRef, owner: str) -> Observation:
        """Request that a stopped sandbox runs again; idempotent. No service of it runs until it is ensured anew.

        One that is absent is answered `absent` and not made. Raises `Foreign` when the box carries another owner's label.
        After `OutcomeUnknown` it may be starting: observe.
        """
        ...

    async def stop(self, ref: SandboxRef, owner: str) -> Observation:
        """Request that every process of it ends while the box stays; idempotent. `stopped` means that nothing of it runs.

        One that is absent is answered `absent` and not made. Raises `Foreign` when the box carries another owner's label.
        After `OutcomeUnknown` it may be stopping: observe.
        """
        ...

    async def observe(self, ref: SandboxRef) -> Observation:
        """Read the truth about one sandbox: never cached, `absent` only when it is really gone. Changes nothing."""
        ...

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        """Request its end; idempotent. `absent` in the answer means: no process, no file of it is left.

        Raises `Foreign` when the box carries another owner's label. Safe while an `ensure` of the same name is still
        running elsewhere: one of the two comes last, and `observe` tells which.
        """
        ...

    def list_owned(self, owner: str) -> AsyncIterator[Observation]:
        """Every sandbox whose owner label is `owner`, whatever its phase. Never adopt from a list: ask by name."""
        ...

    async def aclose(self) -> None:
        """Let go of our handles; sandboxes stay as they are."""
        ...


class SandboxAccess(Protocol):
    """What happens inside a running sandbox. Raises only `PortError`s; `Unreachable` when it is absent or stopped."""

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        """Start the service unless it runs in this version; idempotent by (sandbox, name, version).

        Puts `files` in place first. Two callers at once start one server. Waits until it answers its health path, at
        most `start_seconds_max`; a server that exits or stays silent is `Transient` with its log tail, a program that
        cannot be run at all is `Permanent`. A running service of another version is stopped first.
        """
        ...

    async def endpoint(self, ref: SandboxRef, service: str) -> Endpoint:
        """Where the running service answers; `Unreachable` when it does not run. Starts nothing."""
        ...

    async def stop_service(self, ref: SandboxRef, service: str) -> None:
        """Stop the service and every process it started, and wait until they are gone; idempotent."""
        ...

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        """Run a short command to its end; a non-zero exit is a result. On timeout its processes are killed: `Transient`."""
        ...

    async def put_files(self, ref: SandboxRef, files: Sequence[ProgramFile]) -> None:
        """Write files below the home, each atomically (a reader sees the old or the new one); idempotent."""
        ...

    async def get_file(self, ref: SandboxRef, path: str) -> bytes:
        """Read one file below the home; `Permanent` when there is none."""
        ...
