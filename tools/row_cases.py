"""Transitions: each row of each table with the test that takes it, written down from the tests themselves.

Owns: docs/transitions.md.
Never: a row or a case of its own; each case is played, and the page says what it took (tests/docs/test_transitions.py).
Reads as: `make diagrams` -> this -> the cases of tests/unit/core/, the tables of taskdock.core.

`--check` writes nothing, and exits 1 when the page differs. A row that no case takes is named, and no page is written.
"""

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [path for path in [str(REPOSITORY / "tests")] if path not in sys.path]

from taskdock.core.inputs import Input, OutcomeReported, Succeeded  # noqa: E402 - the cases lie beside the tests
from unit.core.arcs import TABLES, arcs  # noqa: E402
from unit.core.cases import Case, Played, play  # noqa: E402
from unit.core.test_rows import CASES, test_row  # noqa: E402

PAGE = REPOSITORY / "docs/transitions.md"
TEST = f"tests/unit/core/test_rows.py::{test_row.__name__}"

INTRODUCTION = f"""\
# Transitions

Each row of each table, once per state that it starts from, with the case that takes it. Written by `make diagrams`, which
plays every case; do not edit. The drawings of the same tables: [task](diagrams/task.md), [tab](diagrams/tab.md),
[message](diagrams/message.md), [turn](diagrams/turn.md), [permission](diagrams/permission.md), [repo](diagrams/repo.md).

A case is one input in one situation: it has to take exactly these rows, and to order and note exactly what it says. A row
is bent to every other state, too, and its case has to notice (`test_no_destination_can_change_unnoticed`). A row without a
case fails the build, and one that an earlier row hides is refused at import.

The test of a row is `{TEST}`, with table and row in brackets:
`[tab: open: new -> pending_provision]`.
"""


class NotCovered(Exception):
    """A row that no case takes, or a case without a row."""


@frozen
class Taken:
    """One row from one state, what takes it, and what came of that."""

    arc: str
    situation: str
    input: str
    played: Played
    others: int
    """How many further cases take it on their way."""


def taken(table: str, cases: Sequence[Case]) -> list[Taken]:
    """Play the cases of a table; its rows in the order in which they are tried. NotCovered for one that is left out."""
    rows = arcs(TABLES[table])
    of = {case.arc: case for case in cases}
    played = {case.arc: play(table, case) for case in cases}
    passed = Counter(arc for one in played.values() for arc in set(one.arcs))
    wrong = [f"{table}: {arc}" for arc in rows if arc not in of or arc not in played[arc].arcs]
    wrong += [f"{table}: {arc} (there is no such row)" for arc in of if arc not in rows]
    if wrong:
        raise NotCovered("\n".join(wrong))
    return [Taken(arc, _words(of[arc].given), _input(of[arc]), played[arc], passed[arc] - 1) for arc in rows]


def page(cases: Mapping[str, Sequence[Case]] = CASES) -> str:
    """Write the page."""
    found = {table: taken(table, cases[table]) for table in TABLES}
    summary = ["| table | rows | from all states | with a case |", "|---|---|---|---|"]
    summary += [
        f"| [{table}](#{table}) | {len(TABLES[table].rows)} | {len(rows)} | {len(rows)} |"
        for table, rows in found.items()
    ]
    sections = ["\n".join(summary), *(_section(table, rows) for table, rows in found.items())]
    return "\n\n".join([INTRODUCTION.rstrip(), *sections]) + "\n"


def _section(table: str, rows: Sequence[Taken]) -> str:
    lines = [
        "| row | in this situation | on this input | orders | notes | also |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        also = f"{row.others} more" if row.others else ""
        orders, notes = (_code(words) for words in (row.played.orders, row.played.history))
        lines.append(f"| `{row.arc}` | {row.situation} | {row.input} | {orders} | {notes} | {also} |")
    return f"## {table}\n\n" + "\n".join(lines)


def _words(given: Callable[[], object]) -> str:
    """What a story has come to, by the name of the function that tells it."""
    return given.__name__.strip("_").replace("_", " ")


def _input(case: Case) -> str:
    """What is fed: a command or a fact by its name; an outcome by its intent, and what it brought."""
    story = case.given()
    asked: Input = case.input(story) if callable(case.input) else case.input
    if not isinstance(asked, OutcomeReported):
        return f"`{type(asked).__name__}`"
    intent = story.boundary.outbox[asked.intent_id]
    outcome = asked.outcome
    brought = type(outcome.value).__name__ if isinstance(outcome, Succeeded) else outcome.failure_class.value
    return f"`{type(intent.body).__name__}`: {'' if isinstance(outcome, Succeeded) else 'fails, '}`{brought}`"


def _code(words: str) -> str:
    """Words that follow each other, each as code; what comes several times is counted."""
    return ", ".join(
        f"`{word}`" + (f" x{count}" if count > 1 else "") for word, count in Counter(words.split()).items()
    )


def main() -> None:
    """Write the page, or with `--check` compare it."""
    try:
        text = page()
    except NotCovered as error:
        sys.exit(f"no case in tests/unit/core/ takes these rows; add one to its cases_*.py:\n{error}")
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        sys.exit("docs/transitions.md differs from the tables and their cases; run `make diagrams`")


if __name__ == "__main__":
    main()
