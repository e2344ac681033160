"""Diagrams: the machines of the core, drawn from the rows they run on.

Owns: docs/diagrams/, one page per machine: its statuses, its steps, and every row.
Never: a row of its own; what is drawn is read from the machine (tests/architecture/test_diagrams.py).
Reads as: `make diagrams` -> this -> `MACHINE` of each module of taskdock.core.

`--check` writes nothing, names what differs from the committed pages and exits 1.
The library's own GraphMachine is not used: it draws a row per arrow, loads asyncio, and colours what it likes.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from attrs import frozen
from transitions import Machine

import taskdock.core

FOLDER = Path(__file__).resolve().parent.parent / "docs/diagrams"
OUTSIDE = "[*]"
"""What Mermaid calls both the time before a record and the time after it."""


@frozen
class DrawnRow:
    """One row of a machine, for one source."""

    trigger: str
    source: str
    dest: str
    when: tuple[str, ...]
    then: tuple[str, ...]


def machines() -> dict[str, Machine]:
    """Find every machine that a module of the core builds: `MACHINE` by its module's name, `TURN_MACHINE` by its own."""
    found: dict[str, Machine] = {}
    for info in pkgutil.walk_packages(taskdock.core.__path__, "taskdock.core."):
        module = importlib.import_module(info.name)
        for name in _assigned(inspect.getsource(module)):
            machine = getattr(module, name, None)
            if isinstance(machine, Machine):
                own = name.removesuffix("MACHINE").rstrip("_").lower()
                found[own or info.name.rpartition(".")[2]] = machine
    return found


def rows(machine: Machine) -> list[DrawnRow]:
    """Read the rows in the order in which they are tried, source by source."""
    found = [
        DrawnRow(
            trigger=event.name,
            source=source,
            dest=transition.dest or source,
            when=tuple(
                f"{'' if check.target else 'not '}{_name(check.func)}" for check in transition.conditions
            ),
            then=tuple(_name(callback) for callback in transition.before),
        )
        for event in machine.events.values()
        for source, transitions in event.transitions.items()
        for transition in transitions
    ]
    place = {state: number for number, state in enumerate(machine.states)}
    return sorted(found, key=lambda row: place[row.source])


def status(state: str) -> str:
    """Keep what clients see of a state: the part before the step."""
    return state.partition("/")[0]


def step(state: str) -> str:
    """Keep the step, except of a failure: each has its own, and all are left the same way."""
    return "error" if status(state) == "error" else state


def draw(machine: Machine, name_of: Callable[[str], str]) -> str:
    """Draw a machine in Mermaid, states that `name_of` names alike as one; an arrow within one is left out."""
    triggers: dict[tuple[str, str], list[str]] = {}
    for row in rows(machine):
        arrow = name_of(row.source), name_of(row.dest)
        if arrow[0] != arrow[1] and row.trigger not in triggers.setdefault(arrow, []):
            triggers[arrow].append(row.trigger)
    names = list(dict.fromkeys(name_of(state) for state in machine.states))
    left = {source for source, _ in triggers}
    lines = ["stateDiagram-v2"]
    lines += [
        f'    state "{name}" as {_id(name)}'
        for name in names
        if _id(name) != name and name != machine.initial
    ]
    lines += [
        f"    {_end(source, machine)} --> {_end(dest, machine)}: {', '.join(labels)}"
        for (source, dest), labels in triggers.items()
    ]
    lines += [
        f"    {_id(name)} --> {OUTSIDE}" for name in names if name not in left and name != machine.initial
    ]
    return "\n".join(["```mermaid", *lines, "```"])


def page(name: str, machine: Machine) -> str:
    """Write the page of one machine."""
    orders = {
        state: [_name(order) for order in machine.get_state(state).on_enter] for state in machine.states
    }
    table = [
        f"| {_code([row.source])} | {_code([row.trigger])} | {_code(row.when)} | {_code([row.dest])} | {_code(row.then)} |"
        for row in rows(machine)
    ]
    parts = [
        f"# The machine `{name}`",
        "Drawn by `make diagrams` from the rows that run; do not edit.",
        "## Statuses\n\nWhat clients see. What moves within a status is left out.",
        draw(machine, status),
        "## Steps\n\nEvery state; those of `error` are drawn as one.",
        draw(machine, step),
        "## Rows\n\nFrom one state and on one trigger the first row whose guards hold is taken.",
        "\n".join(["| from | on | when | to | then |", "|---|---|---|---|---|", *table]),
        "## What entering a state orders",
        "\n".join(
            ["| state | orders |", "|---|---|"]
            + [f"| {_code([state])} | {_code(names)} |" for state, names in orders.items() if names]
        ),
    ]
    return "\n\n".join(parts) + "\n"


def pages() -> dict[Path, str]:
    """Write every page, by the file it belongs in."""
    return {FOLDER / f"{name}.md": page(name, machine) for name, machine in machines().items()}


def differing() -> Iterator[Path]:
    """Name the files that are missing, out of date, or of a machine that is no more."""
    wanted = pages()
    for path in sorted({*wanted, *FOLDER.glob("*.md")}):
        if not path.exists() or path.read_text() != wanted.get(path):
            yield path


def main() -> None:
    """Write the pages, or with `--check` compare them."""
    if "--check" in sys.argv[1:]:
        stale = [path.name for path in differing()]
        if stale:
            sys.exit(f"docs/diagrams: {', '.join(stale)} differ from the machines; run `make diagrams`")
        return
    wanted = pages()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in FOLDER.glob("*.md"):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        path.write_text(text)


def _assigned(source: str) -> set[str]:
    nodes = ast.parse(source).body
    targets = [target for node in nodes if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in nodes if isinstance(node, ast.AnnAssign)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _name(callback: object) -> str:
    return callback if isinstance(callback, str) else getattr(callback, "__name__", repr(callback))


def _id(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _end(name: str, machine: Machine) -> str:
    return OUTSIDE if name == machine.initial else _id(name)


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    main()
