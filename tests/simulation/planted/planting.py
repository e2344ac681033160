"""Planting: how a bug is put into the product for a while, and taken out again.

Owns: `replaced`, `redirected`, `without_rule`.
Never: a bug that stays; each is gone when its block ends.
Reads as: *_bugs.py -> this -> one function, row or rule of the core or the services.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from transitions import Machine

from taskdock.core import task_policies
from taskdock.core.change import Draft


@contextmanager
def replaced(owner: object, name: str, new: object) -> Iterator[None]:
    """Put something else in the place of a function of a class or a module."""
    with patch.object(owner, name, new):
        yield


@contextmanager
def redirected(machine: Machine, trigger: str, source: str, dest: str, new_dest: str) -> Iterator[None]:
    """Let one row of a table lead elsewhere."""
    arcs = [arc for arc in machine.events[trigger].transitions[source] if arc.dest == dest]
    assert arcs, f"no row {trigger!r} leads from {source!r} to {dest!r}"
    for arc in arcs:
        arc.dest = new_dest
    try:
        yield
    finally:
        for arc in arcs:
            arc.dest = dest


@contextmanager
def added(machine: Machine, trigger: str, source: str, like: str) -> Iterator[None]:
    """Let a trigger do in one state what it does in another one."""
    event = machine.events[trigger]
    assert source not in event.transitions, f"{trigger!r} has rows from {source!r} already"
    event.transitions[source] = event.transitions[like]
    try:
        yield
    finally:
        del event.transitions[source]


@contextmanager
def without_rule(rule: Callable[[Draft], bool]) -> Iterator[None]:
    """Forget one of the rules between a task, its tabs and its messages."""
    rules = tuple(one for one in task_policies.RULES if one is not rule)
    assert len(rules) < len(task_policies.RULES)
    with patch.object(task_policies, "RULES", rules):
        yield
