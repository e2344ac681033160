"""Requests: each command's key, workspace, arguments and ids, on a real store; and what a view tells of what was asked."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from attrs import evolve, frozen

from e2e.installation import QUICK
from taskdock import app
from taskdock.app import Config, Dock
from taskdock.core.errors import Conflict, IdempotencyKeyReused, InvalidCommand, NotFound
from taskdock.core.reader import DraftText
from taskdock.services.feed import RecordChanged
from taskdock.services.receipts import TabReceipt, TaskReceipt

pytestmark = pytest.mark.anyio

REMOTE = "https://git.example.org/acme/api.git"


@frozen
class Given:
    """A task with a tab, a message that waits in it and a message that was withdrawn."""

    dock: Dock
    task: str
    tab: str
    queued: str
    withdrawn: str


@pytest.fixture
async def given(tmp_path: Path) -> AsyncIterator[Given]:
    """Nobody schedules, so everything stays as it was asked for."""
    config = Config(home=tmp_path / "home", figures=QUICK)
    async with app.open(config, schedule=False) as dock:
        created = await dock.create_task(repo=REMOTE, prompt="Add a note")
        tab = created.tab_id or ""
        queued, withdrawn = await dock.send(tab, "One"), await dock.send(tab, "Two")
        await dock.withdraw_message(withdrawn.message_id or "")
        yield Given(dock, created.task_id, tab, queued.message_id or "", withdrawn.message_id or "")


Ask = Callable[[Given, dict[str, Any]], Awaitable[TaskReceipt | TabReceipt]]
LONG = "x" * 201
COMMANDS: dict[str, Ask] = {
    "stop_task": lambda g, more: g.dock.stop_task(g.task, **more),
    "resume_task": lambda g, more: g.dock.resume_task(g.task, **more),
    "archive_task": lambda g, more: g.dock.archive_task(g.task, **more),
    "kill_task": lambda g, more: g.dock.kill_task(g.task, **more),
    "rename_task": lambda g, more: g.dock.rename_task(g.task, "A title", **more),
    "set_branch": lambda g, more: g.dock.set_branch(g.task, "a-branch", **more),
    "open_tab": lambda g, more: g.dock.open_tab(g.task, **more),
    "close_tab": lambda g, more: g.dock.close_tab(g.tab, force=True, **more),
    "rename_tab": lambda g, more: g.dock.rename_tab(g.tab, "A name", **more),
    "set_model": lambda g, more: g.dock.set_model(g.tab, "m", **more),
    "mark_read": lambda g, more: g.dock.mark_read(g.tab, "ada", **more),
    "set_draft": lambda g, more: g.dock.set_draft(g.tab, "ada", "text", **more),
    "send": lambda g, more: g.dock.send(g.tab, "Three", **more),
    "edit_message": lambda g, more: g.dock.edit_message(g.queued, "Uno", **more),
    "withdraw_message": lambda g, more: g.dock.withdraw_message(g.queued, **more),
    "resume_queue": lambda g, more: g.dock.resume_queue(g.tab, **more),
}


@pytest.mark.parametrize("name", COMMANDS)
async def test_each_command_counts_once_under_its_key(given: Given, name: str) -> None:
    """The second answer is the first one; a key that was used is refused for any other command."""
    first = await COMMANDS[name](given, {"key": "click"})
    position = await given.dock.reads.position()
    second = await COMMANDS[name](given, {"key": "click"})
    assert (first.replayed, second) == (False, evolve(first, replayed=True))
    assert await given.dock.reads.position() == position
    with pytest.raises(IdempotencyKeyReused):
        await given.dock.retry_task(given.task, key="click")


@pytest.mark.parametrize("name", COMMANDS)
async def test_each_command_is_of_one_workspace(given: Given, name: str) -> None:
    """In another workspace the id does not exist, and nothing is written."""
    position = await given.dock.reads.position()
    with pytest.raises(NotFound, match="in the workspace 'other'"):
        await COMMANDS[name](given, {"workspace": "other"})
    assert await given.dock.reads.position() == position


@pytest.mark.parametrize("name", COMMANDS)
async def test_each_command_says_what_it_cannot_find(given: Given, name: str) -> None:
    """An id that nothing has, or that something of another kind has, is NotFound."""
    for wrong in ("nope", given.task, given.tab):
        ids = {"task": wrong, "tab": wrong, "queued": wrong}
        ours = "task" if "task" in name or name in ("set_branch", "open_tab") else "tab"
        ours = "queued" if "message" in name else ours
        if getattr(given, ours) != wrong:
            misled = Given(**{**attrs.asdict(given, recurse=False), ours: ids[ours]})
            with pytest.raises(NotFound):
                await COMMANDS[name](misled, {})


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (lambda g: g.dock.rename_task(g.task, ""), "title"),
        (lambda g: g.dock.rename_task(g.task, LONG), "title"),
        (lambda g: g.dock.set_branch(g.task, "a..b"), "branch"),
        (lambda g: g.dock.open_tab(g.task, name="two\nlines"), "name"),
        (lambda g: g.dock.open_tab(g.task, model=" "), "model"),
        (lambda g: g.dock.open_tab(g.task, agent="nobody"), "agent"),
        (lambda g: g.dock.rename_tab(g.tab, LONG), "name"),
        (lambda g: g.dock.set_model(g.tab, "\x1b[2J"), "model"),
        (lambda g: g.dock.mark_read(g.tab, ""), "principal"),
        (lambda g: g.dock.mark_read(g.tab, "ada", turns=-1), "turns"),
        (lambda g: g.dock.mark_read(g.tab, "ada", turns=1), "turns"),
        (lambda g: g.dock.set_draft(g.tab, "", "text"), "principal"),
        (lambda g: g.dock.set_draft(g.tab, "ada", "x" * 1_100_000), "draft"),
        (lambda g: g.dock.set_draft(g.tab, "ada", "\ud800"), "draft"),
        (lambda g: g.dock.edit_message(g.queued, " "), "prompt"),
        (lambda g: g.dock.send(g.tab, ""), "prompt"),
        (lambda g: g.dock.create_task(repo=REMOTE, prompt="x", model=""), "model"),
        (lambda g: g.dock.create_task(repo=REMOTE, prompt="x", permission_mode=LONG), "permission_mode"),
        (lambda g: g.dock.stop_task(g.task, key=""), "key"),
    ],
)
async def test_each_argument_is_checked(
    given: Given, ask: Callable[[Given], Awaitable[object]], field: str
) -> None:
    """What is wrong is named by its field, and nothing is written."""
    position = await given.dock.reads.position()
    with pytest.raises(InvalidCommand) as refused:
        await ask(given)
    assert refused.value.field == field
    assert await given.dock.reads.position() == position


async def test_a_message_that_is_settled_is_no_longer_changed(given: Given) -> None:
    """It is there, so it is no NotFound: the conflict says what became of it."""
    for ask in (given.dock.edit_message(given.withdrawn, "x"), given.dock.withdraw_message(given.withdrawn)):
        with pytest.raises(Conflict, match="is withdrawn: only a queued one can be changed") as refused:
            await ask
        assert refused.value.status == "withdrawn"


async def test_a_view_tells_what_waits_for_whom(given: Given) -> None:
    """Queued messages in their order, without those that were taken back; unread and drafts are of the principal that asks."""
    dock = given.dock
    view = await dock.task(given.task)
    assert [(one.number, one.tab_id) for one in view.queued] == [(1, given.tab), (2, given.tab)]
    assert (view.permissions, view.held, view.unread) == ((), (), {})
    assert (await dock.task(given.task, principal="ada")).unread == {given.tab: 0}
    await dock.set_draft(given.tab, "ada", "Perhaps")
    assert await dock.draft(given.tab, "ada") == "Perhaps"
    assert await dock.draft(given.tab, "bob") is None
    await dock.set_draft(given.tab, "ada", "")
    assert await dock.draft(given.tab, "ada") is None
    with pytest.raises(NotFound):
        await dock.draft(given.tab, "ada", workspace="other")


async def test_a_watch_tells_a_principal_its_own_drafts_alone(given: Given) -> None:
    """What one principal writes reaches its other devices, and nobody else's."""
    receipt = await given.dock.set_draft(given.tab, "bob", "Bob's")
    await given.dock.set_draft(given.tab, "ada", "Ada's")
    watch = given.dock.watch(task=given.task, after=receipt.position - 1, principal="ada")
    drafts: list[DraftText] = []
    with anyio.fail_after(30):
        async for seen in watch:
            if isinstance(seen, RecordChanged) and isinstance(seen.changed.record, DraftText):
                drafts.append(seen.changed.record)
                break
    assert [draft.text for draft in drafts] == ["Ada's"]
