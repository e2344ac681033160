"""Upkeep: what the app can do for a home's store, without the command line knowing which store that is.

Owns: `StoreUpkeep`, `Removed` and `Purge`.
Never: a deed of its own; only the composition root knows the adapters.
Reads as: the app -> `Installation` -> store.py, purge.py.
"""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from attrs import frozen


@frozen
class StoreUpkeep:
    """The three things that can be done to the store of a home. Each raises StoreError when the file is none of ours."""

    check: Callable[[Path], Sequence[str]]
    """What is wrong with it, a sentence each."""
    migrate: Callable[[Path], tuple[int, int]]
    """The version before and after."""
    backup: Callable[[Path, Path], int]
    """Home, path of the copy -> its size in bytes."""


@frozen
class Removed:
    """One kind of rows that retention removes: how many are too old now, and by which rule."""

    kind: str
    rows: int
    rule: str


Purge = Callable[[Path, bool], Awaitable[Sequence[Removed]]]
"""Home, whether it is a dry run -> what was removed, or would be."""
