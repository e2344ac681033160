"""Arcs: each row of each table, once per state that it starts from.

Owns: the names of arcs, who took which one, and a table with one arc bent to another destination.
Never: an expectation; those stand in the cases.
Reads as: test_rows.py and the walk -> `arcs`, `recorded`, `bent` -> the machines that are in use.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from attrs import frozen
from transitions import Machine, Transition

from taskdock.core import job, message, permission, repo, tab, task
from taskdock.core.machine import Row


@frozen
class Table:
    """A machine and the rows that it was built from."""

    machine: Machine
    rows: tuple[Row, ...]


TABLES = {
    "task": Table(task.MACHINE, task.ROWS),
    "tab": Table(tab.MACHINE, tab.ROWS),
    "message": Table(message.MESSAGE_MACHINE, message.MESSAGE_ROWS),
    "turn": Table(message.TURN_MACHINE, message.TURN_ROWS),
    "permission": Table(permission.MACHINE, permission.ROWS),
    "repo": Table(repo.MACHINE, repo.ROWS),
    "job": Table(job.MACHINE, job.ROWS),
}


def arcs(table: Table) -> dict[str, Transition]:
    """Each arc of the running machine under its name: `trigger[guards]: source -> destination`."""
    found: dict[str, Transition] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for row in table.rows:
        guards = f"[{','.join(row.when)}]" if row.when else ""
        for source in row.source:
            listed = table.machine.events[row.trigger].transitions[source]
            found[f"{row.trigger}{guards}: {source} -> {row.dest}"] = listed[seen[row.trigger, source]]
            seen[row.trigger, source] += 1
    return found


@contextmanager
def recorded(*tables: Table) -> Iterator[list[str]]:
    """Collect the names of the arcs that are taken meanwhile, in order."""
    taken: list[str] = []
    marked = [(arc, partial(taken.append, name)) for table in tables for name, arc in arcs(table).items()]
    for arc, mark in marked:
        # A new list: the arcs of one row share theirs.
        arc.before = [*arc.before, mark]
    try:
        yield taken
    finally:
        for arc, _ in marked:
            arc.before = arc.before[:-1]


@contextmanager
def bent(arc: Transition, dest: str) -> Iterator[None]:
    """Let one arc lead elsewhere: what a wrong destination in its row would do."""
    written = arc.dest
    arc.dest = dest
    try:
        yield
    finally:
        arc.dest = written
