"""Config file: a `taskdock.toml` read into a Config, and a mistake in it told by file, line and nearest key.

Owns: `load_config`, `load_home`, `FILE_NAME`.
Never: a key that is passed over in silence, or a value of another type than its key's.
Reads as: wiring, the command line, a backend -> `load_config(path)` -> Config.

TOML's own reader keeps no lines. A key's line is found when it is needed: the first beginning of the file that can be read
and has the key ends with it.
"""

import tomllib
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from attrs import fields

from taskdock.adapters.naming.chat import ChatNaming
from taskdock.adapters.sandbox.local.limits import LimitFigures
from taskdock.app.config import Config
from taskdock.core.errors import InvalidCommand
from taskdock.core.intents import Figure, Figures
from taskdock.services.retention import Keep
from taskdock.services.scheduler import Lanes

FILE_NAME = "taskdock.toml"
_LINES_MAX = 2_000
"""Beyond that a mistake is told without its line: finding one reads every beginning of the file."""

_Keys = tuple[str, ...]


class _Mistake(Exception):
    """A key or a value that is wrong, and where in the document it stands."""

    def __init__(self, keys: _Keys, sentence: str) -> None:
        super().__init__(sentence)
        self.keys = keys
        self.sentence = sentence


def load_config(path: Path, **changes: Any) -> Config:
    """Read a TOML file; `changes` win over it. InvalidCommand names the file, the line, the key, and the one that was meant.

    Keys are those of `Config`; `[local]` limits, `[lanes]` limits by lane, `[keep]` periods, `[figures]` the times,
    `[figures.intents.<Intent>]` both `deadline_seconds` and `attempts_max`.
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
    except _Mistake as mistake:
        line = _line_of(text, mistake.keys)
        where = f"{path}:{line}" if line is not None else str(path)
        raise InvalidCommand(f"{where}: {mistake.sentence}", field=".".join(mistake.keys)) from None


def load_home(home: Path) -> Config:
    """The config of a home folder: its `taskdock.toml` where there is one, else the defaults."""
    path = home / FILE_NAME
    return load_config(path, home=home) if path.exists() else Config(home=home)


def _config(document: dict[str, Any], changes: Mapping[str, Any]) -> Config:
    _check_keys((), document, {one.name for one in fields(Config)})
    tables = {"lanes": _lanes, "figures": _figures, "keep": _keep, "chat_namer": _chat_namer, "local": _local}
    values = {
        key: tables[key](_table((key,), value)) if key in tables else value for key, value in document.items()
    }
    try:
        return Config(**{**values, **changes})
    except InvalidCommand as error:
        if error.field is None or error.field in changes or error.field not in document:
            raise
        raise _Mistake((error.field,), error.message) from error


def _lanes(table: Mapping[str, Any]) -> Lanes:
    known = Lanes().limits
    _check_keys(("lanes",), {lane: 0 for lane in table if not lane.startswith("sandbox:")}, known)
    for lane, limit in table.items():
        _check(("lanes", lane), limit, int, 1, "a number of executions, 1 or more")
    return Lanes({**known, **table})


def _keep(table: Mapping[str, Any]) -> Keep:
    _check_keys(("keep",), table, {one.name for one in fields(Keep)})
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


def _local(table: Mapping[str, Any]) -> LimitFigures:
    _check_keys(("local",), table, {one.name for one in fields(LimitFigures)})
    for key, value in table.items():
        if key == "processes_max":
            _check(("local", key), value, int, 1, "a number of processes, 1 or more")
        else:
            _check(("local", key), value, float, 0, "a number, 0 (no limit) or more")
    return LimitFigures(**table)


def _chat_namer(table: Mapping[str, Any]) -> ChatNaming:
    _check_keys(("chat_namer",), table, {one.name for one in fields(ChatNaming)})
    missing = [name for name in ("url", "model") if name not in table]
    if missing:
        raise _Mistake(("chat_namer",), f"[chat_namer] lacks {' and '.join(missing)}.")
    return ChatNaming(**table)


def _figures(table: Mapping[str, Any]) -> Figures:
    _check_keys(("figures",), table, {one.name for one in fields(Figures)})
    intents = dict(Figures().intents)
    kinds = _table(("figures", "intents"), table.get("intents", {}))
    _check_keys(("figures", "intents"), kinds, intents)
    for kind, limits in kinds.items():
        intents[kind] = _figure(("figures", "intents", kind), limits, intents[kind])
    for key, value in table.items():
        if key != "intents":
            _check(("figures", key), value, float, 0, "a number of seconds, 0 or more")
    return Figures(**{**table, "intents": intents})


def _figure(keys: _Keys, value: object, default: Figure) -> Figure:
    limits = _table(keys, value)
    _check_keys(keys, limits, {one.name for one in fields(Figure)})
    deadline = limits.get("deadline_seconds", default.deadline_seconds)
    attempts = limits.get("attempts_max", default.attempts_max)
    _check((*keys, "deadline_seconds"), deadline, float, 0, "a number of seconds, 0 or more")
    _check((*keys, "attempts_max"), attempts, int, 1, "a number of attempts, 1 or more")
    return Figure(deadline, attempts)


def _table(keys: _Keys, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _Mistake(keys, f"{'.'.join(keys)} is a table: write [{'.'.join(keys)}].")
    return value


def _check(keys: _Keys, value: object, kind: type[int] | type[float], least: int, wanted: str) -> None:
    kinds = (int,) if kind is int else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool) or not value >= least:
        raise _Mistake(keys, f"{'.'.join(keys)} is {wanted}, not {value!r}.")


def _check_keys(keys: _Keys, table: Mapping[str, Any], known: Collection[str]) -> None:
    for key in table:
        if key not in known:
            _refuse_key((*keys, key), known)


def _refuse_key(keys: _Keys, known: Collection[str]) -> NoReturn:
    near = get_close_matches(keys[-1], sorted(known), n=1, cutoff=0.6)
    meant = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(sorted(known))}."
    raise _Mistake(keys, f"unknown key {'.'.join(keys)!r}; {meant}")


def _line_of(text: str, keys: _Keys) -> int | None:
    """The line on which a key, or else the table that it is missing from, begins."""
    lines = text.splitlines(keepends=True)
    readable = 0
    for count in range(1, min(len(lines), _LINES_MAX) + 1):
        try:
            document: object = tomllib.loads("".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
        if _has(document, keys):
            # What could be read before ends above it; blank lines and comments in between are readable by themselves.
            return readable + 1
        readable = count
    return _line_of(text, keys[:-1]) if len(keys) > 1 else None


def _has(document: object, keys: _Keys) -> bool:
    for key in keys:
        if not isinstance(document, dict) or key not in document:
            return False
        document = document[key]
    return True
