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
from collections.abc import Mapping

from attrs import evolve

from taskdock.adapters.sandbox.local import children
from taskdock.adapters.sandbox.local.ending import end_processes
from taskdock.adapters.sandbox.local.environment import clean_environment, marks
from taskdock.adapters.sandbox.local.files import place_files
from taskdock.adapters.sandbox.local.folders import SandboxFolder
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

    def __init__(self, table: ProcessTable) -> None:
        self._table = table

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
            return _endpoint(folder, confirmed, address)

    def give_up(self, folder: SandboxFolder, record: ServiceRecord, reason: str) -> Transient:
        """Stop a service that does not answer, unless another took its place; the error to raise, with its log tail.

        Raises: `Unreachable` when the sandbox is gone.
        """
        with folder.entered() as sandbox:
            tail = log_tail(folder, record)
            now = read_service_record(folder.service_record(record.name))
            if now is not None and now.incarnation == record.incarnation:
                self._end(folder, sandbox, record)
            return Transient(f"{record.name} {reason}.", log_tail=tail)

    def endpoint(self, folder: SandboxFolder, service: str) -> Endpoint:
        """Where the running service answers. Raises: `Unreachable` when it does not run or is not up yet."""
        folder.running()
        record = read_service_record(folder.service_record(service))
        if record is None or record.key is None or not self._table.alive(record.key):
            raise Unreachable(f"{service} does not run in {folder.name}.")
        if record.address is None:
            raise Unreachable(f"{service} in {folder.name} is still starting.")
        if too_long(folder.service_log(service)):
            with folder.entered():
                trim(folder.service_log(service))
        return _endpoint(folder, record, record.address)

    def stop(self, folder: SandboxFolder, service: str) -> None:
        """Stop the service and all it started, and wait until they are gone; idempotent."""
        with folder.entered() as sandbox:
            record = read_service_record(folder.service_record(service))
            if record is not None:
                self._end(folder, sandbox, record)

    def leaders(self, folder: SandboxFolder) -> list[ProcessKey]:
        """List the processes of all recorded services. An unreadable record names none: the marker finds its process."""
        found = []
        for path in folder.service_records():
            try:
                record = read_service_record(path)
            except Permanent:
                continue
            if record is not None and record.key is not None:
                found.append(record.key)
        return found

    def _found(self, sandbox: SandboxRecord, record: ServiceRecord) -> ServiceRecord | None:
        """Return the record with its living process in it, or None when it does not run."""
        if record.key is not None:
            return record if self._table.alive(record.key) else None
        key = self._spawned(marks(sandbox.marker, record.incarnation))
        return (
            None
            if key is None
            else evolve(record, boot_id=key.boot_id, pid=key.pid, start_ticks=key.start_ticks)
        )

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
        leaders = () if record.key is None else (record.key,)
        wanted = marks(sandbox.marker, record.incarnation)
        end_processes(self._table, wanted, leaders, grace_seconds=STOP_GRACE_SECONDS)
        folder.service_record(record.name).unlink(missing_ok=True)

    def _start(self, folder: SandboxFolder, sandbox: SandboxRecord, spec: ServiceSpec) -> ServiceRecord:
        place_files(folder, spec.files)
        intended = ServiceRecord(
            spec.name, spec.version, secrets.token_hex(16), secrets.token_hex(32), log_path=spec.log_path
        )
        filled = _Placeholders(folder, intended.token)
        environment = clean_environment(
            folder.home,
            sandbox.marker,
            intended.incarnation,
            {name: filled(value) for name, value in spec.env.items()},
        )
        path = folder.service_record(spec.name)
        write_record(path, intended)
        try:
            child = self._spawn(folder, spec, [filled(part) for part in spec.argv], environment)
        except (OSError, Permanent):
            path.unlink(missing_ok=True)
            raise
        children.let_go(child)
        key = self._table.key(child.pid)
        if key is None:
            # It has ended already. The record stays an intended one: whoever looks next finds nothing and starts anew.
            return intended
        started = evolve(intended, boot_id=key.boot_id, pid=key.pid, start_ticks=key.start_ticks)
        write_record(path, started)
        return started

    def _spawn(
        self, folder: SandboxFolder, spec: ServiceSpec, argv: list[str], environment: Mapping[str, str]
    ) -> children.Child:
        log = folder.service_log(spec.name)
        log.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(log, flags, 0o600)
        try:
            return children.start(argv, cwd=folder.home, environment=environment, output=descriptor)
        finally:
            os.close(descriptor)


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


def _endpoint(folder: SandboxFolder, record: ServiceRecord, address: Address) -> Endpoint:
    headers = {"Authorization": f"Bearer {record.token}"}
    return Endpoint(address.url, headers, record.incarnation, str(folder.checkout))
