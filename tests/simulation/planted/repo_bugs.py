"""Repo bugs: what goes wrong when a repo is removed: somebody still works on it, or its clone goes too early or never.

Owns: one context manager per bug; its docstring is the sentence in the table.
Never: two bugs in one.
Reads as: table.py -> this -> planting.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from simulation.planted.planting import replaced
from taskdock.core import inputs, repo_boundary
from taskdock.core.change import Draft
from taskdock.core.machine import must_fire
from taskdock.core.repo import MACHINE, RepoCursor
from taskdock.testing.simulation.code import Clones


@contextmanager
def removed_under_a_task() -> Iterator[None]:
    """A repo is removed without asking the commit whether a live task needs it."""
    with replaced(RepoCursor, "note_removed", lambda _cursor: None):
        yield


@contextmanager
def removed_under_a_job() -> Iterator[None]:
    """A repo is removed while jobs of it are not over."""

    def remove(draft: Draft, _: inputs.RemoveRepo) -> None:
        must_fire(MACHINE, RepoCursor(draft, draft.slice.boundary), "remove")

    with patch.dict(repo_boundary._HANDLERS, {inputs.RemoveRepo: remove}):
        yield


@contextmanager
def clone_removed_unseen() -> Iterator[None]:
    """The clone of a removed repo goes although the remote has not all that is in it."""
    with replaced(Clones, "demand_all_elsewhere", lambda _clones, _repo_id: None):
        yield


@contextmanager
def clone_kept_in_silence() -> Iterator[None]:
    """A clone that has to stay is told as gone."""
    with replaced(RepoCursor, "keep_clone", RepoCursor.forget_clone):
        yield
