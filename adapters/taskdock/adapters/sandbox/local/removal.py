"""Removal: takes a folder away whatever is in it.

Owns: `remove_tree`.
Never: recursion, a path that grows, or a link followed (a checkout may be a hundred thousand folders deep).
Reads as: folders.py -> `remove_tree` -> the file system.

Folders are lifted to the top before they are emptied, so depth costs neither stack nor descriptors nor path length.
Several removers of one folder help each other, and one that was killed is continued by the next.
"""

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from taskdock.adapters.sandbox.local.patience import Patience

REMOVE_SECONDS = 600.0


def remove_tree(top: Path, *, last: str = "") -> None:
    """Remove the folder `top`, the file in it named `last` after everything else; idempotent. In a worker thread.

    Raises: `OSError` naming what cannot be removed (a folder of another user, an immutable file), or saying that
    something kept filling it.
    """
    patience = Patience(REMOVE_SECONDS)
    while inside := _entries(top):
        if patience.spent:
            raise TimeoutError(errno.ETIMEDOUT, "It fills up faster than it can be emptied", str(top))
        folders = [entry for entry in inside if entry.is_dir(follow_symlinks=False)]
        for entry in folders:
            patience.check()
            _empty(top, entry.path)
        others = {entry.name for entry in inside} - {entry.name for entry in folders}
        for name in sorted(others - {last}) or ([] if folders else [last]):
            (top / name).unlink(missing_ok=True)
    _remove_if_empty(top)


def _empty(top: Path, folder: str) -> None:
    """Remove what is directly in `folder`, lift its folders to `top`, and remove it."""
    with suppress(FileNotFoundError):
        _open_up(folder)
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        _open_up(entry.path)
                        os.rename(entry.path, top / secrets.token_hex(8))  # noqa: PTH104
                    else:
                        os.unlink(entry.path)  # noqa: PTH108
        # A reading of a folder may miss entries while others go; then it is lifted again in the next round.
        _remove_if_empty(Path(folder))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        return list(entries)
    return []


def _open_up(folder: str) -> None:
    """Let us read, change and move the folder, if it is ours; if not, the next step says what is wrong."""
    # Looked at without following a link, here too: chmod follows one, and as root that could be any folder at all.
    mode = os.lstat(folder).st_mode
    if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
        with suppress(PermissionError):
            os.chmod(folder, stat.S_IRWXU)  # noqa: PTH101


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
