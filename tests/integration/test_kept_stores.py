"""Kept stores: every store that an earlier version wrote is opened, read whole, and gone on with."""

import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from keep_store import FOLDER, VALUES, Story
from taskdock.adapters.store.sqlite import schema
from taskdock.adapters.store.sqlite.store import SqliteStore
from taskdock.adapters.store.sqlite.upkeep import check, migrate
from taskdock.core import intents
from taskdock.core.errors import SchemaMismatch
from taskdock.core.inputs import Failed, FailureClass, Succeeded
from taskdock.core.repo import Repo
from taskdock.core.task import Task
from taskdock.services.workbench import DEFAULT_WORKSPACE

pytestmark = pytest.mark.anyio

KEPT = sorted(FOLDER.glob("*.db"))
RESTS = {"running", "stopped", "archived", "killed", "error"}
ROUNDS_MAX = 200


@pytest.fixture(params=KEPT, ids=lambda path: path.stem)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give a copy of a kept store."""
    path = tmp_path / "taskdock.db"
    shutil.copyfile(request.param, path)
    return path


def tables(path: Path) -> dict[str, int]:
    """How many rows each table of records has."""
    with closing(sqlite3.connect(path)) as connection:
        names = ("task", "tab", "message", "repo", "intent", "history", "transcript", "idempotency_key")
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}  # noqa: S608 - our tables


def ids(path: Path, table: str) -> list[str]:
    """The ids of a table."""
    with closing(sqlite3.connect(path)) as connection:
        return [id_ for (id_,) in connection.execute(f"SELECT id FROM {table}")]  # noqa: S608


def test_stores_are_kept() -> None:
    """There is a store of the first version, and it holds something of everything."""
    assert FOLDER / "0.1.0.db" in KEPT
    for path in KEPT:
        assert min(tables(path).values()) > 0, path


async def test_everything_in_it_can_be_read(kept: Path) -> None:
    """Every record, event, intent and text is read by this code, and nothing was lost on the way."""
    before = tables(kept)
    async with SqliteStore.open(kept) as store:
        for kind in ("task", "tab", "message", "repo"):
            for record_id in ids(kept, kind):
                found = await store.record(kind, record_id)
                assert found is not None
                assert found.record.id == record_id
        for message_id in ids(kept, "message"):
            assert await store.message_text(message_id)
        for tab_id in ids(kept, "tab"):
            await store.messages(tab_id)
            await store.transcript(tab_id)
        intents_read = [intent for id_ in ids(kept, "boundary") for intent in (await store.load(id_)).intents]
        events = await store.history(None, workspace=DEFAULT_WORKSPACE, limit=100_000)
        assert len(await store.feed(0, limit=100_000)) == await store.position()
        cancelled = await store.cancelled()
    assert tables(kept) == before
    assert (len(events), len(intents_read) + len(cancelled)) == (before["history"], before["intent"])
    assert check(kept) == []


async def test_a_scheduler_goes_on_from_it(kept: Path) -> None:
    """What was under way is claimed again and led to a rest, and new work is taken beside it."""
    async with SqliteStore.open(kept) as store:
        story = Story(store)
        story.clock.at += timedelta(days=365)
        story.clock.count = 10_000
        assert await store.recover() > 0
        bench = await story.workbench()
        repo = next(
            one.record
            for one in await store.repos(DEFAULT_WORKSPACE)
            if isinstance(one.record, Repo) and one.record.status.value == "ready"
        )
        new = await bench.create_task(prompt="New work", repo=repo.id)
        await lead_to_rest(story)
        tasks = [one.record for one in await store.tasks(DEFAULT_WORKSPACE, limit=1_000)]
        at = {task.id: task.status.value for task in tasks if isinstance(task, Task)}
        assert {id_: status for id_, status in at.items() if status not in RESTS} == {}
        assert at[new.task_id] == "running"
    assert check(kept) == []


async def lead_to_rest(story: Story) -> None:
    """Let every intent succeed until nothing is open but what waits for the user; what is unknown here fails for good."""
    for _ in range(ROUNDS_MAX):
        await story.claim()
        if not story.held:
            due = await story.store.next_due_at(story.clock.at)
            if due is None:
                return
            story.clock.at = due
        for intent in list(story.held.values()):
            if isinstance(intent.body, intents.SendPrompt):
                await story.start(intent.boundary, intents.SendPrompt)
            value = VALUES.get(type(intent.body))
            unknown = Failed(FailureClass.PERMANENT, "the test does not know this kind")
            await story.answer(intent, Succeeded(value(intent.body)) if value else unknown)
    raise AssertionError(f"it never came to rest: {story.held}")


def test_migrating_says_from_where_to_where(kept: Path) -> None:
    """An explicit migration names the schema it found and the one it made; a second one finds it done."""
    with closing(sqlite3.connect(kept)) as connection:
        ((found,),) = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchall()
    assert migrate(kept) == (int(found), schema.VERSION)
    assert migrate(kept) == (schema.VERSION, schema.VERSION)
    assert check(kept) == []


@pytest.mark.parametrize("how", ["open", "check", "migrate"])
async def test_a_newer_store_is_refused_untouched(kept: Path, how: str) -> None:
    """A store of a newer Taskdock is refused whoever asks, and neither a byte of it nor a file beside it changes."""
    with closing(sqlite3.connect(kept)) as connection, connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'schema'", [str(schema.VERSION + 1)])
    before = {path.name: path.read_bytes() for path in kept.parent.iterdir()}

    async def act() -> None:
        if how != "open":
            {"check": check, "migrate": migrate}[how](kept)
            return
        async with SqliteStore.open(kept):
            pytest.fail("it was opened")

    with pytest.raises(SchemaMismatch, match="left untouched"):
        await act()
    assert {path.name: path.read_bytes() for path in kept.parent.iterdir()} == before
