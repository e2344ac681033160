"""Launching: how a program of a sandbox is started, whatever its level.

Owns: `Order`, `Born`, the `Launcher` protocol, and `DirectLauncher` (level `process`).
Never: a start without the sandbox's guard (guard.py, rule 2).
Reads as: services.py, commands.py -> `Launcher.start` -> children.py here, bubblewrap.py for the other levels.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Protocol

from attrs import frozen

from taskdock.adapters.sandbox.local import children
from taskdock.adapters.sandbox.local.folders import SandboxFolder
from taskdock.adapters.sandbox.local.process_table import ProcessKey, ProcessTable


@frozen
class Order:
    """What to start where: `cwd` is relative to the home; with `output` both outputs go there, else there are pipes."""

    folder: SandboxFolder
    argv: Sequence[str]
    cwd: PurePosixPath
    environment: Mapping[str, str]
    output: int | None = None
    bridge: "BridgeOrder | None" = None


@frozen
class BridgeOrder:
    """How a service is reached where it has no network of ours: an open listening socket, and what proves it is up."""

    listener: int
    health_path: str
    token: str


@frozen
class Born:
    """Who was started: our child, and the first process of its namespace where it has one; None: it has ended already."""

    child: ProcessKey | None
    first: ProcessKey | None = None

    @property
    def leaders(self) -> tuple[ProcessKey, ...]:
        """Both, as far as they are known."""
        return tuple(key for key in (self.child, self.first) if key is not None)


class Launcher(Protocol):
    """Starts programs at one level. Blocks: worker threads only."""

    has_bridge: bool
    """Whether a service needs a bridge to be reached."""
    is_written_first: bool
    """Whether `write_down` comes before the program runs, so that what was not written down never ran."""

    def start(self, order: Order, write_down: Callable[[Born], None]) -> children.Child:
        """Start the program and return once it runs; `write_down` is told who it is.

        Raises: the `OSError` that says why it cannot be run; `Permanent` for what no program can be called with;
        `Transient` when what has to be around it could not be made.
        """
        ...


class DirectLauncher:
    """Level `process`: the program is our child and nothing is around it."""

    has_bridge = False
    is_written_first = False

    def __init__(self, table: ProcessTable) -> None:
        self._table = table

    def start(self, order: Order, write_down: Callable[[Born], None]) -> children.Child:
        """Start the program in the home; who dies before `write_down` is found by the marker."""
        child = children.start(
            order.argv,
            cwd=order.folder.home / order.cwd,
            environment=order.environment,
            output=order.output,
        )
        write_down(Born(self._table.key(child.pid)))
        return child
