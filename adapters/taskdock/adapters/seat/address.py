"""Address: where the holder's socket lies, also when the home's own path is too long for one.

Owns: the length that a socket's path may have, and the place that takes over, recorded in the home.
Never: a folder that somebody else could put a socket into.
Reads as: unix.py -> `settle` (the holder), `find` (everybody else).
"""

import os
import stat
import sys
import tempfile
from hashlib import blake2s
from pathlib import Path

from taskdock.core.errors import Permanent

PATH_BYTES_MAX = 107 if sys.platform == "linux" else 103
_SOCKET = "scheduler.sock"
_RECORD = "scheduler.address"


def settle(home: Path) -> Path:
    """Choose the socket's path, as the holder; recorded where others could not know it. Permanent when there is no place."""
    near = _near(home)
    if _fits(near):
        return near
    far = _private_folder() / f"{blake2s(bytes(near.parent), digest_size=8).hexdigest()}.sock"
    if not _fits(far):
        raise Permanent(
            f"the path {far} is too long for a socket; set XDG_RUNTIME_DIR or TMPDIR to a shorter folder"
        )
    _record(near.with_name(_RECORD), far)
    return far


def find(home: Path) -> Path | None:
    """Say where the holder's socket is, if one was ever settled."""
    near = _near(home)
    if _fits(near):
        return near
    try:
        return Path(near.with_name(_RECORD).read_text())
    except FileNotFoundError:
        return None


def _near(home: Path) -> Path:
    """Resolved, so that all agree on its length, whatever links they came by."""
    return home.resolve() / _SOCKET


def _fits(path: Path) -> bool:
    return len(bytes(path)) <= PATH_BYTES_MAX


def _private_folder() -> Path:
    parent = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    folder = Path(parent) / f"taskdock-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise Permanent(f"the folder {folder} cannot be made: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise Permanent(
            f"{folder} is not a folder of this user alone; remove it, or set XDG_RUNTIME_DIR to another place"
        )
    return folder


def _record(record: Path, path: Path) -> None:
    """Write it aside and rename it, so that nobody reads half a path."""
    aside = record.with_suffix(".new")
    aside.write_text(str(path))
    aside.replace(record)
