"""Files: what is put below the home and read from it, and our own small records beside.

Owns: `put`, `get`, `Refused`, and how a path is kept below the home.
Never: a link followed on the way to a user's file; half a file seen by anybody.
Reads as: main.py, services.py -> this -> the file system of the box.
"""

from __future__ import annotations

import binascii
import contextlib
import json
import os
import stat

TYPE_CHECKING = False  # not typing's: it takes as long to import as all the rest
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import IO, Any

HOME = os.path.expanduser("~")
STATE = f"{HOME}/.taskdock/provider"
OUTPUT_BYTES_MAX = 1 << 20
_INLINE_BYTES_MAX = 1 << 18
_FILE_BYTES_MAX = 1 << 29
_PIECE = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Refused(Exception):
    """What is asked cannot be done, however often."""


def put(request: Mapping[str, Any]) -> dict[str, Any]:
    """Place files that were brought to `staged`. Asked for again after it was done, it finds them gone, and that is well."""
    files = [file for file in request["files"] if os.path.exists(file["staged"])]
    for file in request["files"]:
        _split(file["path"])
    try:
        for file in files:
            _place(file)
    finally:
        for file in files:
            with contextlib.suppress(OSError):
                os.unlink(file["staged"])
    return {}


def get(request: Mapping[str, Any]) -> dict[str, Any]:
    """A small file as it is; of a larger one, where it really is."""
    path: str = request["path"]
    head, name = _split(path)
    with opened(head) as folder:
        try:
            descriptor = os.open(name, _READ, dir_fd=folder)
        except OSError as error:
            raise Refused(f"{path!r} cannot be read: {error.strerror}.") from error
        with open(descriptor, "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or about.st_size > _FILE_BYTES_MAX:
                raise Refused(f"{path!r} is no file, or one of more than 512 MiB.")
            if about.st_size > _INLINE_BYTES_MAX:
                return {"at": f"{HOME}/{path}"}
            return {"content": encoded(file.read())}


def has(file: Mapping[str, Any]) -> bool:
    """Whether the file is there already, byte by byte; its mode is set then."""
    try:
        head, name = _split(file["path"])
        with opened(head) as folder, open(os.open(name, _READ, dir_fd=folder), "rb") as found:
            if _digest(found) != file["sha256"]:
                return False
            os.fchmod(found.fileno(), file["mode"])
            return True
    except (OSError, Refused):
        return False


@contextlib.contextmanager
def opened(path: str, *, make: bool = False) -> Iterator[int]:
    """Open a folder below the home step by step, so that no link leads out of it."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or path.startswith("/"):
        raise Refused(f"{path!r} leads out of the home.")
    folder = os.open(HOME, _FOLDER)
    try:
        for part in parts:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=folder)
            inner = _step(part, folder, path)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def encoded(data: bytes) -> str:
    """Bytes as JSON takes them."""
    return binascii.b2a_base64(data, newline=False).decode()


def last(path: str, count: int) -> bytes:
    """The end of a file; nothing when there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - count))
            return file.read(count)
    except OSError:
        return b""


def write(path: str, value: Mapping[str, Any]) -> None:
    """Write a record of ours whole or not at all, for our eyes only."""
    fresh = f"{path}.{os.urandom(6).hex()}"
    with open(os.open(fresh, _NEW, 0o600), "w") as file:
        json.dump(value, file)
    os.replace(fresh, path)


def read(path: str) -> dict[str, Any] | None:
    """Read a record of ours; None when there is none."""
    try:
        with open(path) as file:
            record: dict[str, Any] = json.load(file)
            return record
    except FileNotFoundError:
        return None


def _place(file: Mapping[str, Any]) -> None:
    """Write it beside its place, then move it there."""
    head, name = _split(file["path"])
    with opened(head, make=True) as folder:
        fresh = f".{name[:100]}.{os.urandom(6).hex()}"
        target = os.open(fresh, _NEW, 0o600, dir_fd=folder)
        try:
            with open(file["staged"], "rb") as source, open(target, "wb") as sink:
                while piece := source.read(_PIECE):
                    sink.write(piece)
                os.fchmod(sink.fileno(), file["mode"])
            os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(fresh, dir_fd=folder)
            if isinstance(error, IsADirectoryError):
                raise Refused(f"{file['path']!r} is a folder.") from error
            raise


def _split(path: str) -> tuple[str, str]:
    """The folder of a path and its last name."""
    head, _, name = path.rpartition("/")
    if name in ("", ".", "..") or path.startswith("/"):
        raise Refused(f"{path!r} is no file below the home.")
    return head, name


def _step(part: str, folder: int, path: str) -> int:
    try:
        return os.open(part, _FOLDER, dir_fd=folder)
    except OSError as error:
        raise Refused(f"{path!r} is no folder below the home: {error.strerror}.") from error


def _digest(file: IO[bytes]) -> str:
    import hashlib

    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()
