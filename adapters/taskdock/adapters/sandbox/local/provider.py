"""Local provider: sandboxes on this machine, one folder and its processes each.

Owns: `LocalSandboxes`, both sandbox ports in one object.
Never: a blocking call in the event loop; anything in memory that the next process would miss (all is on disk).
Reads as: services/executors -> this -> folders.py, services.py, commands.py, files.py in worker threads.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from attrs import evolve

from taskdock.adapters.sandbox.local.bridges import Bridges
from taskdock.adapters.sandbox.local.commands import LocalCommands
from taskdock.adapters.sandbox.local.ending import end_holders, end_processes
from taskdock.adapters.sandbox.local.environment import marks
from taskdock.adapters.sandbox.local.failures import as_port_error
from taskdock.adapters.sandbox.local.files import place_files, read_file
from taskdock.adapters.sandbox.local.folders import SandboxFolder, SandboxFolders
from taskdock.adapters.sandbox.local.guard import held
from taskdock.adapters.sandbox.local.health import await_health
from taskdock.adapters.sandbox.local.levels import Ground, Level, prepare
from taskdock.adapters.sandbox.local.limits import release
from taskdock.adapters.sandbox.local.lock import holder
from taskdock.adapters.sandbox.local.process_table import ProcessKey, ProcessTable
from taskdock.adapters.sandbox.local.records import SandboxRecord
from taskdock.adapters.sandbox.local.runs import forget_ended, runs
from taskdock.adapters.sandbox.local.services import LocalServices
from taskdock.core.errors import Permanent
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

_THREADS_MAX = 32
_Answer = TypeVar("_Answer")

_REASONS = MappingProxyType(
    {
        Phase.PENDING: "It is only half made: ensure it again.",
        Phase.STOPPING: "Some of its processes still run: stop it again.",
    }
)


class LocalSandboxes:
    """`SandboxProvider` and `SandboxAccess` over folders below `root`, for the user that runs this process.

    Several of these, in one process or in many, may share a root: the guard of each sandbox decides. All keep nothing
    but threads and open files, so any of them can be killed at any moment and the next goes on where it stopped.
    `place` names this machine; `now` gives aware times; `ground` is the level (levels.py), `process` unless said
    otherwise; `id` is the name that tasks know the provider by. Raises only `PortError`s.
    """

    def __init__(
        self,
        root: Path,
        place: str,
        now: Callable[[], datetime],
        *,
        ground: Ground | None = None,
        id: str = "local",  # noqa: A002 - as the port calls it
        table: ProcessTable | None = None,
    ) -> None:
        self.id = id
        self._now = now
        self._table = table or ProcessTable()
        self._ground = ground or prepare(Level.PROCESS, table=self._table)
        self._folders = SandboxFolders(root.absolute(), self._ground.level.rank)
        # Of its own, so that threads which wait for a guard never hold up the rest of the host's program.
        self._limiter = CapacityLimiter(_THREADS_MAX)
        launcher = self._ground.launcher
        self._services = LocalServices(self._table, launcher, Bridges(self._folders.bridges))
        self._commands = LocalCommands(self._table, launcher, self._limiter)
        self.capabilities = Capabilities(
            place=place,
            isolation=self._ground.level.value,
            create_window_seconds=0.0,
            stop_keeps_files=True,
            limits=self._ground.limits,
            not_enforced=self._ground.not_enforced,
            mend=self._ground.mend,
        )

    async def ensure(self, spec: SandboxSpec) -> Observation:
        """Make the folder, or adopt it when its labels are equal; running from then on, since nothing has to start."""
        return await self._in_thread(f"make the sandbox {spec.ref.name}", lambda: self._ensure(spec))

    async def start(self, ref: SandboxRef, owner: str) -> Observation:
        """Let things be started in it again; what a stop that was cut off left running is ended first."""
        return await self._in_thread(
            f"start the sandbox {ref.name}", lambda: self._halt(self._folder(ref), owner, is_stopped=False)
        )

    async def stop(self, ref: SandboxRef, owner: str) -> Observation:
        """End all processes and start none until `start`. Returns when that is done; a crash leaves `stopping`.

        Raises: `Transient` when processes do not end (nothing new is started meanwhile), `Foreign`.
        """
        return await self._in_thread(
            f"stop the sandbox {ref.name}", lambda: self._halt(self._folder(ref), owner, is_stopped=True)
        )

    async def observe(self, ref: SandboxRef) -> Observation:
        """Look at the folder, and for `stopped` at the process table; `destroying` when it was taken away but is not yet removed (destroy again)."""
        return await self._in_thread(
            f"look at the sandbox {ref.name}", lambda: self._observe(self._folder(ref))
        )

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        """End all processes, take the folder away, remove it. Returns when that is done; a crash leaves `destroying`.

        Raises: `Transient` when processes do not end, `Permanent` when a file cannot be removed, `Foreign`.
        """
        return await self._in_thread(
            f"remove the sandbox {ref.name}", lambda: self._destroy(self._folder(ref), owner)
        )

    async def list_owned(self, owner: str) -> AsyncIterator[Observation]:
        """Every sandbox of this owner, also those that are only half removed, one each."""
        for observation in await self._in_thread("list the sandboxes", lambda: self._owned(owner)):
            yield observation

    async def aclose(self) -> None:
        """Nothing is held between two calls, so there is nothing to let go of."""

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        """Adopt or start the server and wait for its health; the port is read from the process table.

        A server that is up in this version but does not answer for `start_seconds_max` is stopped, so that the next
        call starts it anew. It must stay in the foreground: a process that forks away and ends counts as ended.
        """
        folder = self._folder(ref)
        doing = f"start {service.name} in {ref.name}"
        record = await self._in_thread(doing, lambda: self._services.settle(folder, service))
        with as_port_error(doing):
            verdict = await await_health(self._table, record, service, self._services.bridge_of(record))
        address = verdict.address
        if address is None:
            raise await self._in_thread(doing, lambda: self._services.give_up(folder, record, verdict.wrong))
        return await self._in_thread(doing, lambda: self._services.confirm(folder, record, address))

    async def endpoint(self, ref: SandboxRef, service: str) -> Endpoint:
        """Where the service answered its health path, if exactly that process still runs."""
        folder = self._folder(ref)
        return await self._in_thread(f"find {service}", lambda: self._services.endpoint(folder, service))

    async def stop_service(self, ref: SandboxRef, service: str) -> None:
        """SIGTERM to all its processes, SIGKILL two seconds later to what is left, and wait."""
        folder = self._folder(ref)
        await self._in_thread(f"stop {service}", lambda: self._services.stop(folder, service))

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        """Run a program without a shell. One that cannot be run at all is `Permanent`; one in a signal's hands 128 + n."""
        folder = self._folder(ref)
        with as_port_error(f"run {command.argv[0] if command.argv else 'nothing'}"):
            return await self._commands.run(folder, command)

    async def put_files(self, ref: SandboxRef, files: Sequence[ProgramFile]) -> None:
        """Put files below the home; a program of the host becomes a link. `Permanent` for a path that leads out."""
        folder = self._folder(ref)
        await self._in_thread(f"put files into {ref.name}", lambda: self._put_files(folder, files))

    async def get_file(self, ref: SandboxRef, path: str) -> bytes:
        """Read a regular file of at most 512 MiB below the home. `Permanent` for a path that leads out of it."""
        folder = self._folder(ref)
        return await self._in_thread(f"read {path} in {ref.name}", lambda: self._get_file(folder, path))

    async def _in_thread(self, doing: str, work: Callable[[], _Answer]) -> _Answer:
        with as_port_error(doing):
            return await to_thread.run_sync(work, limiter=self._limiter)

    def _folder(self, ref: SandboxRef) -> SandboxFolder:
        if ref.provider != self.id:
            raise Permanent(
                f"The sandbox {ref.name} belongs to the provider {ref.provider}, not to {self.id}."
            )
        return self._folders.at(ref.name)

    def _ensure(self, spec: SandboxSpec) -> Observation:
        folder = self._folder(spec.ref)
        self._folders.prepare_root()
        with held(folder.path, make=True):
            folder.make(spec.labels, self._now())
        return self._observe(folder)

    def _halt(self, folder: SandboxFolder, owner: str, *, is_stopped: bool) -> Observation:
        """Bring it to rest, and leave it stopped or ready to run. A running one that is to run is left alone."""
        with held(folder.path) as there:
            record = None
            if there:
                folder.refuse_foreign(owner)
                folder.refuse_strangers()
                record = folder.read()
            if record is not None and (is_stopped or record.is_stopped):
                # First the mark, then the end: whoever gets the guard after a crash in between starts nothing.
                folder.mark(record, is_stopped=True)
                self._end_all(folder, record)
                self._services.forget(folder)
                folder.mark(evolve(record, is_stopped=True), is_stopped=is_stopped)
        return self._observe(folder)

    def _end_all(self, folder: SandboxFolder, record: SandboxRecord) -> None:
        end_processes(self._table, marks(record.marker), self._leaders(folder))
        end_holders(folder.lock)
        forget_ended(folder, self._table)

    def _leaders(self, folder: SandboxFolder) -> list[ProcessKey]:
        return [*self._services.leaders(folder), *runs(folder)]

    def _destroy(self, folder: SandboxFolder, owner: str) -> Observation:
        with held(folder.path) as there:
            if there:
                folder.refuse_foreign(owner)
                folder.refuse_strangers()
                record = folder.read()
                if record is not None:
                    self._end_all(folder, record)
                    self._services.forget(folder)
                    release(folder)
                self._folders.discard(folder)
        for discarded in self._folders.discarded(folder.name):
            discarded.refuse_foreign(owner)
            self._folders.remove(discarded)
        return self._observe(folder)

    def _observe(self, folder: SandboxFolder) -> Observation:
        read_at = self._now()
        ref = SandboxRef(self.id, folder.name)
        phase, record = folder.look()
        # Asked for after the look: what is taken away in between is found here, so absent is really gone.
        discarded = self._folders.discarded(folder.name)
        if phase is Phase.ABSENT and discarded:
            phase, record = Phase.DESTROYING, discarded[0].read()
        if phase is Phase.STOPPED and record is not None and self._runs(folder, record):
            phase = Phase.STOPPING
        labels, created_at = ({}, None) if record is None else (record.labels, record.created_at)
        reason = _REASONS.get(phase)
        return Observation(ref, phase, read_at, reason=reason, labels=labels, created_at=created_at)

    def _runs(self, folder: SandboxFolder, record: SandboxRecord) -> bool:
        family = self._table.family(marks(record.marker), self._leaders(folder))
        return bool(family) or holder(folder.lock) is not None

    def _owned(self, owner: str) -> list[Observation]:
        discarded = {self._folders.name_before(one) for one in self._folders.discarded()}
        names = dict.fromkeys([*(folder.name for folder in self._folders.all()), *sorted(discarded)])
        found = []
        for name in names:
            try:
                observation = self._observe(self._folders.at(name))
            except Permanent:
                # Whose it is cannot be proved, so it is nobody's that we could name.
                continue
            if observation.labels.get("owner") == owner:
                found.append(observation)
        return found

    def _put_files(self, folder: SandboxFolder, files: Sequence[ProgramFile]) -> None:
        with folder.entered():
            place_files(folder, files)

    def _get_file(self, folder: SandboxFolder, path: str) -> bytes:
        with folder.entered(shared=True):
            return read_file(folder, path)
