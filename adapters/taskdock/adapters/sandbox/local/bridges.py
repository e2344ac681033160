"""Bridges: the unix sockets by which services without a network of ours are reached, seen from outside.

Owns: `Bridges`.
Never: a socket where the inside could put another in its place; a path too long for a socket.
Reads as: services.py -> `Bridges.open` -> inside (bridge.py); health.py, `Endpoint.uds` -> `Bridges.path`.
"""

import os
import socket
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATH_BYTES_MAX = 107
_WAITING_MAX = 128


class Bridges:
    """One socket for each start of a service, named by its incarnation, in a folder that is bound nowhere.

    A path that would be too long leads through a descriptor of ours: it is good in this process, while we are there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    @contextmanager
    def open(self, name: str) -> Iterator[int]:
        """Listen under this name; the descriptor is closed afterwards, and whoever was given it listens on."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(self.path(name)))
            listener.listen(_WAITING_MAX)
            yield listener.fileno()

    def path(self, name: str) -> Path:
        """Where to connect to."""
        path = self._folder / name
        if len(bytes(path)) <= PATH_BYTES_MAX:
            return path
        if self._descriptor is None:
            self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            weakref.finalize(self, os.close, self._descriptor)
        return Path(f"/proc/self/fd/{self._descriptor}/{name}")

    def remove(self, name: str) -> None:
        """Take the socket away; idempotent."""
        with suppress(FileNotFoundError):
            (self._folder / name).unlink()
