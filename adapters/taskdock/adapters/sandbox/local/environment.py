"""Environment: the few variables that everything in a sandbox starts with.

Owns: the allow-list, and the marks by which what runs in a sandbox is found again.
Never: a variable of our own environment (keys and tokens of the user live there).
Reads as: services.py, commands.py -> `clean_environment`, `marks` -> children.py.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

MARKER = "TASKDOCK_MARKER"
INCARNATION = "TASKDOCK_INCARNATION"


def clean_environment(
    home: Path, marker: str, incarnation: str, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Make the environment of one service or command: the list below, `extra` over it, and the marks over everything.

    `incarnation` is random for each start of a service and each command, so the processes of one are told from those
    of another. Whom commits belong to comes in `extra` (GIT_AUTHOR_NAME and so on).
    """
    return {
        "PATH": search_path(),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TMPDIR": str(home / ".tmp"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "XDG_STATE_HOME": str(home / ".local" / "state"),
        "XDG_RUNTIME_DIR": str(home / ".run"),
        **(extra or {}),
        MARKER: marker,
        INCARNATION: incarnation,
    }


def marks(marker: str, incarnation: str | None = None) -> frozenset[bytes]:
    """Name what the environment of every process of a sandbox holds, or of one service start or command in it."""
    found = {f"{MARKER}={marker}".encode()}
    if incarnation is not None:
        found.add(f"{INCARNATION}={incarnation}".encode())
    return frozenset(found)


def search_path() -> str:
    """PATH inside: the folders of git and of this Python (the real one, not a virtual environment), then the system's."""
    git = shutil.which("git")
    folders = [str(Path(sys.executable).resolve().parent)]
    folders += [str(Path(git).parent)] if git else []
    folders += ["/usr/local/bin", "/usr/bin", "/bin"]
    return os.pathsep.join(dict.fromkeys(folders))
