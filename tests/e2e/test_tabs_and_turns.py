"""Tabs and turns: opened at any time, in order, and right when the agent errs, crashes or hangs."""

from pathlib import Path

import anyio
import pytest

from e2e.installation import Installation, rest, see, told, until_happened
from git_repos import git
from taskdock.app import Dock, TaskView
from taskdock.core.errors import Conflict
from taskdock.core.message import MessageStatus

pytestmark = pytest.mark.anyio


def all_ready(view: TaskView) -> bool:
    """Whether every open tab is ready and idle."""
    return all(tab.status.value == "ready" and tab.turn.at == "none" for tab in view.tabs if tab.is_open)


async def statuses(dock: Dock, tab_id: str) -> list[MessageStatus]:
    """The statuses of a tab's messages, in order."""
    return [message.status for message in await dock.messages(tab_id)]


async def test_tabs_opened_before_during_and_after_provisioning_all_come_up(
    place: Installation, remote: Path
) -> None:
    """Two tabs wait with the task, one is opened while it runs; each gets a session of its own and its own reply."""
    async with place.open(schedule=False) as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="demo: echo one")
        early = await dock.open_tab(receipt.task_id, prompt="demo: echo two")
        empty = await dock.open_tab(receipt.task_id, name="Notes")
    async with place.open() as dock:
        await rest(dock, receipt.task_id, "running")
        late = await dock.open_tab(receipt.task_id, prompt="demo: echo three")
        view = await see(
            dock,
            receipt.task_id,
            lambda view: all_ready(view) and sum(tab.last_end is not None for tab in view.tabs) == 3,
            "four ready tabs with three turns behind them",
        )
        said = [
            "".join(str(i.body.get("text", "")) for i in await dock.transcript(tab.id)) for tab in view.tabs
        ]
    assert (early.status, empty.status, late.status) == (
        "pending_provision",
        "pending_provision",
        "pending_session_create",
    )
    assert [tab.name for tab in view.tabs] == ["Tab 1", "Tab 2", "Notes", "Tab 4"]
    assert len({tab.session_id for tab in view.tabs}) == 4
    assert ["one" in said[0], "two" in said[1], said[2], "three" in said[3]] == [True, True, "", True]


async def test_a_pending_tab_is_closed_only_by_force_while_it_holds_messages(
    place: Installation, remote: Path
) -> None:
    """Closing the waiting first tab without force names what is queued; with force its prompt is withdrawn."""
    async with place.open(schedule=False) as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="demo: echo one")
        assert receipt.tab_id is not None
        with pytest.raises(Conflict, match="1 messages are still queued"):
            await dock.close_tab(receipt.tab_id)
        await dock.close_tab(receipt.tab_id, force=True)
        withdrawn = await statuses(dock, receipt.tab_id)
    async with place.open() as dock:
        view = await rest(dock, receipt.task_id, "running")
    assert withdrawn == [MessageStatus.WITHDRAWN]
    assert view.tabs[0].status.value == "closed"


async def test_a_tab_on_a_failed_task_shows_the_reason_and_comes_back_with_it(
    place: Installation, remote: Path
) -> None:
    """Opened on a failed task it is in error with the task's reason; the task's retry brings both up."""
    place.fail("provider.ensure", "permanent no room")
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="demo: echo one")
        await rest(dock, receipt.task_id, "error")
        opened = await dock.open_tab(receipt.task_id, prompt="demo: echo two")
        failed = await dock.task(receipt.task_id)
        with pytest.raises(Conflict, match="Retry its task"):
            await dock.retry_tab(opened.tab_id)
        await dock.retry_task(receipt.task_id)
        await see(
            dock, receipt.task_id, lambda view: len(view.tabs) == 2 and all_ready(view), "two ready tabs"
        )
    assert opened.status == "error"
    assert [tab.failure.reason if tab.failure else None for tab in failed.tabs] == ["no room", "no room"]


async def test_an_error_of_the_agent_holds_the_queue_until_the_user_sends_again(
    place: Installation, remote: Path
) -> None:
    """The turn fails, the second message waits, a third one lifts the hold, and both are sent in order."""
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="demo: error")
        assert receipt.tab_id is not None
        tab_id = receipt.tab_id
        await dock.send(tab_id, "demo: echo second")
        held = await see(dock, receipt.task_id, lambda view: view.tabs[0].held, "a held queue")
        waiting = await statuses(dock, tab_id)
        await dock.send(tab_id, "demo: echo third")
        await see(
            dock,
            receipt.task_id,
            lambda view: view.tabs[0].last_end is not None and view.tabs[0].last_end.value == "completed",
            "a completed turn",
        )
        with anyio.fail_after(30):
            while await statuses(dock, tab_id) != [MessageStatus.DELIVERED] * 3:
                await until_happened(dock, receipt.task_id, "turn.ended")
                await anyio.sleep(0.05)
        users = [item.body["text"] for item in await dock.transcript(tab_id) if item.kind == "user"]
    assert held.tabs[0].last_end is not None
    assert held.tabs[0].last_end.value == "failed"
    assert waiting == [MessageStatus.DELIVERED, MessageStatus.QUEUED]
    assert users == ["demo: error", "demo: echo second", "demo: echo third"]


async def test_a_crash_of_the_agent_ends_the_turn_and_gives_a_new_session(
    place: Installation, remote: Path
) -> None:
    """The turn is interrupted, the message stays delivered, the queue is held, and the tab is ready with a new session."""
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="demo: crash")
        await until_happened(dock, receipt.task_id, "turn.ended")
        view = await see(dock, receipt.task_id, all_ready, "a ready tab")
        messages = await dock.messages(receipt.tab_id or "")
        history = told(await dock.history(receipt.task_id), "end")
        await dock.send(receipt.tab_id or "", "demo: echo still here")
        again = await see(
            dock,
            receipt.task_id,
            lambda view: view.tabs[0].last_end is not None and view.tabs[0].last_end.value == "completed",
            "a completed turn",
        )
    assert ("turn.ended", "interrupted") in history
    assert [message.status for message in messages] == [MessageStatus.DELIVERED]
    assert (view.tabs[0].held, view.tabs[0].session, again.tabs[0].held) == (True, 2, False)


async def test_a_kill_ends_a_turn_that_hangs_and_leaves_nothing(place: Installation, remote: Path) -> None:
    """A hanging turn is cancelled, the commit of the turn before is kept, and no sandbox is left."""
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Write it down")
        await until_happened(dock, receipt.task_id, "work.collected")
        await dock.send(receipt.tab_id or "", "demo: hang")
        await see(dock, receipt.task_id, lambda view: view.tabs[0].turn.at == "running", "a running turn")
        await dock.kill_task(receipt.task_id)
        killed = await rest(dock, receipt.task_id, "killed")
        repo = await dock.repo(receipt.repo_id or "")
    clone = place.home / "repos" / repo.id
    assert place.sandboxes() == []
    assert git(clone, "rev-parse", f"refs/heads/{killed.task.branch}") == killed.task.head


async def test_a_tab_closed_in_a_turn_ends_its_agent(place: Installation, remote: Path) -> None:
    """Closing a tab while its agent hangs closes it within the bound; the other tab goes on."""
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="demo: hang")
        other = await dock.open_tab(receipt.task_id)
        await see(dock, receipt.task_id, lambda view: view.tabs[0].turn.at == "running", "a running turn")
        closing = await dock.close_tab(receipt.tab_id or "")
        await see(dock, receipt.task_id, lambda view: view.tabs[0].status.value == "closed", "a closed tab")
        await dock.send(other.tab_id, "demo: echo fine")
        view = await see(
            dock, receipt.task_id, lambda view: view.tabs[1].last_end is not None, "a turn of the other tab"
        )
    assert closing.status == "closing"
    assert view.tabs[1].status.value == "ready"
