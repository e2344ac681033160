"""Files: what is carried into a sandbox's home and out of it.

Owns: `place_files`, `read_file`, `read_end`, `resolve_beneath`, and the rule that no path leads out of the home.
Never: a link followed out of the home, also one that is swapped in while we look (each folder is opened without links).
Reads as: provider.py, services.py -> these -> the file system, relative to open folders.

A program of the host becomes a symbolic link: nothing of its size is copied for every task, its digest stays the one
that was checked, and the level `process` hides no file of the host anyway. Everything else is written beside the home
and renamed into it, so a reader inside sees the old file or the new one.
"""

import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath

from taskdock.adapters.sandbox.local.folders import SandboxFolder
from taskdock.core.errors import Permanent
from taskdock.ports.sandbox import ProgramFile

FILE_BYTES_MAX = 512 * 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def place_files(folder: SandboxFolder, files: Sequence[ProgramFile]) -> None:
    """Put every file in its place, making folders on the way; idempotent. Under the exclusive guard.

    Raises: `Permanent` for a path that leads out of the home, or a file that is not one of bytes and program.
    """
    for file in files:
        _check(file)
    folder.add_programs([file.host_path for file in files if file.host_path is not None])
    for leftover in folder.incoming.iterdir():
        leftover.unlink()
    for file in files:
        path = _plain(file.path)
        if not path.name:
            raise Permanent(f"{file.path!r} names no file.")
        parent = resolve_beneath(folder.home, str(path.parent))
        aside = folder.incoming / secrets.token_hex(8)
        _write_aside(aside, file)
        with _opened(folder.home, parent, make=True) as parent_descriptor:
            os.rename(aside, path.name, dst_dir_fd=parent_descriptor)


def read_file(folder: SandboxFolder, path: str) -> bytes:
    """Read a regular file below the home, at most 512 MiB; links are followed inside the home only.

    Raises: `Permanent` when there is none, when it is no regular file or too large, or when its path leads out.
    """
    inside = resolve_beneath(folder.home, path)
    # Without blocking, lest a named pipe keeps us waiting for its other end.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with _opened(folder.home, inside.parent, make=False) as parent:
        descriptor = os.open(inside.name or ".", flags, dir_fd=parent)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Permanent(f"{path!r} is no regular file.")
        with open(descriptor, "rb", closefd=False) as file:
            # It may grow while it is read, so the size alone is no bound.
            data = file.read(FILE_BYTES_MAX + 1) if found.st_size <= FILE_BYTES_MAX else None
    finally:
        os.close(descriptor)
    if data is None or len(data) > FILE_BYTES_MAX:
        raise Permanent(f"{path!r} is larger than {FILE_BYTES_MAX >> 20} MiB.")
    return data


def read_end(folder: SandboxFolder, path: str, size: int) -> bytes:
    """Read the end of a file below the home, or of the newest file where the path is a folder; empty when there is none."""
    inside = resolve_beneath(folder.home, path)
    with suppress(OSError), _opened(folder.home, inside.parent, make=False) as parent, ExitStack() as opened:
        descriptor = _take(inside.name or ".", parent, opened)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            with os.scandir(descriptor) as entries:
                files = [entry for entry in entries if entry.is_file(follow_symlinks=False)]
            if not files:
                return b""
            newest = max(files, key=lambda entry: entry.stat(follow_symlinks=False).st_mtime)
            descriptor = _take(newest.name, descriptor, opened)
        return os.pread(descriptor, size, max(0, os.fstat(descriptor).st_size - size))
    return b""


def _take(name: str, folder: int, opened: ExitStack) -> int:
    # Without blocking, lest a named pipe keeps us waiting for its other end.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=folder)
    opened.callback(os.close, descriptor)
    return descriptor


def resolve_beneath(home: Path, path: str) -> PurePosixPath:
    """Resolve all links of a path below the home; the answer is relative to it.

    Raises: `Permanent` when it leads out of the home.
    """
    given = _plain(path)
    real_home = home.resolve()
    try:
        real = (real_home / given).resolve()
        return PurePosixPath(real.relative_to(real_home))
    except (ValueError, RuntimeError) as error:
        raise Permanent(f"{path!r} leads out of the home through a link.") from error


def _plain(path: str) -> PurePosixPath:
    given = PurePosixPath(path)
    try:
        named = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        named = False
    if given.is_absolute() or ".." in given.parts or not named:
        raise Permanent(
            f"{path!r} is no path below the home: write it relative to the home and without '..'."
        )
    return given


@contextmanager
def _opened(home: Path, inside: PurePosixPath, *, make: bool) -> Iterator[int]:
    """Open the folder `inside` the home, reached folder by folder without following a link."""
    descriptor = os.open(home, _FOLDER)
    try:
        for part in inside.parts:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=descriptor)
            deeper = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = deeper
        yield descriptor
    finally:
        os.close(descriptor)


def _check(file: ProgramFile) -> None:
    """Refuse what cannot be placed before anything is written down for it."""
    if (file.content is None) == (file.host_path is None):
        raise Permanent(
            f"{file.path!r} needs either bytes or a program of this machine, not both and not none."
        )
    if file.host_path is not None and not (file.host_path.is_absolute() and file.host_path.exists()):
        raise Permanent(f"The program {file.host_path} for {file.path!r} is not on this machine.")


def _write_aside(aside: Path, file: ProgramFile) -> None:
    if file.host_path is not None:
        aside.symlink_to(file.host_path)
    elif file.content is not None:
        with open(aside, "xb") as opened:  # noqa: PTH123 - "xb" refuses what is there
            opened.write(file.content)
            os.fchmod(opened.fileno(), file.mode & 0o777)
