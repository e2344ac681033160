"""Config file: a `taskdock.toml` read into a Config, and a mistake in it told by file, line and nearest key.

Owns: `load_config`, `load_home`, `FILE_NAME`.
Never: a key that is passed over in silence, or a value of another type than its key's.
Reads as: wiring, the command line, a backend -> `load_config(path)` -> Config.
"""

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, fields

from taskdock.adapters.agent.real import KNOWN, AgentConfig
from taskdock.adapters.naming.chat import ChatNaming
from taskdock.app.config import Config
from taskdock.app.mistakes import Keys, Mistake, check_keys, line_of, table_of
from taskdock.app.providers import find_provider
from taskdock.app.settings import settings_of
from taskdock.core.errors import InvalidCommand
from taskdock.core.intents import Figure, Figures
from taskdock.services.retention import Keep
from taskdock.services.scheduler import Lanes

FILE_NAME = "taskdock.toml"


def load_config(path: Path, **changes: Any) -> Config:
    """Read a TOML file; `changes` win over it. InvalidCommand names the file, the line, the key, and the one that was meant.

    Keys are those of `Config`; `[provider.<id>]` holds what that provider asks for, `[agent.<id>]` how that agent is run,
    `[lanes]` limits by lane, `[keep]`
    periods, `[figures]` the times, `[figures.intents.<Intent>]` both `deadline_seconds` and `attempts_max`.
    """
    try:
        text = path.read_text()
        document = tomllib.loads(text)
    except OSError as error:
        raise InvalidCommand(f"{path}: {error.strerror or error}.", field="config") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidCommand(f"{path}: {error}", field="config") from error
    try:
        return _config(document, changes)
    except Mistake as mistake:
        line = line_of(text, mistake.keys)
        where = f"{path}:{line}" if line is not None else str(path)
        raise InvalidCommand(f"{where}: {mistake.sentence}", field=".".join(mistake.keys)) from None


def load_home(home: Path) -> Config:
    """The config of a home folder: its `taskdock.toml` where there is one, else the defaults."""
    path = home / FILE_NAME
    return load_config(path, home=home) if path.exists() else Config(home=home)


def _config(document: dict[str, Any], changes: Mapping[str, Any]) -> Config:
    check_keys((), document, {one.name for one in fields(Config)})
    tables = {"lanes": _lanes, "figures": _figures, "keep": _keep, "chat_namer": _chat_namer, "agent": _agent}
    values = {
        key: tables[key](table_of((key,), value)) if key in tables else value
        for key, value in document.items()
    }
    values.pop("provider", None)
    try:
        config = Config(**{**values, **changes})
    except InvalidCommand as error:
        if error.field is None or error.field in changes or error.field not in document:
            raise
        raise Mistake((error.field,), error.message) from error
    if "provider" in changes or "provider" not in document:
        return config
    # A caller that takes other providers than the file has no quarrel with the tables of the file's own.
    names = {*config.providers, *document.get("providers", ())}
    return evolve(config, provider=_provider(table_of(("provider",), document["provider"]), names))


def _provider(tables: Mapping[str, Any], names: Collection[str]) -> dict[str, object]:
    """The settings of each provider that has a table. Only then its spec is imported; who is not configured may have none."""
    check_keys(("provider",), tables, names)
    settings = {}
    for name, table in tables.items():
        keys = ("provider", name)
        try:
            spec = find_provider(name)
        except InvalidCommand as error:
            raise Mistake(keys, error.message) from error
        settings[name] = settings_of(spec.config, table_of(keys, table), keys)
    return settings


def _agent(tables: Mapping[str, Any]) -> dict[str, AgentConfig]:
    """The settings of each agent that has a table."""
    check_keys(("agent",), tables, KNOWN)
    return {
        name: settings_of(AgentConfig, table_of(("agent", name), table), ("agent", name))
        for name, table in tables.items()
    }


def _lanes(table: Mapping[str, Any]) -> Lanes:
    known = Lanes().limits
    check_keys(("lanes",), {lane: 0 for lane in table if not lane.startswith("sandbox:")}, known)
    for lane, limit in table.items():
        _check(("lanes", lane), limit, int, 1, "a number of executions, 1 or more")
    return Lanes({**known, **table})


def _keep(table: Mapping[str, Any]) -> Keep:
    check_keys(("keep",), table, {one.name for one in fields(Keep)})
    for key, value in table.items():
        kind = int if key == "feed_rows_max" else float
        _check(
            ("keep", key),
            value,
            kind,
            0,
            "a whole number, 0 or more" if kind is int else "a number, 0 or more",
        )
    return Keep(**table)


def _chat_namer(table: Mapping[str, Any]) -> ChatNaming:
    check_keys(("chat_namer",), table, {one.name for one in fields(ChatNaming)})
    missing = [name for name in ("url", "model") if name not in table]
    if missing:
        raise Mistake(("chat_namer",), f"[chat_namer] lacks {' and '.join(missing)}.")
    return ChatNaming(**table)


def _figures(table: Mapping[str, Any]) -> Figures:
    check_keys(("figures",), table, {one.name for one in fields(Figures)})
    intents = dict(Figures().intents)
    kinds = table_of(("figures", "intents"), table.get("intents", {}))
    check_keys(("figures", "intents"), kinds, intents)
    for kind, limits in kinds.items():
        intents[kind] = _figure(("figures", "intents", kind), limits, intents[kind])
    for key, value in table.items():
        if key != "intents":
            _check(("figures", key), value, float, 0, "a number of seconds, 0 or more")
    return Figures(**{**table, "intents": intents})


def _figure(keys: Keys, value: object, default: Figure) -> Figure:
    limits = table_of(keys, value)
    check_keys(keys, limits, {one.name for one in fields(Figure)})
    deadline = limits.get("deadline_seconds", default.deadline_seconds)
    attempts = limits.get("attempts_max", default.attempts_max)
    _check((*keys, "deadline_seconds"), deadline, float, 0, "a number of seconds, 0 or more")
    _check((*keys, "attempts_max"), attempts, int, 1, "a number of attempts, 1 or more")
    return Figure(deadline, attempts)


def _check(keys: Keys, value: object, kind: type[int] | type[float], least: int, wanted: str) -> None:
    kinds = (int,) if kind is int else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool) or not value >= least:
        raise Mistake(keys, f"{'.'.join(keys)} is {wanted}, not {value!r}.")
