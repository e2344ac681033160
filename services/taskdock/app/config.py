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

from attrs import Attribute, Factory, field, fields, frozen

from taskdock.adapters.entry.cli.homes import find_home
from taskdock.adapters.naming.chat import ChatNaming
from taskdock.core.errors import InvalidCommand
from taskdock.core.intents import Figure, Figures
from taskdock.services.scheduler import Lanes

FILE_NAME = "taskdock.toml"
Synchronous = Literal["FULL", "NORMAL"]
NamerChoice = Literal["heuristic", "chat"]


def home_folder() -> Path:
    """Where state is kept when nobody says: TASKDOCK_HOME, a `.taskdock` folder upwards, else the XDG state folder."""
    return find_home(None, os.environ, Path.cwd())


def cache_folder() -> Path:
    """Where fetched programs are kept: TASKDOCK_CACHE, else the XDG cache folder."""
    if named := os.environ.get("TASKDOCK_CACHE"):
        return Path(named).absolute()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "taskdock"


def _folder(path: str | os.PathLike[str]) -> Path:
    """Absolute, since what is made of it is handed to programs that run elsewhere."""
    return Path(path).expanduser().absolute()


def _names(_config: object, attribute: "Attribute[tuple[str, ...]]", value: tuple[str, ...]) -> None:
    if not value:
        raise InvalidCommand(f"{attribute.name} names at least one.", field=attribute.name)


def _seconds(_config: object, attribute: "Attribute[float]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise InvalidCommand(f"{attribute.name} is a number of seconds, 0 or more.", field=attribute.name)


def _durability(_config: object, attribute: "Attribute[Synchronous]", value: object) -> None:
    if value not in ("FULL", "NORMAL"):
        raise InvalidCommand(f"{attribute.name} is FULL or NORMAL.", field=attribute.name)


def _namer(config: "Config", attribute: "Attribute[NamerChoice]", value: object) -> None:
    if value not in ("heuristic", "chat"):
        raise InvalidCommand(f"{attribute.name} is heuristic or chat.", field=attribute.name)
    if value == "chat" and config.chat_namer is None:
        raise InvalidCommand(
            "namer = 'chat' needs the table [chat_namer] with url and model.", field="chat_namer"
        )


@frozen
class Config:
    """One installation. Folders are made when they are needed, with mode 0700."""

    home: Path = field(default=Factory(home_folder), converter=_folder)
    cache: Path = field(default=Factory(cache_folder), converter=_folder)
    providers: tuple[str, ...] = field(default=("local",), converter=tuple, validator=_names)
    """The first is the default."""
    agents: tuple[str, ...] = field(default=("demo",), converter=tuple, validator=_names)
    synchronous: Synchronous = field(default="FULL", validator=_durability)
    """FULL survives power loss; NORMAL may lose the last commits then, never in a kill, and is faster."""
    drain_seconds: float = field(default=5.0, validator=_seconds)
    """How long short work may go on after a request to stop."""
    reap_seconds: float = field(default=3600.0, validator=_seconds)
    """Between two looks of the reaper at every provider; 0 turns it off."""
    reap_age_seconds: float = field(default=3600.0, validator=_seconds)
    """How old a sandbox is before the reaper may end it."""
    namer: NamerChoice = field(default="heuristic", validator=_namer)
    chat_namer: ChatNaming | None = None
    """Which model the namer `chat` asks."""
    lanes: Lanes = field(factory=Lanes)
    figures: Figures = field(factory=Figures)
    wrap: str | None = None
    """`module:attribute` of a function that is given the ports and gives them back wrapped; for tests."""


def load_config(path: Path, **changes: Any) -> Config:
    """Read a TOML file; `changes` win over it. InvalidCommand names the file and the key that is wrong.

    Keys are those of `Config`; `[lanes]` holds limits by lane, `[figures]` the times, `[figures.intents.<Intent>]` both
    `deadline_seconds` and `attempts_max`.
    """
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidCommand(f"{path}: {error}", field="config") from error
    _check_keys(path, document, {one.name for one in fields(Config)})
    if "lanes" in document:
        document["lanes"] = _lanes(path, document["lanes"])
    if "figures" in document:
        document["figures"] = _figures(path, document["figures"])
    if "chat_namer" in document:
        document["chat_namer"] = _chat_namer(path, document["chat_namer"])
    return Config(**{**document, **changes})


def load_home(home: Path) -> Config:
    """The config of a home folder: its `taskdock.toml` where there is one, else the defaults."""
    path = home / FILE_NAME
    return load_config(path, home=home) if path.exists() else Config(home=home)


def _lanes(path: Path, table: Mapping[str, Any]) -> Lanes:
    for lane, limit in table.items():
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise InvalidCommand(f"{path}: lanes.{lane} is a number of executions, 1 or more.", field=lane)
    return Lanes({**Lanes().limits, **table})


def _figures(path: Path, table: Mapping[str, Any]) -> Figures:
    _check_keys(path, table, {one.name for one in fields(Figures)})
    intents = dict(Figures().intents)
    for kind, limits in table.get("intents", {}).items():
        _check_keys(path, {kind: limits}, set(intents))
        _check_keys(path, limits, {one.name for one in fields(Figure)})
        intents[kind] = Figure(**{"deadline_seconds": intents[kind].deadline_seconds,
                                  "attempts_max": intents[kind].attempts_max, **limits})  # fmt: skip
    return Figures(**{**table, "intents": intents})


def _chat_namer(path: Path, table: Mapping[str, Any]) -> ChatNaming:
    _check_keys(path, table, {one.name for one in fields(ChatNaming)})
    missing = [name for name in ("url", "model") if name not in table]
    if missing:
        raise InvalidCommand(f"{path}: [chat_namer] lacks {' and '.join(missing)}.", field="chat_namer")
    return ChatNaming(**table)


def _check_keys(path: Path, table: Mapping[str, Any], known: set[str]) -> None:
    for key in table:
        if key not in known:
            raise InvalidCommand(
                f"{path}: unknown key {key!r}; there is {', '.join(sorted(known))}.", field=key
            )
