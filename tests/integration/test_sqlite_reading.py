"""SQLite reads: beside writers, complete, and at a price that does not grow with what is stored."""

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import ModuleType

import anyio
import pytest
from attrs import evolve

from taskdock.adapters.store.sqlite import (
    claims,
    commits,
    connection,
    marks,
    pruning,
    queue,
    reads,
    records,
    schema,
    slices,
    transcripts,
)
from taskdock.adapters.store.sqlite.batching import Submission
from taskdock.adapters.store.sqlite.commits import CommitUnit
from taskdock.adapters.store.sqlite.readers import rows
from taskdock.adapters.store.sqlite.store import SqliteStore
from taskdock.adapters.store.sqlite.transcripts import AppendUnit
from taskdock.core.change import Slice
from taskdock.core.errors import SchemaMismatch
from taskdock.core.inputs import OpenTab
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from taskdock.ports.store import Commit, NewItem
from taskdock.ports.upkeep import Horizon
from taskdock.testing.conformance.store_under_test import (
    NOW,
    WORKSPACE,
    creation,
    decide,
    ordering,
    tab_id,
    task_id,
    wake,
)

LATER = NOW + timedelta(days=1)
MODULES = (claims, commits, marks, pruning, queue, reads, records, slices, transcripts)
ONCE_AT_START = {"_FORGET_DEADLINES"}
"""The outbox holds open intents alone, and a start claims every one of them anyway."""
FOR_PEOPLE = {"_OPEN_BY_LANE", "_EVENT", "LAST_POSITION", "_COUNT_HISTORY"}
"""May look at every row: a report for people, a part of longer statements, and a table of two rows."""

GROWTH_MAX = 1.2


def statements() -> Iterator[tuple[str, str]]:
    """Every statement of the store that looks for rows, with its name."""
    for module in MODULES:
        for name, value in vars(module).items():
            for text in value.values() if isinstance(value, dict) and name == "_RECORD" else (value,):
                if isinstance(text, str) and re.match(r"\s*(SELECT|UPDATE|DELETE|WITH)\b", text):
                    yield name, text


def opened(path: Path) -> sqlite3.Connection:
    """Open a new store's writing connection by itself."""
    connection.make_file(path)
    writer = connection.connect_writer(path, "NORMAL", connection.Limits())
    schema.bring_up(writer)
    return writer


def plan(writer: sqlite3.Connection, statement: str) -> list[str]:
    """How SQLite would carry a statement out."""
    named = re.findall(r":(\w+)", statement)
    parameters: dict[str, None] | list[None] = (
        dict.fromkeys(named) if named else [None] * statement.count("?")
    )
    return [row[3] for row in writer.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]


def test_no_statement_looks_at_every_row(tmp_path: Path) -> None:
    """Each statement finds its rows by an index, but for what is told to people and what a start does to the outbox once."""
    scans: dict[str, list[str]] = {}
    with closing(opened(tmp_path / "taskdock.db")) as writer:
        found = dict(statements())
        for name, statement in found.items():
            walks = [
                step
                for step in plan(writer, statement)
                if re.match(r"SCAN \w+$", step) and step != "SCAN next"
            ]
            if walks and name not in FOR_PEOPLE | ONCE_AT_START:
                scans[name] = walks
    assert len(found) > 35
    assert scans == {}


@pytest.mark.parametrize(
    ("module", "name", "index"),
    [
        (claims, "CANDIDATES", "intent_due (lane=? AND workspace=?)"),
        (claims, "_WORKSPACE_AFTER", "intent_due (lane=? AND workspace>?)"),
        (claims, "CANDIDATES", "intent_busy (boundary=? AND subject=?)"),
        (claims, "_COME_DUE", "intent_timed (due=? AND not_before<?)"),
        (claims, "_STEP_BACK", "intent_timed (due=? AND not_before>?)"),
        (queue, "_CANCELLED", "intent_busy"),
        (queue, "_NEXT_DUE", "intent_timed (due=? AND not_before>?)"),
        (reads, "_EVENTS_OF_BOUNDARY", "history_of_boundary (boundary=? AND rowid>?)"),
        (reads, "_TASKS_BEFORE", "task_newest (workspace=? AND created_at<?)"),
        (reads, "_READY_TABS", "tab_ready"),
        (slices, "_LOAD", "message_open (task_id=?)"),
        (transcripts, "_LAST_EVENT", "transcript_source (tab_id=? AND source=?)"),
    ],
)
def test_statement_uses_its_index(tmp_path: Path, module: ModuleType, name: str, index: str) -> None:
    """The statements that have to stay cheap use the index that was made for them."""
    with closing(opened(tmp_path / "taskdock.db")) as writer:
        assert any(f"INDEX {index}" in step for step in plan(writer, vars(module)[name]))


def steps_of(writer: sqlite3.Connection, act: Callable[[sqlite3.Connection], object]) -> int:
    """Count the steps of SQLite's machine that something takes: work without a clock, and the same on every run."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    writer.execute("BEGIN IMMEDIATE")
    writer.set_progress_handler(count, 1)
    act(writer)
    writer.set_progress_handler(None, 1)
    writer.execute("ROLLBACK")
    return steps


def measured(path: Path, tasks: int) -> dict[str, int]:
    """What each operation takes beside so many tasks that are done, wait for a full lane, or wait for their time."""
    with closing(opened(path)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        for number in range(1, 11):
            CommitUnit(Commit((creation(number),)), NOW)(writer)
        for number in range(100, 100 + tasks):
            boundary = task_id(number)
            CommitUnit(Commit((creation(number),)), NOW)(writer)
            writer.execute("DELETE FROM intent WHERE boundary = ?", [boundary])
            timed = wake(f"{boundary}-timed", 1, lane="timed", not_before=LATER + timedelta(seconds=number))
            full = wake(f"{boundary}-full", 1, lane="full")
            wide = evolve(wake(f"{boundary}-wide", 1, lane="wide"), workspace=f"of {number}")
            for intent in (timed, full, wide):
                CommitUnit(Commit((ordering(intent.boundary, intent),)), NOW)(writer)
        writer.execute("COMMIT")
        return {name: steps_of(writer, act) for name, act in OPERATIONS.items()}


HORIZON = Horizon(LATER, LATER, 10, LATER)
OPERATIONS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "claim": partial(
        claims.claim, room={"full": 1, "wide": 3, "*": 8}, now=LATER, deadlines={}, turns=claims.Turns()
    ),
    "load": partial(slices.load_slice, boundary=task_id(1)),
    "create": CommitUnit(Commit((creation(99),)), NOW),
    "append": AppendUnit([NewItem(tab_id(1), task_id(1), "a", "1", "text", {}, NOW)]),
    "tasks": partial(rows, statement=reads._TASKS, parameters=(WORKSPACE, 20)),
    "history": partial(rows, statement=reads._EVENTS_OF_BOUNDARY, parameters=(task_id(1), WORKSPACE, 0, 50)),
    "cancelled": partial(rows, statement=queue._CANCELLED),
    "next due": partial(rows, statement=queue._NEXT_DUE, parameters={"now": 0}),
    "taken": partial(rows, statement=queue._TAKEN),
    "open intents": partial(rows, statement=reads._OPEN_INTENTS, parameters=(WORKSPACE, 40)),
    "feed": partial(reads._feed, after=7, limit=20),
    "prune history": partial(pruning._prune_history, horizon=HORIZON, after=0, limit=40),
    "prune feed": partial(pruning._prune_feed, horizon=HORIZON, after=0, limit=40),
    "prune keys": partial(pruning._prune_keys, horizon=HORIZON, after=0, limit=40),
    "ready tabs": partial(rows, statement=reads._READY_TABS),
}


def test_work_does_not_grow_with_what_is_stored(tmp_path: Path) -> None:
    """A claim, a load, a commit and the daily questions take the same steps beside 50 stored tasks and beside 2,000."""
    few, many = measured(tmp_path / "few.db", 50), measured(tmp_path / "many.db", 2_000)
    assert {name: (few[name], many[name]) for name in few if many[name] > few[name] * GROWTH_MAX} == {}
    assert min(few.values()) > 0


@pytest.mark.anyio
async def test_reads_see_one_moment_beside_writers(tmp_path: Path) -> None:
    """While tabs are opened, every snapshot and every slice is one moment: as many tabs as the task has counted."""
    async with SqliteStore.open(tmp_path / "taskdock.db", synchronous="NORMAL") as store:
        await store.commit(Commit((creation(1),)))
        seen: list[int] = []

        def check(found: Sequence[object]) -> None:
            counted = [record.tabs_opened for record in found if isinstance(record, Task)]
            tabs = [record for record in found if isinstance(record, Tab)]
            assert counted == [len(tabs)]
            seen.append(len(tabs))

        async def read() -> None:
            while not seen or max(seen) < 60:
                snapshot = await store.snapshot(WORKSPACE, task_id(1))
                check([versioned.record for versioned in snapshot.records])
                check((await store.load(task_id(1))).records)

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            group.start_soon(read)
            for number in range(60):
                change = decide(await store.load(task_id(1)), OpenTab(f"tab-{number}"))
                await store.commit(Commit((change,)))
        assert len(set(seen)) > 5


@pytest.mark.anyio
async def test_reads_leave_the_log_free(tmp_path: Path) -> None:
    """After every kind of read, also of a part of the rows, the whole log can be folded into the file."""
    path = tmp_path / "taskdock.db"
    async with SqliteStore.open(path) as store:
        for number in range(30):
            await store.commit(Commit((creation(number),)))
        await store.feed(0, limit=3)
        await store.tasks(WORKSPACE, limit=3)
        await store.history(None, workspace=WORKSPACE, limit=3)
        await store.snapshot(WORKSPACE, task_id(1))
        await store.claim({"*": 3}, LATER, {})
        with closing(sqlite3.connect(path, timeout=0)) as other:
            busy, left, _ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert (busy, left) == (0, 0)


@pytest.mark.anyio
async def test_look_ups_share_a_hop(tmp_path: Path) -> None:
    """Look-ups that wait together go to the thread together, each with its own answer or error."""
    async with SqliteStore.open(tmp_path / "taskdock.db") as store:
        await store.commit(Commit((creation(1),)))
        with closing(sqlite3.connect(tmp_path / "taskdock.db")) as other, other:
            other.execute("INSERT INTO boundary VALUES ('task-bad', 'acme', 1, 0)")
            other.execute(
                "INSERT INTO task SELECT 'task-bad', workspace, repo_id, at, created_at, 1, '{}' FROM task"
            )
        batching = store._database.readers.batching
        batches: list[int] = []
        carry_out = batching._carry_out

        def counted(batch: list[Submission[object]]) -> Callable[[], None] | None:
            batches.append(len(batch))
            return carry_out(batch)

        batching._carry_out = counted
        answers: dict[str, object] = {}

        async def look(record_id: str) -> None:
            try:
                answers[record_id] = await store.load(record_id)
            except Exception as error:  # noqa: BLE001 - each answer is looked at below
                answers[record_id] = error

        async with anyio.create_task_group() as group:
            for record_id in (task_id(1), "task-bad", *(f"task-none-{number}" for number in range(20))):
                group.start_soon(look, record_id)
    assert len(batches) <= 2
    assert isinstance(answers.pop("task-bad"), SchemaMismatch)
    versions = [answer.version for answer in answers.values() if isinstance(answer, Slice)]
    assert sorted(versions) == [0] * 20 + [1]
