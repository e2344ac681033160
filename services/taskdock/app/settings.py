"""Settings: a table of the config file made into the attrs class that a provider asks for.

Owns: `settings_of`.
Never: a value turned into another: "5" is no number, true is none either, and a text is no list.
Reads as: config_file.py -> `settings_of(spec.config, table, keys)` -> the provider's own class, or a Mistake.

A field's type says what may stand there: `str`, `int`, `float`, `bool`, `Path`, a `Literal`, a `tuple` or `list` of one of
them, a `dict` by text, another attrs class (a table within), and any of them `| None`. Its validators are obeyed.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

import attrs

from taskdock.app.mistakes import Keys, Mistake, check_keys, table_of
from taskdock.core.errors import InvalidCommand

_WANTED: Mapping[object, str] = MappingProxyType(
    {
        str: "a text",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        Path: "the path of a file or folder, as text",
        tuple: "a list",
        list: "a list",
    }
)


def settings_of(config: type, table: Mapping[str, Any], keys: Keys) -> Any:  # noqa: ANN401 - of the class asked for
    """Make one of the class. Raises Mistake for a key it has not, a value of another type, one it lacks or refuses."""
    known = {one.alias: one for one in attrs.fields(attrs.resolve_types(config)) if one.init}
    check_keys(keys, table, known)
    missing = [name for name, one in known.items() if one.default is attrs.NOTHING and name not in table]
    if missing:
        raise Mistake(keys, f"[{'.'.join(keys)}] lacks {' and '.join(missing)}.")
    values = {name: _value(known[name].type, given, (*keys, name)) for name, given in table.items()}
    try:
        return config(**values)
    except (InvalidCommand, TypeError, ValueError) as error:
        at = next(_refused(known, values, error), None)
        raise Mistake(keys if at is None else (*keys, at), _sentence(keys, at, error)) from error


def _refused(known: Mapping[str, Any], values: Mapping[str, Any], error: Exception) -> Iterator[str]:
    """Which values are refused by themselves: a validator's error does not say for which field it speaks."""
    if isinstance(error, InvalidCommand) and error.field is not None and error.field in values:
        yield error.field
    for name, value in values.items():
        if known[name].validator is not None:
            try:
                known[name].validator(None, known[name], value)
            except (InvalidCommand, TypeError, ValueError, AttributeError):
                yield name


def _sentence(keys: Keys, at: str | None, error: Exception) -> str:
    # attrs' own validators raise with more than their sentence.
    said = error.args[0] if error.args else type(error).__name__
    where = ".".join(keys if at is None else (*keys, at))
    return f"{where} is refused: {said}."


def _value(kind: Any, given: object, keys: Keys) -> Any:  # noqa: ANN401 - whatever the field's type is
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _one_of(arguments, given, keys)
    if origin is Literal:
        if not any(given == one and type(given) is type(one) for one in arguments):
            _refuse(keys, " or ".join(repr(one) for one in arguments), given)
        return given
    if origin in (tuple, list):
        if not isinstance(given, list):
            _refuse(keys, "a list", given)
        return origin(_value(arguments[0], one, keys) for one in given)
    if attrs.has(kind):
        return settings_of(kind, table_of(keys, given), keys)
    if origin is dict or kind is dict:
        table = table_of(keys, given)
        return (
            {name: _value(arguments[1], one, (*keys, name)) for name, one in table.items()}
            if arguments
            else dict(table)
        )
    return _plain(kind, given, keys)


def _plain(kind: Any, given: object, keys: Keys) -> Any:  # noqa: ANN401 - as above
    if kind is Path and isinstance(given, str):
        return Path(given).expanduser()
    if kind is float and isinstance(given, int) and not isinstance(given, bool):
        return float(given)
    if kind is Any or (type(given) is kind):
        return given
    return _refuse(keys, _WANTED.get(kind, f"of the type {getattr(kind, '__name__', kind)}"), given)


def _one_of(kinds: tuple[Any, ...], given: object, keys: Keys) -> Any:  # noqa: ANN401 - as above
    """The first kind that takes it; TOML has no null, so None is for what is left out."""
    wanted = [kind for kind in kinds if kind is not NoneType]
    for kind in wanted[:-1]:
        try:
            return _value(kind, given, keys)
        except Mistake:
            continue
    return _value(wanted[-1], given, keys)


def _refuse(keys: Keys, wanted: str, given: object) -> NoReturn:
    raise Mistake(keys, f"{'.'.join(keys)} is {wanted}, not {given!r}.")
