"""Lost sandboxes: destroyed, stopped or failed behind our back in each status; the task ends as its table says.

One loop is enough here: what finds a loss out, the links and the scheduler, is tested on both in other files.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from attrs import evolve

from e2e.installation import SOON, Installation, ended, rest, see, told, until_happened
from e2e.loss import Loss, Losses, losses
from e2e.world import end_processes
from taskdock.app import Dock, TaskView
from taskdock.core.message import MessageStatus
from taskdock.services.receipts import TaskReceipt

pytestmark = pytest.mark.anyio

DESTROYED, STOPPED, FAILED = Loss
HELLO = "demo: echo hello"


@pytest.fixture
def anyio_backend() -> str:
    """One loop, see above."""
    return "asyncio"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Installation]:
    """An installation whose provider a test can make say that a sandbox has failed."""
    place = Installation(tmp_path, SOON, wrap="e2e.odd_provider:install")
    place.gates.mkdir()
    yield place
    end_processes(tmp_path)


@asynccontextmanager
async def opened(place: Installation) -> AsyncIterator[tuple[Dock, Losses]]:
    """A dock, and what can be lost in it."""
    async with losses(place) as lost, place.open() as dock:
        yield dock, lost


def is_up(view: TaskView) -> bool:
    """Whether the task runs with a ready and idle tab."""
    tab = view.tabs[0]
    return view.task.at == "running" and tab.status.value == "ready" and tab.turn.at == "none"


async def users_words(dock: Dock, tab_id: str) -> list[object]:
    """What the agent was sent, in order, as the transcript shows it."""
    return [item.body["text"] for item in await dock.transcript(tab_id) if item.kind == "user"]


async def reasons(dock: Dock, task_id: str) -> str:
    """Everything that the history gives as a reason."""
    events = [one.event for one in await dock.history(task_id)]
    return "\n".join(str(event.data["reason"]) for event in events if "reason" in event.data)


@pytest.mark.parametrize(
    ("gate", "how", "generation"),
    [
        ("clones.checkout.before", DESTROYED, 2),
        ("clones.checkout.before", STOPPED, 1),
        ("access.ensure_service.before", DESTROYED, 2),
        ("access.ensure_service.before", STOPPED, 1),
        ("gateway.open_session.before", DESTROYED, 2),
    ],
)
async def test_lost_while_it_comes_up(
    place: Installation, remote: Path, gate: str, how: Loss, generation: int
) -> None:
    """Lost while it is filled, or while its agent or session starts: the task comes up all the same, messages in order."""
    closed = place.gate(gate)
    async with opened(place) as (dock, lost):
        receipt = await dock.create_task(repo=str(remote), prompt="demo: echo one")
        await dock.send(receipt.tab_id or "", "demo: echo two")
        await place.reached(closed)
        await lost.lose(dock, receipt.task_id, how)
        closed.unlink()
        view = await ended(dock, receipt.task_id, 2)
        words = await users_words(dock, receipt.tab_id or "")
        kinds = [one.event.kind.value for one in await dock.history(receipt.task_id)]
    assert view.task.generation == generation
    assert words == ["demo: echo one", "demo: echo two"]
    assert "task.step_failed" in kinds or "sandbox.lost" in kinds
    assert kinds.count("sandbox.released") == generation - 1


@pytest.mark.parametrize(("how", "generation"), [(DESTROYED, 2), (STOPPED, 1), (FAILED, 2)])
async def test_lost_while_running_idle(place: Installation, remote: Path, how: Loss, generation: int) -> None:
    """Nobody does anything, and the task is up again by itself with the commit in its checkout; a message goes on."""
    async with opened(place) as (dock, lost):
        receipt = await dock.create_task(repo=str(remote), prompt="Write it down")
        before = await see(dock, receipt.task_id, lambda view: view.task.head is not None, "a commit")
        await lost.lose(dock, receipt.task_id, how)
        await see(dock, receipt.task_id, lambda view: len(view.task.heals) == 1, "a heal")
        await see(dock, receipt.task_id, is_up, "a task that is up")
        await dock.send(receipt.tab_id or "", HELLO)
        after = await ended(dock, receipt.task_id, 2)
    assert (after.task.generation, after.task.head) == (generation, before.task.head)
    assert after.tabs[0].last_end is not None
    assert after.tabs[0].last_end.value == "completed"


@pytest.mark.parametrize(("how", "generation"), [(DESTROYED, 2), (STOPPED, 1), (FAILED, 2)])
async def test_lost_in_a_turn(place: Installation, remote: Path, how: Loss, generation: int) -> None:
    """The turn is interrupted, its message is not sent again; those behind it wait, held, and go out in their order."""
    async with opened(place) as (dock, lost):
        receipt = await dock.create_task(repo=str(remote), prompt="demo: crawl 60")
        tab_id = receipt.tab_id or ""
        for text in ("demo: echo one", "demo: echo two", "demo: echo three"):
            await dock.send(tab_id, text)
        await until_delivered(dock, receipt)
        await lost.lose(dock, receipt.task_id, how)
        await see(dock, receipt.task_id, lambda view: len(view.task.heals) == 1, "a heal")
        held = await see(dock, receipt.task_id, is_up, "a task that is up")
        messages = await dock.messages(tab_id)
        await dock.resume_queue(tab_id)
        await ended(dock, receipt.task_id, 4)
        words = await users_words(dock, tab_id)
        history = told(await dock.history(receipt.task_id), "end", "detail")
    assert held.task.generation == generation
    assert held.held == (tab_id,)
    assert [message.status for message in messages] == [MessageStatus.DELIVERED, *[MessageStatus.QUEUED] * 3]
    assert words == ["demo: crawl 60", "demo: echo one", "demo: echo two", "demo: echo three"]
    ends = [entry[1] for entry in history if entry[0] == "turn.ended"]
    assert ends == ["interrupted", "completed", "completed", "completed"]


async def until_delivered(dock: Dock, receipt: TaskReceipt) -> None:
    """Wait until the agent has the first message."""
    async for _ in dock.watch(task=receipt.task_id):
        if (await dock.messages(receipt.tab_id or ""))[0].status is MessageStatus.DELIVERED:
            return


@pytest.mark.parametrize("gate", ["access.stop_service.before", "provider.stop.before"])
@pytest.mark.parametrize("how", Loss)
async def test_lost_while_it_is_stopped(place: Installation, remote: Path, gate: str, how: Loss) -> None:
    """It ends stopped, and says what was lost; a resume brings it up with what was collected last."""
    async with opened(place) as (dock, lost):
        receipt = await dock.create_task(repo=str(remote), prompt="Write it down")
        before = await see(dock, receipt.task_id, lambda view: view.task.head is not None, "a commit")
        closed = place.gate(gate)
        await dock.stop_task(receipt.task_id)
        await place.reached(closed)
        name = await lost.lose(dock, receipt.task_id, how)
        closed.unlink()
        await rest(dock, receipt.task_id, "stopped")
        if how is FAILED:
            # One that has failed does not run either. Here its host is mended before anybody wants it again.
            (place.gates / f"{name}.failed").unlink()
        await dock.resume_task(receipt.task_id)
        after = await see(dock, receipt.task_id, is_up, "a task that is up")
        losses_told = told(await dock.history(receipt.task_id), "head")
    assert (after.task.generation, after.task.head) == (1, before.task.head)
    assert (("sandbox.lost", before.task.head) in losses_told) is (how is DESTROYED)


@pytest.mark.parametrize("how", [DESTROYED, FAILED])
async def test_lost_while_it_is_archived(place: Installation, remote: Path, how: Loss) -> None:
    """It ends archived with the work that was collected last, and nothing of the sandbox is left."""
    async with opened(place) as (dock, lost):
        receipt = await dock.create_task(repo=str(remote), prompt="Write it down")
        before = await see(dock, receipt.task_id, lambda view: view.task.head is not None, "a commit")
        closed = place.gate("access.stop_service.before")
        await dock.archive_task(receipt.task_id)
        await place.reached(closed)
        await lost.lose(dock, receipt.task_id, how)
        closed.unlink()
        archived = await rest(dock, receipt.task_id, "archived")
        kinds = [one.event.kind.value for one in await dock.history(receipt.task_id)]
    assert archived.task.head == before.task.head
    assert place.sandboxes() == []
    assert ("sandbox.lost" in kinds) is (how is DESTROYED)


async def test_lost_while_stopped(place: Installation, remote: Path) -> None:
    """A stopped sandbox that is gone is found out by the resume, told, and made anew with what was collected."""
    async with opened(place) as (dock, lost):
        receipt = await dock.create_task(repo=str(remote), prompt="Write it down")
        before = await see(dock, receipt.task_id, lambda view: view.task.head is not None, "a commit")
        await dock.stop_task(receipt.task_id)
        await rest(dock, receipt.task_id, "stopped")
        await lost.lose(dock, receipt.task_id, DESTROYED)
        await dock.send(receipt.tab_id or "", HELLO)
        after = await ended(dock, receipt.task_id, 2)
        history = told(await dock.history(receipt.task_id), "head")
    assert after.task.head == before.task.head
    assert ("sandbox.lost", before.task.head) in history


async def test_lost_while_in_error(place: Installation, remote: Path) -> None:
    """A failed task whose sandbox is gone looks first when it is retried, and gets another one."""
    place.fail("gateway.open_session", "permanent the agent is not licensed")
    async with opened(place) as (dock, lost):
        receipt = await dock.create_task(repo=str(remote), prompt=HELLO)
        failed = await rest(dock, receipt.task_id, "error")
        await lost.lose(dock, receipt.task_id, DESTROYED)
        await dock.retry_task(receipt.task_id)
        view = await ended(dock, receipt.task_id, 1)
    assert failed.task.failure is not None
    assert failed.task.failure.retry == "looks at the sandbox, then goes on from what it finds"
    assert view.task.generation == 2


async def test_the_fourth_loss_within_half_an_hour_is_for_the_user(place: Installation, remote: Path) -> None:
    """Three heals, then error with the reason `unstable`; a retry clears the count and brings it up, messages in order."""
    async with opened(place) as (dock, lost):
        receipt = await dock.create_task(repo=str(remote), prompt=HELLO)
        await ended(dock, receipt.task_id, 1)
        for number in range(1, 5):
            await lost.lose(dock, receipt.task_id, DESTROYED)
            if number < 4:
                await see(dock, receipt.task_id, healed(number), f"heal {number}")
        failed = await rest(dock, receipt.task_id, "error")
        await dock.send(receipt.tab_id or "", "demo: echo one")
        await dock.send(receipt.tab_id or "", "demo: echo two")
        await dock.retry_task(receipt.task_id)
        view = await ended(dock, receipt.task_id, 3)
        words = await users_words(dock, receipt.tab_id or "")
    failure, tab = failed.task.failure, failed.tabs[0]
    assert failure is not None
    assert failure.reason.startswith(
        "unstable: the sandbox is absent, and it was replaced or started again 3"
    )
    assert tab.failure is not None
    assert tab.failure.reason == failure.reason
    assert (view.task.generation, len(view.task.heals)) == (5, 1)
    assert words == [HELLO, "demo: echo one", "demo: echo two"]


def healed(count: int) -> Callable[[TaskView], bool]:
    """Whether the task is up after so many heals."""
    return lambda view: is_up(view) and len(view.task.heals) == count


async def test_lost_under_the_real_rules(tmp_path: Path, remote: Path) -> None:
    """With the figures that users have, a lost sandbox is replaced within half a minute, and the history says why."""
    real = Installation(tmp_path, evolve(SOON, call_seconds=10.0, absent_seconds=5.0, backoff_seconds=1.0))
    async with losses(real) as lost, real.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Write it down")
        await see(dock, receipt.task_id, lambda view: view.task.head is not None, "a commit")
        await lost.lose(dock, receipt.task_id, DESTROYED)
        await until_happened(dock, receipt.task_id, "sandbox.lost")
        view = await see(dock, receipt.task_id, is_up, "a task that is up")
    end_processes(tmp_path)
    assert view.task.generation == 2
