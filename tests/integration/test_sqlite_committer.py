"""Group commit: who shares a transaction, what fails together, and what everybody is told."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
from attrs import evolve

from taskdock.adapters.store.sqlite.connection import Limits
from taskdock.adapters.store.sqlite.store import SqliteStore
from taskdock.core.change import Change
from taskdock.core.codec import VERSION
from taskdock.core.errors import CapacityExceeded, InvariantViolated, StoreError
from taskdock.core.history import HistoryEvent, HistoryKind
from taskdock.core.inputs import OpenTab
from taskdock.ports.store import Commit, CommitResult, Committed, NewItem, Stale
from taskdock.testing.conformance.store_under_test import (
    NOW,
    create_task,
    creation,
    decide,
    key,
    ordering,
    task_id,
    wake,
)

pytestmark = pytest.mark.anyio

LATER = NOW + timedelta(days=1)
IMPATIENT = Limits(lock_timeout_seconds=0.2)


def created(number: int) -> Commit:
    """Make the commit that creates task `number`."""
    return Commit((creation(number),))


@asynccontextmanager
async def held(path: Path) -> AsyncIterator[sqlite3.Connection]:
    """Hold the write lock of the file, as another process would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other
        if other.in_transaction:
            other.execute("ROLLBACK")


async def commit_all(store: SqliteStore, *commits: Commit) -> list[CommitResult | Exception]:
    """Hand all of them in before the first is written; what became of each."""
    results: list[CommitResult | Exception] = [Stale("nothing came")] * len(commits)

    async def commit(index: int) -> None:
        try:
            results[index] = await store.commit(commits[index])
        except (StoreError, CapacityExceeded, InvariantViolated) as error:
            results[index] = error

    async with anyio.create_task_group() as group:
        for index in range(len(commits)):
            group.start_soon(commit, index)
    return results


async def test_those_that_wait_share_a_transaction(tmp_path: Path) -> None:
    """What is handed in together is written together: one COMMIT for all of it."""
    async with SqliteStore.open(tmp_path / "taskdock.db") as store:
        statements: list[str] = []
        store._database.committer._connection.set_trace_callback(statements.append)
        results = await commit_all(store, *(created(number) for number in range(50)))
        store._database.committer._connection.set_trace_callback(None)
    assert all(isinstance(result, Committed) for result in results)
    assert statements.count("BEGIN IMMEDIATE") == statements.count("COMMIT") <= 2


async def test_lock_that_stays_fails_all_that_wait(tmp_path: Path) -> None:
    """While another process keeps the lock, writers get a StoreError in time, readers go on, and nothing is written."""
    path = tmp_path / "taskdock.db"
    async with SqliteStore.open(path, limits=IMPATIENT) as store:
        await store.commit(created(1))
        async with held(path):
            with anyio.fail_after(5):
                results = await commit_all(store, created(2), created(3))
                assert (await store.load(task_id(1))).version == 1
        assert [type(result) for result in results] == [StoreError, StoreError]
        assert results[0] is not results[1]
        assert "SQLITE_BUSY" in str(results[0])
        assert (await store.load(task_id(2))).version == 0
        assert isinstance(await store.commit(created(2)), Committed)


async def test_full_disk_fails_the_write_and_nothing_else(tmp_path: Path) -> None:
    """A store that cannot grow answers with a StoreError, keeps what it had, and goes on once there is room."""
    async with SqliteStore.open(tmp_path / "taskdock.db") as store:
        await store.commit(created(1))
        committer = store._database.committer
        (pages,) = await committer.submit(lambda c: c.execute("PRAGMA page_count").fetchone())
        await committer.submit(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchall())
        results = await commit_all(store, *(created(number) for number in range(2, 60)))
        refused = [number for number, result in enumerate(results, 2) if isinstance(result, StoreError)]
        assert refused
        assert "the disk is full" in str(results[refused[0] - 2])
        await committer.submit(lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchall())
        for number, result in enumerate(results, 2):
            assert (await store.load(task_id(number))).version == isinstance(result, Committed)
        assert (await store.load(task_id(1))).version == 1
        assert isinstance(await store.commit(created(refused[0])), Committed)


async def test_commit_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """When the transaction itself cannot be ended, nobody is told that it was, and the next one is not hindered."""

    def deny_commit(action: int, name: str | None, *_: object) -> int:
        ends = action == sqlite3.SQLITE_TRANSACTION and name == "COMMIT"
        return sqlite3.SQLITE_DENY if ends else sqlite3.SQLITE_OK

    async with SqliteStore.open(tmp_path / "taskdock.db") as store:
        connection = store._database.committer._connection
        connection.set_authorizer(deny_commit)
        results = await commit_all(
            store, created(1), Commit((evolve(created(2).changes[0], expect_version=5),))
        )
        assert [type(result) for result in results] == [StoreError, StoreError]
        connection.set_authorizer(None)
        assert (await store.load(task_id(1))).version == 0
        assert isinstance(await store.commit(created(1)), Committed)


async def test_failing_units_take_nobody_with_them(tmp_path: Path) -> None:
    """In one batch, each caller gets its own answer: a result, a refusal, or the bug that only its unit has."""
    async with SqliteStore.open(tmp_path / "taskdock.db") as store:
        await store.commit(created(1))
        taken = decide(await store.load(task_id(1)), OpenTab("tab-new"))
        foreign = created(2).changes[0]
        thief = evolve(taken, records=(*taken.records, foreign.records[1]))
        twice = ordering(task_id(4), wake(task_id(4), 1), wake(task_id(4), 1))
        results = await commit_all(
            store,
            created(2),
            Commit((evolve(taken, expect_version=9),)),
            Commit((thief,)),
            Commit((twice,)),
            created(3),
        )
        kinds = [type(result) for result in results]
        assert kinds == [Committed, Stale, InvariantViolated, InvariantViolated, Committed]
        assert (await store.load(task_id(4))).version == 0


async def test_record_of_another_boundary_is_not_taken_over(tmp_path: Path) -> None:
    """A tab whose id another task has is a bug that changes nothing."""
    async with SqliteStore.open(tmp_path / "taskdock.db") as store:
        await store.commit(created(1))
        await store.commit(created(2))
        mine = decide(await store.load(task_id(2)), OpenTab(create_task(1).tab_id))
        with pytest.raises(InvariantViolated, match="another boundary"):
            await store.commit(Commit((mine,)))
        assert await store.task_of(create_task(1).tab_id) == task_id(1)


async def test_ignored_change_is_not_written(tmp_path: Path) -> None:
    """Committing a change that was ignored is a bug, and said to be one."""
    async with SqliteStore.open(tmp_path / "taskdock.db") as store:
        ignored = Change(task_id(1), "acme", 0, ignored="it changes nothing")
        with pytest.raises(InvariantViolated, match="it changes nothing"):
            await store.commit(Commit((ignored,)))
        assert (await store.load(task_id(1))).version == 0


async def test_too_many_waiting_are_turned_away(tmp_path: Path) -> None:
    """Beyond its bound the queue refuses at once, for schedulers as a StoreError, for clients with when to come back."""
    path = tmp_path / "taskdock.db"
    async with SqliteStore.open(path, limits=Limits(waiting_max=10, lock_timeout_seconds=0.2)) as store:
        async with held(path):
            results = await commit_all(store, *(created(number) for number in range(40)))
        turned_away = [result for result in results if isinstance(result, CapacityExceeded)]
        assert 20 <= len(turned_away) <= 30
        assert all(isinstance(result, StoreError) for result in turned_away)
        assert turned_away[0].retry_after_seconds > 0
        assert isinstance(await store.commit(created(1)), Committed)


async def test_cancelled_caller_is_written(tmp_path: Path) -> None:
    """A caller that stops waiting has its commit written all the same."""
    path = tmp_path / "taskdock.db"
    async with SqliteStore.open(path, limits=Limits(lock_timeout_seconds=10)) as store:
        async with held(path) as other:
            async with anyio.create_task_group() as group:
                group.start_soon(store.commit, created(1))
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
            other.execute("ROLLBACK")
        assert isinstance(await store.commit(created(2)), Committed)
        assert (await store.load(task_id(1))).version == 1


async def test_leaving_writes_what_waits(tmp_path: Path) -> None:
    """A store that is closed first writes everything that was handed in, also when its host was cancelled."""
    path = tmp_path / "taskdock.db"
    results: list[CommitResult] = []

    async def commit(store: SqliteStore, number: int) -> None:
        with anyio.CancelScope(shield=True):
            results.append(await store.commit(created(number)))

    async with anyio.create_task_group() as callers:
        with anyio.CancelScope() as host:
            async with SqliteStore.open(path) as store:
                for number in range(30):
                    callers.start_soon(commit, store, number)
                await anyio.wait_all_tasks_blocked()
                for number in range(30, 60):
                    callers.start_soon(commit, store, number)
                await anyio.lowlevel.checkpoint()
                host.cancel()
                await anyio.sleep_forever()
    assert [type(result) for result in results] == [Committed] * 60
    async with SqliteStore.open(path) as store:
        assert len(await store.tasks("acme", limit=100)) == 60


async def test_host_hears_of_commits(tmp_path: Path) -> None:
    """`on_commit` is called with the last position, for what may have changed the work to do and for nothing else."""
    heard: list[int] = []
    async with SqliteStore.open(tmp_path / "taskdock.db", on_commit=heard.append) as store:
        await store.commit(created(1))
        position = await store.position()
        assert heard == [position]
        await store.commit(created(1))
        assert heard == [position], "a stale commit is none"
        (claimed,) = await store.claim({"*": 1}, LATER, {})
        assert heard == [position], "a scheduler must not wake itself by claiming"
        await store.release(claimed.intent.id, 1)
        assert heard == [position] * 2
        await store.append([NewItem("tab-1", task_id(1), "agent", "1", "text", {}, NOW)])
        assert heard == [position, position, position + 1]


async def test_long_change_is_numbered_without_gap(tmp_path: Path) -> None:
    """A change with more events than one statement takes is numbered and told like any other."""
    async with SqliteStore.open(tmp_path / "taskdock.db") as store:
        noted = [
            HistoryEvent(HistoryKind.TURN_STARTED, NOW, data={"number": number}) for number in range(250)
        ]
        change = evolve(created(1).changes[0], history=tuple(noted))
        result = await store.commit(Commit((change,)))
        events = await store.history(task_id(1), workspace="acme", limit=1_000)
        assert [stored.event for stored in events] == noted
        told = [entry for entry in await store.feed(0, limit=1_000) if entry.kind == "history"]
        assert [entry.id for entry in told] == [str(stored.number) for stored in events]
        assert result == Committed(told[-1].position) == Committed(253)


async def test_store_that_stops_leaves_nobody_waiting(tmp_path: Path) -> None:
    """When the host's own `on_commit` fails, the store stops, and whoever waits is told instead of waiting for ever."""
    path = tmp_path / "taskdock.db"
    results: list[CommitResult | StoreError] = []

    def fail(_: int) -> None:
        raise ValueError("the host's own")

    async def commit(store: SqliteStore, number: int) -> None:
        try:
            results.append(await store.commit(created(number)))
        except StoreError as error:
            results.append(error)

    async def host(callers: anyio.abc.TaskGroup) -> None:
        async with SqliteStore.open(path, on_commit=fail) as store, held(path) as other:
            callers.start_soon(commit, store, 1)
            await anyio.wait_all_tasks_blocked()
            callers.start_soon(commit, store, 2)
            await anyio.lowlevel.checkpoint()
            other.execute("ROLLBACK")
            await anyio.sleep_forever()

    failure: BaseException | None = None
    with anyio.fail_after(10):
        async with anyio.create_task_group() as callers:
            try:
                await host(callers)
            except ExceptionGroup as error:
                failure = error
    assert pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="the host's own")).matches(failure)
    assert sorted(type(result).__name__ for result in results) == ["Committed", "StoreError"]


async def test_intents_of_a_newer_taskdock_wait_for_it(tmp_path: Path) -> None:
    """An intent whose kind, or whose version of it, this code does not know stays open and hinders nobody."""
    path = tmp_path / "taskdock.db"
    async with SqliteStore.open(path) as store:
        intents = [wake(task_id(number), 1) for number in (1, 2, 3)]
        for intent in intents:
            await store.commit(Commit((ordering(intent.boundary, intent),)))
        with closing(sqlite3.connect(path)) as newer, newer:
            newer.execute("UPDATE intent SET kind = 'Teleport' WHERE id = ?", [intents[0].id])
            newer.execute(
                "UPDATE intent SET body = replace(body, ?, '\"v\":99') WHERE id = ?",
                [f'"v":{VERSION}', intents[1].id],
            )
        claimed = [one.intent.id for one in await store.claim({"*": 1}, LATER, {})]
        assert claimed == [intents[2].id]
        assert (await store.report(LATER)).open_by_lane == {"wake": 2}


async def test_keys_carry_the_time_of_the_clock(tmp_path: Path) -> None:
    """A key is dated by the clock that was given, so that it can be forgotten in time."""
    path = tmp_path / "taskdock.db"
    async with SqliteStore.open(path, clock_now=lambda: NOW) as store:
        await store.commit(Commit((), key("click")))
    with closing(sqlite3.connect(path)) as other:
        (at,) = other.execute("SELECT created_at FROM idempotency_key").fetchone()
    assert at == int(NOW.timestamp()) * 1_000_000 + NOW.microsecond
