"""Limits: how much memory, how many processes and how much processor a sandbox may take, where the machine allows it.

Owns: `LimitFigures`, `Limits`, `release`.
Never: a limit that is promised and was not tried: each control group is really made once before anybody is told.
Reads as: provider.py -> `Limits.found` -> bubblewrap.py -> the kernel's control groups.

Control groups of version 1 can be made by root only. An ordinary user gets a limit of processes by other means (see
inside.py). What neither gives is said in `not_enforced`.
"""

import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2s
from pathlib import Path

from attrs import field, frozen
from attrs.validators import ge

from taskdock.adapters.sandbox.local.folders import SandboxFolder
from taskdock.adapters.sandbox.local.patience import Patience

_PERIOD_MICROSECONDS = 100_000
_RELEASE_SECONDS = 5.0
_MIB = 1024 * 1024
_CONTROLLERS = ("memory", "pids", "cpu")


@frozen
class LimitFigures:
    """What one sandbox may take; 0: as much as there is."""

    memory_mib: int = field(factory=lambda: _machine_mib() * 3 // 4, validator=ge(0))
    """Three quarters of the machine's."""
    processes_max: int = field(default=4096, validator=ge(1))
    cpus: float = field(default=0.0, validator=ge(0))

    def by_controller(self) -> Mapping[str, Mapping[str, int]]:
        """Say what to write where, in control groups of version 1."""
        found: dict[str, dict[str, int]] = {"pids": {"pids.max": self.processes_max}}
        if self.memory_mib:
            found["memory"] = {"memory.limit_in_bytes": self.memory_mib * _MIB}
        if self.cpus:
            quota = max(1000, int(self.cpus * _PERIOD_MICROSECONDS))
            found["cpu"] = {"cpu.cfs_period_us": _PERIOD_MICROSECONDS, "cpu.cfs_quota_us": quota}
        return found


@frozen
class Limits:
    """The figures, and below which folder each controller that works here keeps its groups."""

    figures: LimitFigures
    roots: Mapping[str, Path]

    @classmethod
    def found(cls, figures: LimitFigures, cgroups: Path = Path("/sys/fs/cgroup")) -> "Limits":
        """Try every controller that the figures need."""
        own = _own_groups()
        roots = {}
        for controller, settings in figures.by_controller().items():
            mount = cgroups / controller
            near = dict.fromkeys([mount / own.get(controller, "").lstrip("/"), mount])
            works = [place for place in near if place.is_dir() and _works(place, settings)]
            if works:
                roots[controller] = works[0]
        return cls(figures, roots)

    @property
    def processes_max(self) -> int:
        """How many processes a namespace may have."""
        return self.figures.processes_max

    def apply(self, folder: SandboxFolder, pids: Iterable[int]) -> None:
        """Put the processes, and all they will start, into the groups of their sandbox; idempotent.

        A sandbox keeps the groups that it has: who comes next may be in another group itself.
        """
        settings = self.figures.by_controller()
        known = folder.groups()
        groups = {controller: _group(known, root, folder) for controller, root in self.roots.items()}
        folder.add_groups([group for group in groups.values() if group not in known])
        for controller, group in groups.items():
            group.mkdir(exist_ok=True)
            _set(group, settings[controller])
            for pid in pids:
                (group / "cgroup.procs").write_text(str(pid))

    def held(self) -> tuple[str, ...]:
        """What is limited, a sentence each."""
        figures = self.figures
        found = []
        if "memory" in self.roots:
            found.append(f"Memory: {figures.memory_mib} MiB for all of a sandbox together.")
        if "pids" in self.roots:
            found.append(f"Processes: {figures.processes_max} for all of a sandbox together.")
        elif os.geteuid() != 0:
            found.append(f"Processes: {figures.processes_max} for each service and each command.")
        if "cpu" in self.roots:
            found.append(f"Processor: {figures.cpus:g} for all of a sandbox together.")
        return tuple(found)

    def not_held(self) -> tuple[str, ...]:
        """What is not, a sentence."""
        missing = []
        if "memory" not in self.roots:
            missing.append("memory")
        if "pids" not in self.roots and os.geteuid() == 0:
            missing.append("number of processes")
        if "cpu" not in self.roots:
            missing.append("processor time")
        return (f"Not limited: {', '.join([*missing, 'disk space'])}.",)


def _machine_mib() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // _MIB


def release(folder: SandboxFolder) -> None:
    """Remove a sandbox's groups; the last exits may still be under way, so it is tried for a while. Idempotent."""
    for group in folder.groups():
        if group.name == _name(folder):
            _remove(group)


def _group(known: Sequence[Path], root: Path, folder: SandboxFolder) -> Path:
    """Return the group that the sandbox has of the controller of `root`, or the one that it will get there."""
    mount = next(parent for parent in (root, *root.parents) if os.path.ismount(parent))
    there = [group for group in known if group.is_relative_to(mount) and group.is_dir()]
    return there[0] if there else root / _name(folder)


def _own_groups() -> dict[str, str]:
    """In which group of each controller this process is."""
    found: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            found |= {controller: path for controller in controllers.split(",") if controller}
    return found


def _name(folder: SandboxFolder) -> str:
    return f"taskdock-{blake2s(bytes(folder.path), digest_size=12).hexdigest()}"


def _works(place: Path, settings: Mapping[str, int]) -> bool:
    group = place / f"taskdock-probe-{secrets.token_hex(6)}"
    try:
        group.mkdir()
    except OSError:
        return False
    try:
        _set(group, settings)
    except OSError:
        return False
    finally:
        group.rmdir()
    return True


def _set(group: Path, settings: Mapping[str, int]) -> None:
    for name, value in settings.items():
        # "r+" so that a name which is no setting here is refused, and not made.
        with (group / name).open("r+") as setting:
            setting.write(str(value))


def _remove(group: Path) -> None:
    patience = Patience(_RELEASE_SECONDS)
    while True:
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if patience.spent:
                raise
            patience.pause(0.02)
        else:
            return
