"""Levels: how far a local sandbox is kept apart from this machine, and which of them works here.

Owns: `Level`, `Ground`, `prepare`, `best`, and what each level holds, in sentences.
Never: a level believed to work because a program is there: it is really run once.
Reads as: wiring, doctor -> `best` or `prepare` -> provider.py.
"""

import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path, PurePosixPath
from subprocess import TimeoutExpired

from attrs import frozen

from taskdock.adapters.sandbox.local.bubblewrap import BubblewrapLauncher
from taskdock.adapters.sandbox.local.environment import clean_environment
from taskdock.adapters.sandbox.local.folders import SandboxFolders
from taskdock.adapters.sandbox.local.launching import DirectLauncher, Launcher, Order
from taskdock.adapters.sandbox.local.limits import LimitFigures, Limits, release
from taskdock.adapters.sandbox.local.process_table import ProcessTable
from taskdock.core.errors import PortError

_TRY_SECONDS = 20.0


class Level(Enum):
    """How far it is kept apart; each holds what the one before does, and more."""

    PROCESS = "process"
    BUBBLEWRAP = "bubblewrap"
    BUBBLEWRAP_NETNS = "bubblewrap-netns"

    @property
    def rank(self) -> int:
        """Its place among them, 0 for the one that holds least."""
        return list(Level).index(self)


@frozen
class Ground:
    """A level on this machine: how it starts programs, and what it holds. `wrong` says why it does not work."""

    level: Level
    launcher: Launcher
    limits: tuple[str, ...] = ()
    not_enforced: tuple[str, ...] = ()
    wrong: str | None = None
    mend: str | None = None


def best(figures: LimitFigures | None = None, *, table: ProcessTable | None = None) -> Ground:
    """Return `bubblewrap` where it works, else `process`, with what would mend that. In a worker thread: it runs bwrap.

    Never `bubblewrap-netns`: most agents need a network, so that is for those who ask for it.
    """
    found = prepare(Level.BUBBLEWRAP, figures, table=table)
    if found.wrong is None:
        return found
    process = prepare(Level.PROCESS, figures, table=table)
    return Ground(process.level, process.launcher, (), process.not_enforced, mend=found.mend)


def prepare(
    level: Level, figures: LimitFigures | None = None, *, table: ProcessTable | None = None
) -> Ground:
    """Try the level on this machine. In a worker thread: it runs bwrap."""
    table = table or ProcessTable()
    if level is Level.PROCESS:
        missing = () if table.available else (_WITHOUT_PROC,)
        return Ground(level, DirectLauncher(table), (), (*_PROCESS, *missing))
    limits = Limits.found(figures or LimitFigures())
    network = level is Level.BUBBLEWRAP
    launcher = BubblewrapLauncher(table, limits, network=network)
    wrong = _tried(launcher, table)
    held = () if wrong is not None else limits.held()
    not_held = (*(_NETWORK if network else _NO_NETWORK), *_BUBBLEWRAP, *limits.not_held(), *_as_root())
    return Ground(level, launcher, held, not_held, wrong, None if wrong is None else _mend())


def _tried(launcher: Launcher, table: ProcessTable) -> str | None:
    """Run a program in a sandbox of its own; what went wrong, or None."""
    if not table.available:
        return "this system has no process table in /proc"
    with tempfile.TemporaryDirectory(prefix="taskdock-probe-") as root:
        folder = SandboxFolders(Path(root)).at("probe")
        folder.path.mkdir()
        folder.make({}, datetime.now(UTC))
        environment = clean_environment(folder.home, "probe", "probe")
        try:
            child = launcher.start(Order(folder, ("true",), PurePosixPath(), environment), lambda _born: None)
            with child:
                code = child.wait(_TRY_SECONDS)
            release(folder)
        except PortError as error:
            return getattr(error, "log_tail", None) or error.reason
        except OSError as error:
            return str(error)
        except TimeoutExpired:
            return f"a program did not end within {_TRY_SECONDS:.0f} s in it"
    return None if code == 0 else f"a program ended in it with {code}"


def _mend() -> str:
    if sys.platform != "linux":
        return "use Linux: bubblewrap needs its namespaces"
    if shutil.which("bwrap") is None:
        installers = {
            "apt-get": "apt-get install",
            "dnf": "dnf install",
            "pacman": "pacman -S",
            "apk": "apk add",
        }
        for program, words in installers.items():
            if shutil.which(program):
                return f"{words} bubblewrap"
        return "install bubblewrap"
    return "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)"


_PROCESS = (
    "Whatever runs inside reads and changes every file that your user may, linked programs and other sandboxes too.",
    "It sees and can signal all processes of your user, and reaches the network and every port of this machine.",
    "Memory, processor time, number of processes and disk space are not limited; a service's output is cut to 1 MiB"
    " only when it is asked for again.",
    "A process that leaves its session, outlives its parent and changes its environment may be missed at the end.",
)
_WITHOUT_PROC = (
    "This system has no process table in /proc: services cannot be run, and of a command only its process group is"
    " ended. Only Linux is tested."
)
_NETWORK = ("What runs inside reaches the network, every port of this machine and its abstract sockets.",)
_NO_NETWORK = (
    "No network leads out, so only agents that need none work; each command has a network of its own, apart from the"
    " agent's.",
)
_BUBBLEWRAP = (
    "It reads the programs of this machine, and what everybody may read of /etc by name.",
    "A hole in the kernel is a way out.",
)


def _as_root() -> tuple[str, ...]:
    if os.geteuid() != 0:
        return ()
    return ("Taskdock was started by root, so files below /usr that only root may read can be read inside.",)
