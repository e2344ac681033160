"""Records: what is written down about a sandbox and its services, one JSON file each.

Owns: `SandboxRecord`, `ServiceRecord`, and how they reach the disk: written aside, flushed, renamed, never half there.
Never: in the sandbox's home; a token in a repr.
Reads as: folders.py, services.py -> these -> files of mode 0600.
"""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from attrs import asdict, field, frozen
from cattrs import Converter

from taskdock.adapters.sandbox.local.process_table import Address, ProcessKey
from taskdock.core.errors import Permanent

# Without the detail that cattrs can give, so that what is wrong comes as plain ValueError, TypeError or KeyError.
_converter = Converter(detailed_validation=False)
_Shape = TypeVar("_Shape", "SandboxRecord", "ServiceRecord", "RunRecord")


@frozen
class SandboxRecord:
    """Whose sandbox it is, and the random marker in the environment of everything that runs in it."""

    labels: Mapping[str, str]
    marker: str
    created: str
    """ISO 8601, UTC."""
    rank: int = 0
    """How far it was kept apart when it was made: the rank of its level (levels.py)."""
    is_stopped: bool = False
    """Whether it was asked to stop, and not to start since: nothing is started in it."""

    @property
    def created_at(self) -> datetime | None:
        """When it was made; None when what is written down is no aware time."""
        try:
            at = datetime.fromisoformat(self.created)
        except ValueError:
            return None
        return at if at.tzinfo is not None else None


@frozen
class ServiceRecord:
    """One start of a service. Without `boot_id`, `pid` and `start_ticks` it is only intended: it may or may not run."""

    name: str
    version: str
    incarnation: str
    token: str = field(repr=False)
    boot_id: str | None = None
    pid: int | None = None
    start_ticks: int | None = None
    host: str | None = None
    port: int | None = None
    log_path: str | None = None
    first_pid: int | None = None
    first_start_ticks: int | None = None
    """The first process of its namespace, where it has one."""
    bridge: str | None = None
    """The name of the socket that leads to it, where it has no network of ours."""

    @property
    def first(self) -> ProcessKey | None:
        """Which process its namespace ends with, or None where it has none."""
        if self.boot_id is None or self.first_pid is None or self.first_start_ticks is None:
            return None
        return ProcessKey(self.boot_id, self.first_pid, self.first_start_ticks)

    @property
    def leaders(self) -> tuple[ProcessKey, ...]:
        """The processes that everything it started descends from, as far as they are known."""
        return tuple(key for key in (self.key, self.first) if key is not None)

    @property
    def key(self) -> ProcessKey | None:
        """Which process it is, or None while it is only intended."""
        if self.boot_id is None or self.pid is None or self.start_ticks is None:
            return None
        return ProcessKey(self.boot_id, self.pid, self.start_ticks)

    @property
    def address(self) -> Address | None:
        """Where it answered its health path, or None until it did."""
        return None if self.host is None or self.port is None else Address(self.host, self.port)


@frozen
class RunRecord:
    """The first process of the namespace that a command was started in."""

    boot_id: str
    pid: int
    start_ticks: int

    @property
    def key(self) -> ProcessKey:
        """Which process it is."""
        return ProcessKey(self.boot_id, self.pid, self.start_ticks)


def read_sandbox_record(path: Path) -> SandboxRecord | None:
    """Return the record at `path`, None when there is none. Raises: `Permanent` when it cannot be understood."""
    return _read(path, SandboxRecord)


def read_service_record(path: Path) -> ServiceRecord | None:
    """Return the record at `path`, None when there is none. Raises: `Permanent` when it cannot be understood."""
    return _read(path, ServiceRecord)


def read_run_record(path: Path) -> RunRecord | None:
    """Return the record at `path`, None when there is none. Raises: `Permanent` when it cannot be understood."""
    return _read(path, RunRecord)


def write_record(
    path: Path, record: SandboxRecord | ServiceRecord | RunRecord, *, flush: bool = True
) -> None:
    """Write `record` so that a reader, also one after a crash, finds the old or the new one. Under the guard only.

    Without `flush` a loss of power may take it along.
    """
    aside = path.with_name(f".{path.name}.new")
    data = json.dumps(asdict(record), sort_keys=True).encode()
    with open(aside, "wb", opener=_private) as file:
        file.write(data)
        file.flush()
        if flush:
            os.fsync(file.fileno())
    aside.rename(path)
    if not flush:
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _read(path: Path, shape: type[_Shape]) -> _Shape | None:
    try:
        return _converter.structure(json.loads(path.read_bytes()), shape)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Permanent(
            f"{path} cannot be understood, so whose sandbox it is cannot be proved. Move its folder elsewhere."
        ) from error
