"""Config: everything that an installation can choose, with the defaults that a newcomer gets.

Owns: `Config`, `home_folder`, `cache_folder`, and what each value may be.
Never: a secret; those come from the environment of the process that needs them.
Reads as: a backend makes a Config, or config_file.py makes one of `taskdock.toml` -> wiring.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

from attrs import Attribute, Factory, field, frozen

from taskdock.adapters.agent.real import AgentConfig
from taskdock.adapters.entry.cli.homes import find_home
from taskdock.adapters.naming.chat import ChatNaming
from taskdock.core.errors import InvalidCommand
from taskdock.core.intents import Figures
from taskdock.services.capacity import OPEN_INTENTS_MAX
from taskdock.services.retention import Keep
from taskdock.services.scheduler import Lanes

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


def _folder(path: object) -> Any:  # noqa: ANN401 - what is no path goes on to the check
    """Absolute, since what is made of it is handed to programs that run elsewhere."""
    return Path(path).expanduser().absolute() if isinstance(path, str | os.PathLike) else path


def _optional_path(path: object) -> Any:  # noqa: ANN401 - as above
    return None if path is None else _folder(path)


def _listed(names: object) -> Any:  # noqa: ANN401 - what is no list goes on to the check
    return tuple(names) if isinstance(names, list | tuple) else names


def _a_folder(_config: object, attribute: "Attribute[Path]", value: object) -> None:
    if not isinstance(value, Path):
        _refuse(attribute.name, "the path of a folder")
    if value.exists() and not value.is_dir():
        _refuse(attribute.name, f"the path of a folder, and {value} is a file")


def _a_program(_config: object, attribute: "Attribute[Path | None]", value: object) -> None:
    if value is not None and not isinstance(value, Path):
        _refuse(attribute.name, "the path of a program")


def _names(_config: object, attribute: "Attribute[tuple[str, ...]]", value: object) -> None:
    if not isinstance(value, tuple) or not value or not all(isinstance(name, str) for name in value):
        _refuse(attribute.name, "a list of names, at least one")


def _seconds(_config: object, attribute: "Attribute[float]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        _refuse(attribute.name, "a number of seconds, 0 or more")


def _count(_config: object, attribute: "Attribute[int]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        _refuse(attribute.name, "a whole number, 1 or more")


def _durability(_config: object, attribute: "Attribute[Synchronous]", value: object) -> None:
    if value not in ("FULL", "NORMAL"):
        _refuse(attribute.name, "FULL or NORMAL")


def _name_of_code(_config: object, attribute: "Attribute[str | None]", value: object) -> None:
    if value is not None and not (isinstance(value, str) and ":" in value):
        _refuse(attribute.name, "`module:attribute`")


def _by_name(_config: object, attribute: "Attribute[Mapping[str, object]]", value: object) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        _refuse(attribute.name, "settings by the name of their provider")


def _by_agent(_config: object, attribute: "Attribute[Mapping[str, AgentConfig]]", value: object) -> None:
    values = value.values() if isinstance(value, Mapping) else (None,)
    if not all(isinstance(one, AgentConfig) for one in values):
        _refuse(attribute.name, "an `AgentConfig` by the name of its agent")


def _refuse(key: str, wanted: str) -> NoReturn:
    raise InvalidCommand(f"{key} is {wanted}.", field=key)


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

    home: Path = field(default=Factory(home_folder), converter=_folder, validator=_a_folder)
    cache: Path = field(default=Factory(cache_folder), converter=_folder, validator=_a_folder)
    providers: tuple[str, ...] = field(default=("local",), converter=_listed, validator=_names)
    """The first is the default."""
    agents: tuple[str, ...] = field(default=("demo",), converter=_listed, validator=_names)
    """The first is the default."""
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
    provider: Mapping[str, object] = field(factory=dict, validator=_by_name)
    """By the name of a provider: one of its own class of settings. Who is not named gets its defaults."""
    agent: Mapping[str, AgentConfig] = field(factory=dict, validator=_by_agent)
    """By the name of an agent that is not the demo: how it is called, and which variables it is given."""
    lanes: Lanes = field(factory=Lanes)
    figures: Figures = field(factory=Figures)
    open_intents_max: int = field(default=OPEN_INTENTS_MAX, validator=_count)
    """How many intents of one workspace may wait before requests that add more are turned away."""
    keep: Keep = field(factory=Keep)
    """For how long history, feed and idempotency keys are kept."""
    git_spice: Path | None = field(default=None, converter=_optional_path, validator=_a_program)
    """The git-spice that restacks; None looks for it on the search path."""
    wrap: str | None = field(default=None, validator=_name_of_code)
    """`module:attribute` of a function that is given the ports and gives them back wrapped; for tests."""
