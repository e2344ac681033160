"""App: the composition root, the only place that sees every layer, and the public entry of Taskdock.

Owns: `open`, `ports_of`, `Config`, `load_config`, `Dock`, `TaskView`; configuration, wiring, the `taskdock` command.
Never: holds a rule about tasks, tabs or repos; those live in core.
Reads as: the process or an embedding backend -> app -> every other layer.

The names are loaded when they are first used, so that `taskdock --help` does not wait for a database and a web client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskdock.app.config import Config
    from taskdock.app.config_file import load_config
    from taskdock.app.wiring import open_dock as open  # noqa: A004 - `taskdock.app.open(...)` reads as what it does
    from taskdock.app.wiring import ports_of
    from taskdock.services.dock import Dock, TaskView

__all__ = ["Config", "Dock", "TaskView", "load_config", "open", "ports_of"]

_PLACES = {
    "Config": ("taskdock.app.config", "Config"),
    "load_config": ("taskdock.app.config_file", "load_config"),
    "open": ("taskdock.app.wiring", "open_dock"),
    "ports_of": ("taskdock.app.wiring", "ports_of"),
    "Dock": ("taskdock.services.dock", "Dock"),
    "TaskView": ("taskdock.services.dock", "TaskView"),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module has attributes of any type
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)
