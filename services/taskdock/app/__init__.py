"""App: the composition root, the only place that sees every layer, and the public entry of Taskdock.

Owns: `open`, `Config`, `Dock`; configuration, wiring, the `taskdock` command.
Never: holds a rule about tasks, tabs or repos; those live in core.
Reads as: the process or an embedding backend -> app -> every other layer.
"""

from taskdock.app.config import Config, load_config
from taskdock.app.wiring import open_dock, ports_of
from taskdock.services.dock import Dock, TaskView

open = open_dock  # noqa: A001 - `taskdock.app.open(...)` reads as what it does

__all__ = ["Config", "Dock", "TaskView", "load_config", "open", "ports_of"]
