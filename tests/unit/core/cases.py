"""Cases: one input in one situation, and all that must come of it.

Owns: `Case` and `play`, which drives the input through `step`.
Never: a look into a table; a case knows the arc only by its name.
Reads as: cases_<table>.py lists cases -> test_rows.py plays them.
"""

from collections.abc import Callable
from typing import Any

from attrs import frozen

from taskdock.core.inputs import (
    Delivered,
    Failed,
    FailureClass,
    Input,
    Started,
    Succeeded,
    Value,
)
from taskdock.core.intents import Body
from taskdock.core.job import Job
from taskdock.core.message import Message
from taskdock.core.repo import Repo
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from unit.core.arcs import TABLES, recorded
from unit.core.story import JOB, MESSAGE, PERMISSION, REPO, TAB, TASK, RepoStory, Story, TaskStory, kinds_of

_RECORDS: dict[str, tuple[Any, str]] = {
    "task": (Task, TASK),
    "tab": (Tab, TAB),
    "message": (Message, MESSAGE),
    "repo": (Repo, REPO),
    "job": (Job, JOB),
}
"""Whose state a table is about, unless a case says otherwise."""

Asked = Callable[[Story], Input]
"""How a story makes its input: what it names (an intent, its issue) is known only there."""


@frozen
class Case:
    """The arc to be taken, where from, by what; then the state reached, the intents ordered and the history, in order."""

    arc: str
    given: Callable[[], TaskStory] | Callable[[], RepoStory]
    input: Input | Asked
    at: str
    orders: str = ""
    history: str = ""
    of: str | None = None
    """Whose state is meant: the first tab and the first message, unless it says otherwise."""
    also: tuple[str, ...] = ()
    """Further arcs of the same table that the same input takes."""


@frozen
class Played:
    """What came of a case."""

    at: str
    orders: str
    history: str
    arcs: tuple[str, ...]
    """All arcs of the table that were taken: a wrong one that the policies mend in the same step shows only here."""


def play(table: str, case: Case) -> Played:
    """Drive a case through `step`."""
    story = case.given()
    input_ = case.input(story) if callable(case.input) else case.input
    with recorded(TABLES[table]) as taken:
        change = story.do(input_)
    assert change.ignored is None, change.ignored
    ordered, noted = kinds_of(change)
    return Played(_at(table, story, case.of), ordered, noted, tuple(sorted(taken)))


def expected(case: Case) -> Played:
    """What must come of a case."""
    return Played(case.at, case.orders, case.history, tuple(sorted((case.arc, *case.also))))


def _at(table: str, story: Story, of: str | None) -> str:
    if table == "permission":
        assert isinstance(story, TaskStory)
        return story.permission(of or PERMISSION).at
    if table == "turn":
        return story.boundary.get(Tab, of or TAB).turn.at
    kind, record_id = _RECORDS[table]
    at: str = story.boundary.get(kind, of or record_id).at
    return at


def done(kind: type[Body], value: Value, tab: str | None = None) -> Asked:
    """The open intent of this kind succeeds."""
    return lambda story: story.outcome(kind, Succeeded(value), tab)


def fails(kind: type[Body], failure: FailureClass, tab: str | None = None) -> Asked:
    """The open intent of this kind fails."""
    return lambda story: story.outcome(kind, Failed(failure, "it broke"), tab)


def starts(kind: type[Body], tab: str | None = None) -> Asked:
    """The open intent of this kind is about to call outside."""

    def asked(story: Story) -> Input:
        intent = story.claim(kind, tab)
        return Started(intent.id, intent.issue)

    return asked


def is_delivered(kind: type[Body], tab: str | None = None) -> Asked:
    """The agent has the message of the open intent."""

    def asked(story: Story) -> Input:
        intent = story.claim(kind, tab)
        return Delivered(intent.id, intent.issue)

    return asked
