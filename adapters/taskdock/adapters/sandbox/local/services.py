"""Services: the long-running servers inside a sandbox, one process family each.

Owns: what is on disk and in the process table about a service: found, started, confirmed, given up, stopped.
Never: waiting for an answer (health.py does, without the guard); two processes for one service.
Reads as: provider.py -> `LocalServices`, in a worker thread -> records.py, process_table.py, children.py, ending.py.

A start is written down before it happens (with token and incarnation, without a pid) and after it (with the pid). Who
finds the first kind looks for the incarnation in the process table: what runs is adopted, so a crash in between starts
nothing twice.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath

from attrs import evolve

from taskdock.adapters.sandbox.local import children
from taskdock.adapters.sandbox.local.bridges import Bridges
from taskdock.adapters.sandbox.local.ending import end_processes
from taskdock.adapters.sandbox.local.environment import clean_environment, marks
from taskdock.adapters.sandbox.local.files import place_files
from taskdock.adapters.sandbox.local.folders import SandboxFolder
from taskdock.adapters.sandbox.local.launching import Born, BridgeOrder, Launcher, Order
from taskdock.adapters.sandbox.local.logs import log_tail, too_long, trim
from taskdock.adapters.sandbox.local.patience import Patience
from taskdock.adapters.sandbox.local.process_table import Address, ProcessKey, ProcessTable
from taskdock.adapters.sandbox.local.records import (
    SandboxRecord,
    ServiceRecord,
    read_service_record,
    write_record,
)
from taskdock.core.errors import Permanent, Transient, Unreachable
from taskdock.ports.sandbox import Endpoint, ServiceSpec

STOP_GRACE_SECONDS = 2.0
"""How long a service may tidy up after SIGTERM before it is killed."""
_SETTLE_SECONDS = 0.1


class LocalServices:
    """Every method blocks (worker threads only), takes the guard itself, and mends what a crash left behind."""

    def __init__(self, table: ProcessTable, launcher: Launcher, bridges: Bridges) -> None:
        self._table = table
        self._launcher = launcher
        self._bridges = bridges

    def settle(self, folder: SandboxFolder, spec: ServiceSpec) -> ServiceRecord:
        """Adopt the service where it runs in this version, else stop what is left of it and start it; idempotent.

        Raises: `Unreachable` without a sandbox, `Permanent` when the program cannot be run at all.
        """
        if not self._table.available:
            raise Permanent("Services need a process table in /proc, so they run on Linux only.")
        with folder.entered() as sandbox:
            record = read_service_record(folder.service_record(spec.name))
            if record is not None:
                running = self._found(sandbox, record)
                if running is not None and running.version == spec.version:
                    if running != record:
                        write_record(folder.service_record(spec.name), running)
                    trim(folder.service_log(spec.name))
                    return running
                self._end(folder, sandbox, record)
            return self._start(folder, sandbox, spec)

    def confirm(self, folder: SandboxFolder, record: ServiceRecord, address: Address) -> Endpoint:
        """Write down where the service answers. Raises: `Transient` when it was stopped or replaced meanwhile."""
        with folder.entered():
            now = read_service_record(folder.service_record(record.name))
            if now is None or now.incarnation != record.incarnation:
                raise Transient(f"{record.name} was stopped while it started.")
            confirmed = evolve(now, host=address.host, port=address.port)
            if confirmed != now:
                write_record(folder.service_record(record.name), confirmed)
            return self._endpoint(folder, confirmed, address)

    def give_up(self, folder: SandboxFolder, record: ServiceRecord, reason: str) -> Transient:
        """Stop a service that does not answer, unless another took its place; the error to raise, with its log tail.

        Raises: `Unreachable` when the sandbox is gone.
        """
        with folder.entered() as sandbox:
            now = read_service_record(folder.service_record(record.name))
            if now is not None and now.incarnation == record.incarnation:
                self._end(folder, sandbox, record)
            # Only now: what it wrote up to its end belongs to the reason, and the next start begins a new log.
            return Transient(f"{record.name} {reason}.", log_tail=log_tail(folder, record))

    def endpoint(self, folder: SandboxFolder, service: str) -> Endpoint:
        """Where the running service answers. Raises: `Unreachable` when it does not run or is not up yet."""
        folder.running()
        record = read_service_record(folder.service_record(service))
        if record is None or record.key is None or not all(map(self._table.alive, record.leaders)):
            raise Unreachable(f"{service} does not run in {folder.name}.")
        if record.address is None:
            raise Unreachable(f"{service} in {folder.name} is still starting.")
        if too_long(folder.service_log(service)):
            with folder.entered():
                trim(folder.service_log(service))
        return self._endpoint(folder, record, record.address)

    def stop(self, folder: SandboxFolder, service: str) -> None:
        """Stop the service and all it started, and wait until they are gone; idempotent."""
        with folder.entered() as sandbox:
            record = read_service_record(folder.service_record(service))
            if record is not None:
                self._end(folder, sandbox, record)

    def leaders(self, folder: SandboxFolder) -> list[ProcessKey]:
        """List the leaders of all recorded services. An unreadable record names none: marker and lock find its process."""
        return [leader for record in self._records(folder) for leader in record.leaders]

    def forget(self, folder: SandboxFolder) -> None:
        """Take all records away, and the sockets that they name. Under the guard, once all processes have ended."""
        for record in self._records(folder):
            self._forget_bridge(record)
        for path in folder.service_records():
            path.unlink(missing_ok=True)

    def bridge_of(self, record: ServiceRecord) -> Path | None:
        """Where the socket is that leads to the service, None where it is reached over the network."""
        return None if record.bridge is None else self._bridges.path(record.bridge)

    def _records(self, folder: SandboxFolder) -> Iterator[ServiceRecord]:
        for path in folder.service_records():
            with suppress(Permanent):
                record = read_service_record(path)
                if record is not None:
                    yield record

    def _found(self, sandbox: SandboxRecord, record: ServiceRecord) -> ServiceRecord | None:
        """Return the record with its living process in it, or None when it does not run."""
        if record.key is not None:
            return record if self._table.alive(record.key) else None
        if self._launcher.is_written_first:
            return None
        key = self._spawned(marks(sandbox.marker, record.incarnation))
        return None if key is None else _born(record, Born(key))

    def _spawned(self, wanted: frozenset[bytes]) -> ProcessKey | None:
        """Find the process that was started but not written down: the first session leader with these marks.

        The table is read twice: at the first reading it may just be leaving exec, when it shows no environment.
        """
        for _ in range(2):
            family = self._table.family(wanted).values()
            started = [process for process in family if process.session == process.pid]
            if started:
                first = min(started, key=lambda process: (process.start_ticks, process.pid))
                return self._table.key(first.pid)
            Patience(_SETTLE_SECONDS).pause(_SETTLE_SECONDS)
        return None

    def _end(self, folder: SandboxFolder, sandbox: SandboxRecord, record: ServiceRecord) -> None:
        wanted = marks(sandbox.marker, record.incarnation)
        end_processes(self._table, wanted, record.leaders, grace_seconds=STOP_GRACE_SECONDS)
        self._forget_bridge(record)
        folder.service_record(record.name).unlink(missing_ok=True)

    def _forget_bridge(self, record: ServiceRecord) -> None:
        if record.bridge is not None:
            self._bridges.remove(record.bridge)

    def _start(self, folder: SandboxFolder, sandbox: SandboxRecord, spec: ServiceSpec) -> ServiceRecord:
        place_files(folder, spec.files)
        incarnation = secrets.token_hex(16)
        bridge = incarnation if self._launcher.has_bridge else None
        intended = ServiceRecord(
            spec.name, spec.version, incarnation, secrets.token_hex(32), log_path=spec.log_path, bridge=bridge
        )
        path = folder.service_record(spec.name)
        # Where it has ended already the record stays an intended one: whoever looks next starts it anew.
        found = [intended]

        def write_down(born: Born) -> None:
            if born.child is not None:
                found.append(_born(intended, born))
                write_record(path, found[-1])

        write_record(path, intended)
        try:
            child = self._spawn(folder, sandbox, spec, intended, write_down)
        except (OSError, Permanent):
            self._forget_bridge(intended)
            path.unlink(missing_ok=True)
            raise
        children.let_go(child)
        return found[-1]

    def _spawn(
        self,
        folder: SandboxFolder,
        sandbox: SandboxRecord,
        spec: ServiceSpec,
        intended: ServiceRecord,
        write_down: Callable[[Born], None],
    ) -> children.Child:
        filled = _Placeholders(folder, intended.token)
        added = {name: filled(value) for name, value in spec.env.items()}
        with ExitStack() as opened:
            order = Order(
                folder,
                [filled(part) for part in spec.argv],
                PurePosixPath(),
                clean_environment(folder.home, sandbox.marker, intended.incarnation, added),
                _fresh_log(folder.service_log(spec.name), opened),
            )
            if intended.bridge is not None:
                listener = opened.enter_context(self._bridges.open(intended.bridge))
                order = evolve(order, bridge=BridgeOrder(listener, spec.health_path, intended.token))
            return self._launcher.start(order, write_down)

    def _endpoint(self, folder: SandboxFolder, record: ServiceRecord, address: Address) -> Endpoint:
        headers = {"Authorization": f"Bearer {record.token}"}
        uds = self.bridge_of(record)
        return Endpoint(address.url, headers, record.incarnation, str(folder.checkout), uds)


def _born(record: ServiceRecord, born: Born) -> ServiceRecord:
    """Write into the record who it is."""
    child, first = born.child, born.first
    if child is None:
        return record
    return evolve(
        record,
        boot_id=child.boot_id,
        pid=child.pid,
        start_ticks=child.start_ticks,
        first_pid=None if first is None else first.pid,
        first_start_ticks=None if first is None else first.start_ticks,
    )


def _fresh_log(log: Path, opened: ExitStack) -> int:
    log.unlink(missing_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    opened.callback(os.close, descriptor)
    return descriptor


class _Placeholders:
    """Fills `{home}`, `{checkout}`, `{token}` and `{port}` into a text, and leaves every other brace as it is."""

    def __init__(self, folder: SandboxFolder, token: str) -> None:
        self._values = {
            "{home}": str(folder.home),
            "{checkout}": str(folder.checkout),
            "{token}": token,
            # The server picks a free one and we read it from the process table, so there is no race for a port.
            "{port}": "0",
        }

    def __call__(self, text: str) -> str:
        for placeholder, value in self._values.items():
            text = text.replace(placeholder, value)
        return text
