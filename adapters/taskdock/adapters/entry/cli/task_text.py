"""Task text: a task, its tabs and a list of tasks, as people read them.

Owns: which columns and lines there are.
Never: printing; the lines are values.
Reads as: task.py, tab.py -> this -> output.py.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from taskdock.adapters.entry.cli import sayings
from taskdock.adapters.entry.cli.output import age, cut, fields, printable, table
from taskdock.core.repo import Repo
from taskdock.core.step import Failure, Step
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from taskdock.services.dock import TaskView

BRANCH_COLUMNS_MAX = 32
"""In a list on a terminal, so that a branch leaves room for the title."""


def list_lines(
    tasks: Sequence[Task], repos: Mapping[str, str], now: datetime, columns: int | None
) -> list[str]:
    """A table of tasks, cut to so many columns; nothing when there are none."""
    rows = [
        (
            task.id,
            task.status.value,
            repos.get(task.repo_id, task.repo_id),
            cut(task.branch or "-", BRANCH_COLUMNS_MAX) if columns else task.branch or "-",
            age(task.created_at, now),
            task.title,
        )
        for task in tasks
    ]
    return table(("ID", "STATUS", "REPO", "BRANCH", "AGE", "TITLE"), rows, columns) if rows else []


def tab_lines(tabs: Sequence[Tab], now: datetime, columns: int | None) -> list[str]:
    """A table of tabs, cut to so many columns; nothing when there are none."""
    rows = [
        (tab.id, tab.number, tab.status.value, _turn(tab), tab.agent, age(tab.opened_at, now), tab.name)
        for tab in sorted(tabs, key=lambda tab: tab.number)
    ]
    return table(("ID", "NO", "STATUS", "TURN", "AGENT", "AGE", "NAME"), rows, columns) if rows else []


def show_lines(view: TaskView, repo: Repo, now: datetime, columns: int | None) -> list[str]:
    """One task with everything a person asks about it."""
    task = view.task
    pairs = [
        ("id", task.id),
        ("title", task.title),
        ("status", task.status.value),
        ("step", _step(task.step, view.waits_for, now)),
        ("repo", f"{repo.name} ({repo.remote})"),
        ("branch", _branch(task)),
        ("base", task.base),
        ("commit", sayings.commit(task.head) if task.head else None),
        ("provider", task.provider),
        ("sandbox", task.sandbox.name if task.box_ordered else None),
        ("agent", f"{task.agent}, model {task.model}" if task.model else task.agent),
        ("created", f"{age(task.created_at, now)} ago"),
        ("may", ", ".join(view.available_actions.get(task.id, ()))),
    ]
    return [
        *fields(pairs),
        *failure_lines(task.failure),
        "",
        *tab_lines(view.tabs, now, columns),
        *_waiting_lines(view),
    ]


def _waiting_lines(view: TaskView) -> list[str]:
    """What waits for the user: questions of agents, held queues; and how much is queued behind what."""
    lines = [
        f"{one.tab_id} asks: {one.title} [{', '.join(option.id for option in one.options)}] ({one.id})"
        for one in view.permissions
    ]
    for tab in view.tabs:
        count = sum(message.tab_id == tab.id for message in view.queued)
        if count:
            waits = f"held, until taskdock tab resume-queue {tab.id}" if tab.held else "in their order"
            lines.append(f"{tab.id} has {count} queued: {waits}")
    return ["", *(printable(line) for line in lines)] if lines else []


def failure_lines(failure: Failure | None) -> list[str]:
    """Why it rests in error, what a retry does, and the last lines of what failed."""
    if failure is None:
        return []
    tail = [f"  | {line}" for line in printable(failure.log_tail or "").splitlines()]
    return [
        "",
        f"failed in {failure.step}, attempt {failure.attempts} ({failure.failure_class.value}): {failure.reason}",
        f"a retry {failure.retry}",
        *tail,
    ]


def _step(step: Step | None, waits_for: str | None, now: datetime) -> str | None:
    if step is None:
        return None
    told = [f"{step.name}, attempt {step.attempt}, for {age(step.started_at, now)}"]
    told += [step.progress] if step.progress else []
    told += [f"waits for {waits_for}"] if waits_for else []
    return "; ".join(told)


def _branch(task: Task) -> str | None:
    """Its name, and whether it is where the task left it."""
    if task.branch is None or not task.moved:
        return task.branch
    if task.moved_from is None:
        return f"{task.branch}, moved elsewhere: the work is under the task's own ref"
    where = f"moved to {sayings.commit(task.moved_to)}" if task.moved_to else "taken away"
    return f"{task.branch}, {where} by {task.moved_by}; the sandbox stays where it is"


def _turn(tab: Tab) -> str:
    if tab.turn.at != "none":
        return tab.turn.at
    ended = tab.last_end.value if tab.last_end else "-"
    return f"{ended}, held" if tab.held else ended
