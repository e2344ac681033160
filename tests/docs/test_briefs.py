"""Briefs: every demand of our user has its row, and what a row names as its keeper is there."""

import ast
import functools
import re

from architecture.source_tree import REPOSITORY
from docs.pages import code, rows
from taskdock.core import tab
from taskdock.core.job_record import JobKind, JobStatus
from taskdock.core.tab import TabStatus
from taskdock.core.task_record import TaskStatus

PAGE = REPOSITORY / "docs/briefs.md"
DEMANDS = {1: 14, 2: 9, 3: 10}
"""How many demands each brief has."""

_TO_COME = re.compile(r"\bto come\b", re.IGNORECASE)


def demands() -> list[list[str]]:
    """The rows of all three tables."""
    return rows(PAGE.read_text())


@functools.cache
def names_in(path: str) -> frozenset[str]:
    """The names of the test functions in a file; empty when there is no such file."""
    file = REPOSITORY / path
    if not file.is_file():
        return frozenset()
    nodes = ast.walk(ast.parse(file.read_text()))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(function.name for function in functions if function.name.startswith("test_"))


def keepers(row: list[str]) -> list[str]:
    """The tests that a row names."""
    return code(row[-1])


def test_every_demand_has_one_row() -> None:
    """Each number of each brief stands there exactly once, in order."""
    expected = [f"{brief}.{number}" for brief, count in DEMANDS.items() for number in range(1, count + 1)]
    assert [row[0] for row in demands()] == expected


def test_every_row_is_whole() -> None:
    """A row says what is asked and what there is, and names a test or says what is to come."""
    assert [row[0] for row in demands() if len(row) != 4 or not row[1] or not row[2]] == []
    assert [row[0] for row in demands() if not keepers(row) and not _TO_COME.search(row[2])] == []


def test_what_is_to_come_says_what_it_waits_for() -> None:
    """Whatever is missing names what it waits for, so that a reader knows when it will be there."""
    promised = [row for row in demands() if _TO_COME.search(row[2])]
    assert [
        row[0] for row in promised if not re.search(r"to come: .*\bwaits for \w", row[2], re.IGNORECASE)
    ] == []
    assert promised


def test_every_keeper_exists() -> None:
    """Each test that a row names is a function of the file that it names."""
    named = [keeper for row in demands() for keeper in keepers(row)]
    assert [one for one in named if one.partition("::")[2] not in names_in(one.partition("::")[0])] == []
    assert len(named) >= 23


def test_statuses_are_those_of_the_briefs() -> None:
    """The words that the briefs fixed are statuses to the letter."""
    task = ["init_enqueue_provision", "init_ensure_name", "init_create_sandbox", "init_ensure_agent"]
    task += ["init_create_session", "running", "error"]
    assert [status.value for status in TaskStatus if status.value in task] == task
    assert [status.value for status in TabStatus][:4] == [
        "pending_provision",
        "pending_session_create",
        "ready",
        "error",
    ]
    assert [status.value for status in JobStatus] == ["queued", "running", "completed", "error", "cancelled"]
    assert [kind.value for kind in JobKind] == [
        "sync_repo", "restack_repo", "restack_subtree", "rebase_branch", "reparent_branch", "register_existing_branch",
        "undo",
    ]  # fmt: skip


def test_only_a_session_makes_a_tab_ready() -> None:
    """No row but that of a session that came up leads to `ready`, and it starts from a pending tab only."""
    leading = [
        row for row in tab.ROWS if row.dest == tab.READY or (row.dest == "=" and tab.READY in row.source)
    ]
    assert [(row.trigger, row.source) for row in leading] == [("session_ready", (tab.PENDING_SESSION,))]
