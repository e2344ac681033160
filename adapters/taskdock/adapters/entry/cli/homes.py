"""Homes: which folder holds the state when a command starts.

Owns: the order in which a home is looked for.
Never: a folder made, and none taken that belongs to somebody else: its config may name code to load.
Reads as: invocation.py -> `find_home` -> the app opens the store in it.
"""

import os
from collections.abc import Mapping
from pathlib import Path

FOLDER = ".taskdock"


def find_home(named: str | None, environment: Mapping[str, str], folder: Path) -> Path:
    """The absolute home: as named, else TASKDOCK_HOME, else a `.taskdock` here or upwards, else the XDG state folder.

    `folder` is where the command was started. The result need not exist.
    """
    named = named or environment.get("TASKDOCK_HOME")
    if named:
        return (folder / Path(named).expanduser()).resolve()
    for one in (folder, *folder.parents):
        if _is_ours(one / FOLDER):
            return one / FOLDER
    chosen = environment.get("XDG_STATE_HOME", "")
    # The XDG specification: a path that is not absolute is to be ignored.
    root = Path(chosen) if chosen.startswith("/") else Path.home() / ".local" / "state"
    return root / "taskdock"


def _is_ours(folder: Path) -> bool:
    try:
        return folder.is_dir() and folder.stat().st_uid == os.getuid()
    except OSError:
        return False
