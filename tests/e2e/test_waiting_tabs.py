"""Waiting tabs: composer, unread and close of a tab that is pending, and of one that is in error with its task or on its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from attrs import frozen

from e2e.installation import Installation, ended, rest, see
from taskdock.app import Dock, TaskView
from taskdock.core.errors import Conflict
from taskdock.core.message import MessageStatus

pytestmark = pytest.mark.anyio

ADA = "ada"
WAITING = ("pending_provision", "error/task", "error/session")


@frozen
class Waiting:
    """A tab that has ended one turn and waits now."""

    dock: Dock
    task_id: str
    tab_id: str

    async def view(self) -> TaskView:
        """Its task, as ada sees it."""
        return await self.dock.task(self.task_id, principal=ADA)

    async def at(self) -> str:
        """The state of the tab."""
        return next(tab.at for tab in (await self.view()).tabs if tab.id == self.tab_id)


def now(view: TaskView, state: str) -> bool:
    """Whether the first tab is in this state."""
    return view.tabs[0].at == state


@asynccontextmanager
async def waiting(place: Installation, remote: Path, state: str) -> AsyncIterator[Waiting]:
    """Bring a tab into the state by what leads there: a stop, a stop that fails, a session that cannot be had again."""
    place.gates.mkdir()
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="demo: echo one")
        await ended(dock, receipt.task_id, 1)
        if state == "pending_provision":
            await dock.stop_task(receipt.task_id)
            await rest(dock, receipt.task_id, "stopped")
        elif state == "error/task":
            place.fail("clones.take_in", "permanent no room")
            await dock.stop_task(receipt.task_id)
        else:
            place.fail("gateway.resume_session", "permanent it forgot")
            place.fail("gateway.open_session", "permanent it is tired")
            await dock.send(receipt.tab_id or "", "demo: crash")
        await see(dock, receipt.task_id, lambda view: now(view, state), state)
        yield Waiting(dock, receipt.task_id, receipt.tab_id or "")


@pytest.mark.parametrize("state", WAITING)
async def test_the_composer_of_a_waiting_tab_queues_and_keeps(
    place: Installation, remote: Path, state: str
) -> None:
    """What is written is kept as a draft; what is sent waits, can be changed and taken back, and is sent once the tab is up."""
    async with waiting(place, remote, state) as given:
        dock, tab_id = given.dock, given.tab_id
        await dock.set_draft(tab_id, ADA, "Perhaps")
        drafted, at = await dock.draft(tab_id, ADA), await given.at()
        first, second = (
            await dock.send(tab_id, "demo: echo first"),
            await dock.send(tab_id, "demo: echo second"),
        )
        if (
            state != "pending_provision"
        ):  # a message to a stopped task resumes it, so there it may be sent by now
            await dock.edit_message(first.message_id or "", "demo: echo changed")
            await dock.withdraw_message(second.message_id or "")
            waits = (await given.view()).queued
            assert [message.id for message in waits] == [first.message_id]
            assert "send" in (await given.view()).available_actions[tab_id]
            retry = dock.retry_task(given.task_id) if state == "error/task" else dock.retry_tab(tab_id)
            await retry
            if state == "error/task":  # what failed was its stop
                await dock.resume_task(given.task_id)
        turns = (await given.view()).tabs[0].turns_ended
        await ended(dock, given.task_id, turns + 1)
        said = [item.body["text"] for item in await dock.transcript(tab_id) if item.kind == "user"]
        delivered = {message.id: message.status for message in await dock.messages(tab_id)}
    assert (drafted, at) == ("Perhaps", state)
    assert str(said[1 if state == "pending_provision" else -1]).startswith("demo: echo")
    assert delivered[first.message_id or ""] is MessageStatus.DELIVERED


@pytest.mark.parametrize("state", WAITING)
async def test_what_is_unread_in_a_waiting_tab_stays_so_until_it_is_read(
    place: Installation, remote: Path, state: str
) -> None:
    """Turns that ended before count as unread for each principal, and are read by a mark, while the tab waits."""
    async with waiting(place, remote, state) as given:
        turns = (await given.view()).tabs[0].turns_ended
        unread = (await given.view()).unread[given.tab_id]
        await given.dock.mark_read(given.tab_id, ADA)
        read = (await given.view()).unread[given.tab_id]
        of_bob = (await given.dock.task(given.task_id, principal="bob")).unread[given.tab_id]
        at = await given.at()
    assert (unread, read, of_bob, at) == (turns, 0, turns, state)
    assert turns > 0


@pytest.mark.parametrize("state", WAITING)
async def test_a_waiting_tab_is_closed_at_once_unless_messages_wait_in_it(
    place: Installation, remote: Path, state: str
) -> None:
    """It is closed with the answer; what is queued holds that up until it is given up, and is withdrawn then."""
    async with waiting(place, remote, state) as given:
        dock, tab_id = given.dock, given.tab_id
        if state == "pending_provision":
            closed = await dock.close_tab(tab_id)
            messages = []
        else:
            sent = await dock.send(tab_id, "demo: echo never")
            with pytest.raises(Conflict, match="1 messages are still queued"):
                await dock.close_tab(tab_id)
            still = await given.at()
            closed = await dock.close_tab(tab_id, force=True)
            messages = [one for one in await dock.messages(tab_id) if one.id == sent.message_id]
            assert still == state
        at = await given.at()
    assert (closed.status, at) == ("closed", "closed")
    assert [message.status for message in messages] == [MessageStatus.WITHDRAWN] * len(messages)


async def test_a_tab_opened_on_a_stopped_task_resumes_it_in_the_same_commit(
    place: Installation, remote: Path
) -> None:
    """The tab waits with an id of its own, the task is on its way with the answer, and both come up."""
    async with waiting(place, remote, "pending_provision") as given:
        opened = await given.dock.open_tab(given.task_id, prompt="demo: echo two")
        answered = (await given.view()).task.status.value
        view = await ended(given.dock, given.task_id, 1, tab=1)
    assert opened.status == "pending_provision"
    assert answered != "stopped"
    assert [tab.at for tab in view.tabs] == ["ready", "ready"]
