"""Config: everything that an installation can choose, with the defaults that a newcomer gets.

Owns: `Config`, `load_config`, `home_folder`.
Never: a secret; those come from the environment of the process that needs them.
Reads as: a backend makes a Config, or the command line loads `taskdock.toml` -> wiring.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from attrs import Factory, field, fields, frozen

from taskdock.core.errors import InvalidCommand
from taskdock.core.intents import Figure, Figures
from taskdock.services.scheduler import Lanes

FILE_NAME = "taskdock.toml"


def home_folder() -> Path:
    """Where state is kept when nobody says: TASKDOCK_HOME, a `.taskdock` folder upwards, else the XDG state folder."""
    if named := os.environ.get("TASKDOCK_HOME"):
        return Path(named).absolute()
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / ".taskdock").is_dir():
            return folder / ".taskdock"
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "taskdock"


def cache_folder() -> Path:
    """Where fetched programs are kept: TASKDOCK_CACHE, else the XDG cache folder."""
    if named := os.environ.get("TASKDOCK_CACHE"):
        return Path(named).absolute()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "taskdock"


@frozen
class Config:
    """One installation. Folders are made when they are needed, with mode 0700."""

    home: Path = field(default=Factory(home_folder), converter=Path)
    cache: Path = field(default=Factory(cache_folder), converter=Path)
    providers: tuple[str, ...] = field(default=("local",), converter=tuple)
    """The first is the default."""
    agents: tuple[str, ...] = field(default=("demo",), converter=tuple)
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    """FULL survives power loss; NORMAL may lose the last commits then, never in a kill, and is faster."""
    drain_seconds: float = 5.0
    """How long short work may go on after a request to stop."""
    lanes: Lanes = field(factory=Lanes)
    figures: Figures = field(factory=Figures)
    wrap: str | None = None
    """`module:attribute` of a function that is given the ports and gives them back wrapped; for tests."""


def load_config(path: Path, **changes: Any) -> Config:
    """Read a TOML file; `changes` win over it. InvalidCommand names the file and the key that is wrong.

    Keys are those of `Config`; `[lanes]` holds limits by lane, `[figures]` the times, `[figures.intents.<Intent>]` both
    `deadline_seconds` and `attempts_max`.
    """
    document: dict[str, Any] = {}
    if path.exists():
        try:
            document = tomllib.loads(path.read_text())
        except tomllib.TOMLDecodeError as error:
            raise InvalidCommand(f"{path}: {error}", field="config") from error
    _check_keys(path, document, {one.name for one in fields(Config)})
    if "lanes" in document:
        document["lanes"] = Lanes({**Lanes().limits, **document["lanes"]})
    if "figures" in document:
        document["figures"] = _figures(path, document["figures"])
    return Config(**{**document, **changes})


def load_home(home: Path) -> Config:
    """The config of a home folder: its `taskdock.toml` where there is one, else the defaults."""
    return load_config(home / FILE_NAME, home=home)


def _figures(path: Path, table: Mapping[str, Any]) -> Figures:
    _check_keys(path, table, {one.name for one in fields(Figures)})
    intents = dict(Figures().intents)
    for kind, limits in table.get("intents", {}).items():
        _check_keys(path, {kind: limits}, set(intents))
        _check_keys(path, limits, {one.name for one in fields(Figure)})
        intents[kind] = Figure(**{"deadline_seconds": intents[kind].deadline_seconds,
                                  "attempts_max": intents[kind].attempts_max, **limits})  # fmt: skip
    return Figures(**{**table, "intents": intents})


def _check_keys(path: Path, table: Mapping[str, Any], known: set[str]) -> None:
    for key in table:
        if key not in known:
            raise InvalidCommand(
                f"{path}: unknown key {key!r}; there is {', '.join(sorted(known))}.", field=key
            )
