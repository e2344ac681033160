"""Shipped files: programs of ours as they lie in a sandbox, for tests that run one without a server.

Owns: `ship`.
Never: a program run from the repository; there it would find modules that no sandbox has.
Reads as: tests of the relay and of the demo agent -> this.
"""

from collections.abc import Iterable
from pathlib import Path

from taskdock.ports.sandbox import ProgramFile


def ship(home: Path, files: Iterable[ProgramFile]) -> Path:
    """Lay the files out below a home; returns the folder of the programs."""
    for file in files:
        target = home / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content or b"")
    return home / ".taskdock/bin"
