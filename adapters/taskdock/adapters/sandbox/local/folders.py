"""Folders: one folder per sandbox below the root, and what its presence means.

Owns: the layout, the phase that it stands for, making, discarding and removing it.
Never: a half-removed folder under a sandbox's name (it is renamed away first, and only then emptied).
Reads as: provider.py -> `SandboxFolders` -> guard.py, records.py, removal.py.

    <root>/<name>/                  mode 0700
        guard                       the lock (guard.py)
        record.json                 labels, marker, time of making; its presence makes the folder a sandbox
        home/                       HOME of everything inside; home/checkout is the task's checkout
        home/.taskdock/             for what we place
        services/<service>.json     one start of a service; <service>.log is its output
        runs/<incarnation>.json     the namespace of a command
        lock                        held by the first process of each namespace
        programs                    programs of the host that are linked in the home
        groups                      control groups that were made for it (limits.py)
        incoming/                   files on their way into the home
    <root>/.bridges/<incarnation>   a service's socket (bridges.py)
    <root>/.trash/<name>~<random>/  a sandbox whose processes have ended, being removed
"""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from attrs import evolve, frozen

from taskdock.adapters.sandbox.local.guard import GUARD, RECORD, held
from taskdock.adapters.sandbox.local.records import SandboxRecord, read_sandbox_record, write_record
from taskdock.adapters.sandbox.local.removal import remove_tree
from taskdock.core.errors import Foreign, Permanent, Unreachable
from taskdock.ports.sandbox import Phase

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_BEFORE_THE_RECORD = frozenset({GUARD, f".{RECORD}.new"})


@frozen
class SandboxFolder:
    """The folder of one sandbox, there or not. `rank` is that of the level at which it is used now."""

    path: Path
    rank: int = 0

    @property
    def name(self) -> str:
        """The sandbox's name."""
        return self.path.name

    @property
    def home(self) -> Path:
        """HOME of everything inside."""
        return self.path / "home"

    @property
    def checkout(self) -> Path:
        """Where the task's checkout is."""
        return self.home / "checkout"

    @property
    def incoming(self) -> Path:
        """Where a file is written before it is renamed into the home."""
        return self.path / "incoming"

    @property
    def lock(self) -> Path:
        """What the first process of each namespace holds."""
        return self.path / "lock"

    @property
    def runs(self) -> Path:
        """Where the namespaces of commands are written down."""
        return self.path / "runs"

    def programs(self) -> list[Path]:
        """List the programs of the host that were put into the home, to be readable in a namespace."""
        return _listed(self.path / "programs")

    def add_programs(self, programs: Sequence[Path]) -> None:
        """Remember programs of the host, before links to them are put into the home. Under the guard."""
        _add(self.path / "programs", programs)

    def groups(self) -> list[Path]:
        """List the control groups that were made for the sandbox."""
        return _listed(self.path / "groups")

    def add_groups(self, groups: Sequence[Path]) -> None:
        """Remember control groups, before they are made. Also under a shared guard: the same ones may be added twice."""
        _add(self.path / "groups", groups)

    def service_record(self, service: str) -> Path:
        """Where the current start of a service is written down. Raises: `Permanent` for a name that is no file name."""
        return self.path / "services" / f"{checked_name(service)}.json"

    def service_log(self, service: str) -> Path:
        """Where the service's output goes. Raises: `Permanent` for a name that is no file name."""
        return self.path / "services" / f"{checked_name(service)}.log"

    def service_records(self) -> list[Path]:
        """List the records of all services that were started and not stopped."""
        return sorted((self.path / "services").glob("[!.]*.json"))

    def read(self) -> SandboxRecord | None:
        """Whose sandbox it is, None when it is not one (yet)."""
        return read_sandbox_record(self.path / RECORD)

    @contextmanager
    def entered(self, *, shared: bool = False) -> Iterator[SandboxRecord]:
        """Hold the guard of a sandbox that runs. Raises: `Unreachable` when there is none, `Transient` when busy."""
        with held(self.path, shared=shared) as there:
            yield self.running() if there else self._missing()

    def running(self) -> SandboxRecord:
        """Read the record of a sandbox that runs. Raises: `Unreachable` when it is absent or stopped.

        `Permanent` when it was made with more isolation than there is now: nothing of it runs with less.
        """
        record = self.read()
        if record is None:
            return self._missing()
        if record.is_stopped:
            raise Unreachable(f"The sandbox {self.name} is stopped: start it first.")
        if record.rank > self.rank:
            raise Permanent(
                f"The sandbox {self.name} was made with more isolation than works on this machine now, and runs with no"
                " less: `taskdock doctor` says what is missing and how to mend it."
            )
        return record

    def _missing(self) -> NoReturn:
        raise Unreachable(f"There is no sandbox {self.name} on this machine.")

    def make(self, labels: Mapping[str, str], created: datetime) -> None:
        """Make it a sandbox with these labels, or mend what a crash left half-made; idempotent, under the guard.

        Raises: `Foreign` when it has other labels, or things in it that we did not put there.
        """
        record = self.read()
        if record is None:
            self.refuse_strangers()
            marker = secrets.token_hex(16)
            made = SandboxRecord(dict(labels), marker, created.isoformat(), rank=self.rank)
            write_record(self.path / RECORD, made)
        elif dict(record.labels) != dict(labels):
            raise Foreign(f"The sandbox {self.name} belongs to {_whose(record)}.")
        # The home comes last and whole, so that its presence means that everything else is there.
        home = self.home if self.home.is_dir() else self.path / "home.new"
        inside = [home / name for name in ("checkout", ".taskdock", ".tmp", ".run")]
        for folder in (self.incoming, self.path / "services", self.runs, home, *inside):
            folder.mkdir(mode=0o700, exist_ok=True)
        self.lock.touch(mode=0o600)
        if home != self.home:
            home.rename(self.home)

    def look(self) -> tuple[Phase, SandboxRecord | None]:
        """Say what the folder stands for: pending while it is half-made, then running, or stopped when the record says so.

        Whether something of a stopped one still runs, the folder cannot tell.
        """
        record = self.read()
        if record is not None and self.home.is_dir():
            return (Phase.STOPPED if record.is_stopped else Phase.RUNNING), record
        return (Phase.PENDING if self.path.exists() else Phase.ABSENT), record

    def mark(self, record: SandboxRecord, *, is_stopped: bool) -> None:
        """Write down whether the sandbox is stopped. Under the guard."""
        if record.is_stopped != is_stopped:
            write_record(self.path / RECORD, evolve(record, is_stopped=is_stopped))

    def refuse_foreign(self, owner: str) -> None:
        """Raise `Foreign` when its owner label is another's. A folder without any label is nobody's yet."""
        record = self.read()
        if record is not None and record.labels.get("owner") != owner:
            raise Foreign(f"The sandbox {self.name} belongs to {_whose(record)}.")

    def refuse_strangers(self) -> None:
        """Raise `Foreign` when there is no record, but things that we never put into a folder before its record."""
        strangers = {entry.name for entry in self.path.iterdir()} - _BEFORE_THE_RECORD
        if strangers and self.read() is None:
            raise Foreign(
                f"{self.path} holds {min(strangers)}, which Taskdock did not make. Move it elsewhere."
            )


@frozen
class SandboxFolders:
    """All sandboxes below one root, used at the level of this rank. Every method blocks: worker threads only."""

    root: Path
    rank: int = 0

    @property
    def _trash(self) -> Path:
        return self.root / ".trash"

    @property
    def bridges(self) -> Path:
        """Where the sockets of services without a network of ours are."""
        return self.root / ".bridges"

    def at(self, name: str) -> SandboxFolder:
        """Return the folder of that name, there or not. Raises: `Permanent` for a name that is no file name."""
        return SandboxFolder(self.root / checked_name(name), self.rank)

    def all(self) -> Iterator[SandboxFolder]:
        """Every folder that has a sandbox's name, half-made ones too."""
        if self.root.is_dir():
            for path in sorted(self.root.iterdir()):
                if _NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                    yield SandboxFolder(path, self.rank)

    def prepare_root(self) -> None:
        """Make the root, for nobody's eyes but its owner's."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def discard(self, folder: SandboxFolder) -> None:
        """Take the folder away from its name in one step; under the guard, once its processes have ended."""
        self._trash.mkdir(mode=0o700, exist_ok=True)
        folder.path.rename(self._trash / f"{folder.name}~{secrets.token_hex(8)}")

    def discarded(self, name: str | None = None) -> list[SandboxFolder]:
        """List what was taken away (from that name) and is not yet removed."""
        return [SandboxFolder(path, self.rank) for path in sorted(self._trash.glob(f"{name or '*'}~*"))]

    def name_before(self, discarded: SandboxFolder) -> str:
        """Which name a discarded folder had."""
        return discarded.name.rpartition("~")[0]

    def remove(self, discarded: SandboxFolder) -> None:
        """Remove a discarded folder; its record goes last, so that a crash in between leaves it with an owner."""
        remove_tree(discarded.path, last=RECORD)


def checked_name(name: str) -> str:
    """Return the name as it is. Raises: `Permanent` when it could not be a plain file name."""
    if not _NAME.fullmatch(name):
        raise Permanent(
            f"{name!r} is no name for a sandbox or a service: letters, digits, dot, dash, underscore."
        )
    return name


def _listed(file: Path) -> list[Path]:
    try:
        return [Path(one) for one in file.read_text().split("\0") if one]
    except FileNotFoundError:
        return []


def _add(file: Path, paths: Sequence[Path]) -> None:
    known = _listed(file)
    wanted = list(dict.fromkeys([*known, *paths]))
    if wanted != known:
        # Of a name of its own, since holders of a shared guard may write at the same time.
        aside = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
        aside.write_text("\0".join(str(path) for path in wanted))
        aside.rename(file)


def _whose(record: SandboxRecord) -> str:
    return ", ".join(f"{label} {value}" for label, value in sorted(record.labels.items()))
