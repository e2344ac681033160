"""Mistakes: a key or a value of a config file that is wrong, and the line on which it stands.

Owns: `Mistake`, `check_keys`, `table_of`, `line_of`.
Never: a guess about which value was meant; only of keys the nearest is named.
Reads as: config_file.py, settings.py -> a Mistake -> config_file.py tells it by file and line.

TOML's own reader keeps no lines. A key's line is found when it is needed: the first beginning of the file that can be read
and has the key ends with it.
"""

import tomllib
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, NoReturn

Keys = tuple[str, ...]
"""Where something stands in a document: the tables' names, then its own."""

_LINES_MAX = 2_000
"""Beyond that a mistake is told without its line: finding one reads every beginning of the file."""


class Mistake(Exception):
    """A key or a value that is wrong, and where in the document it stands."""

    def __init__(self, keys: Keys, sentence: str) -> None:
        super().__init__(sentence)
        self.keys = keys
        self.sentence = sentence


def table_of(keys: Keys, value: object) -> Mapping[str, Any]:
    """Give a table back, or refuse what is none."""
    if not isinstance(value, dict):
        raise Mistake(keys, f"{'.'.join(keys)} is a table: write [{'.'.join(keys)}].")
    return value


def check_keys(keys: Keys, table: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse the first key of a table that nobody knows, with the one that was meant."""
    for key in table:
        if key not in known:
            _refuse_key((*keys, key), known)


def _refuse_key(keys: Keys, known: Collection[str]) -> NoReturn:
    near = get_close_matches(keys[-1], sorted(known), n=1, cutoff=0.6)
    there = ", ".join(sorted(known)) or "none"
    meant = f"did you mean {near[0]!r}?" if near else f"there is {there}."
    raise Mistake(keys, f"unknown key {'.'.join(keys)!r}; {meant}")


def line_of(text: str, keys: Keys) -> int | None:
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
    return line_of(text, keys[:-1]) if len(keys) > 1 else None


def _has(document: object, keys: Keys) -> bool:
    for key in keys:
        if not isinstance(document, dict) or key not in document:
            return False
        document = document[key]
    return True
