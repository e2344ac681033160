"""Permissions: what the demo agent asks through the real sandbox-agent, and every way in which that ends.

One loop is enough here: links and gateway are tested on both in other files.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from e2e.installation import QUICK, Installation, ended, see, told
from e2e.work import checkout_of
from e2e.world import World
from git_repos import git
from taskdock.app import Dock, TaskView
from taskdock.core.errors import Conflict, InvalidCommand, NotFound
from taskdock.core.message import MessageStatus
from taskdock.core.tab import Permission

pytestmark = pytest.mark.anyio

ASK = "Change the note\ndemo: ask May I?"


@pytest.fixture
def anyio_backend() -> str:
    """One loop, see above."""
    return "asyncio"


def is_asked(view: TaskView) -> bool:
    """Whether the agent waits for an answer."""
    return len(view.permissions) == 1


async def asked(dock: Dock, task_id: str) -> Permission:
    """Wait until the agent asks."""
    view = await see(dock, task_id, is_asked, "a question")
    assert view.task.activity.value == "needs_you"
    return view.permissions[0]


async def words(dock: Dock, tab_id: str) -> str:
    """What the agent said."""
    items = await dock.transcript(tab_id)
    return "".join(str(item.body["text"]) for item in items if item.kind == "text")


async def answers(dock: Dock, task_id: str) -> list[tuple[object, ...]]:
    """What the history tells of questions."""
    history = told(await dock.history(task_id), "option")
    return [entry for entry in history if str(entry[0]).startswith("permission.")]


def is_clean(dock: Dock, task_id: str) -> bool:
    """Whether nothing was changed in the checkout."""
    return git(checkout_of(dock.home, task_id, 1), "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("option", "said", "is_changed"),
    [
        ("once", "Allowed (once)", True),
        ("always", "Allowed (always)", True),
        ("never", "Rejected (never)", False),
        (None, "Cancelled: I changed nothing.", False),
    ],
)
async def test_the_agent_obeys_the_answer(
    place: Installation, remote: Path, option: str | None, said: str, is_changed: bool
) -> None:
    """Allowed, rejected or cancelled: the agent does so, and the transcript and the history tell question and answer."""
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt=ASK)
        question = await asked(dock, receipt.task_id)
        await dock.answer_permission(receipt.tab_id or "", question.id, option)
        view = await ended(dock, receipt.task_id, 1)
        heard = await words(dock, receipt.tab_id or "")
        shown = [
            i.body["text"] for i in await dock.transcript(receipt.tab_id or "") if i.kind == "permission"
        ]
        history = await answers(dock, receipt.task_id)
        clean = is_clean(dock, receipt.task_id)
    assert (question.title, [one.id for one in question.options]) == ("May I?", ["once", "always", "never"])
    assert said in heard
    assert clean is not is_changed
    assert view.permissions == ()
    assert view.tabs[0].last_end is not None
    assert view.tabs[0].last_end.value == "completed"
    assert history == [("permission.asked",), ("permission.answered", option)]
    assert shown[0] == "asks: May I?"
    assert len(shown) == 2


async def test_an_answer_counts_once(place: Installation, remote: Path) -> None:
    """What is not offered is refused; the same answer again is fine, another one is a Conflict; after the turn, NotFound."""
    gate = place.gate("gateway.answer_permission.before")
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt=ASK)
        tab_id = receipt.tab_id or ""
        question = await asked(dock, receipt.task_id)
        with pytest.raises(InvalidCommand, match="it offers once, always, never"):
            await dock.answer_permission(tab_id, question.id, "perhaps")
        with pytest.raises(NotFound):
            await dock.answer_permission(tab_id, "another", "once")
        assert is_asked(await dock.task(receipt.task_id))
        await dock.answer_permission(tab_id, question.id, "never")
        await place.reached(gate)
        await dock.answer_permission(tab_id, question.id, "never")
        for other in ("once", None):
            with pytest.raises(Conflict, match="answered already: never"):
                await dock.answer_permission(tab_id, question.id, other)
        gate.unlink()
        await ended(dock, receipt.task_id, 1)
        with pytest.raises(NotFound, match="it ends with its turn"):
            await dock.answer_permission(tab_id, question.id, "never")
        heard = await words(dock, tab_id)
        history = await answers(dock, receipt.task_id)
    assert "Rejected (never)" in heard
    assert history == [("permission.asked",), ("permission.answered", "never")]


async def test_nobody_answers(place: Installation, remote: Path) -> None:
    """A question that nobody answers in time is cancelled, which allows nothing, and the turn goes on without."""
    hasty = evolve(place, figures=evolve(QUICK, permission_seconds=1.0))
    async with hasty.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt=ASK)
        await ended(dock, receipt.task_id, 1)
        heard = await words(dock, receipt.tab_id or "")
        history = await answers(dock, receipt.task_id)
        clean = is_clean(dock, receipt.task_id)
    assert "Cancelled: I changed nothing." in heard
    assert history == [("permission.asked",), ("permission.answered", None)]
    assert clean


async def cancel(dock: Dock, task_id: str, tab_id: str) -> Callable[[TaskView], bool]:
    """Cancel the turn."""
    del task_id
    await dock.cancel_turn(tab_id)
    return lambda view: view.tabs[0].turns_ended == 1


async def close(dock: Dock, task_id: str, tab_id: str) -> Callable[[TaskView], bool]:
    """Close the tab."""
    del task_id
    await dock.close_tab(tab_id)
    return lambda view: view.tabs[0].status.value == "closed" and view.tabs[0].turn.at == "none"


async def stop(dock: Dock, task_id: str, tab_id: str) -> Callable[[TaskView], bool]:
    """Stop the task."""
    del tab_id
    await dock.stop_task(task_id)
    return lambda view: view.task.at == "stopped"


@pytest.mark.parametrize(("do", "end"), [(cancel, "cancelled"), (close, "cancelled"), (stop, "cancelled")])
async def test_ended_while_it_is_asked(place: Installation, remote: Path, do: Callable, end: str) -> None:  # type: ignore[type-arg]
    """The turn is cancelled, the tab closed or the task stopped: the question ends as cancelled and nothing is changed."""
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt=ASK)
        await asked(dock, receipt.task_id)
        is_over = await do(dock, receipt.task_id, receipt.tab_id or "")
        view = await see(dock, receipt.task_id, is_over, "the end")
        history = await answers(dock, receipt.task_id)
        clean = is_clean(dock, receipt.task_id)
    assert view.permissions == ()
    assert history == [("permission.asked",), ("permission.answered", None)]
    assert view.tabs[0].last_end is not None
    assert view.tabs[0].last_end.value == end
    assert clean


async def test_asked_while_nobody_is_there(world: World, remote: Path) -> None:
    """Asked once, over a kill of the scheduler too; answered while it is dead, and over kills before and after the answer."""
    world.start()
    async with world.client() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt=ASK)
        before = await asked(dock, receipt.task_id)
    world.kill()
    gate = world.gate("gateway.answer_permission.before")
    async with world.client() as dock:
        after = await asked(dock, receipt.task_id)
        await dock.answer_permission(receipt.tab_id or "", after.id, "once")
        world.start()
        await world.reached(gate)
        world.kill()
        world.open_gate(gate)
        gate = world.gate("gateway.answer_permission.after")
        world.start()
        await world.reached(gate)
        world.kill()
        world.open_gate(gate)
        world.start()
        view = await ended(dock, receipt.task_id, 1)
        heard = await words(dock, receipt.tab_id or "")
        history = await answers(dock, receipt.task_id)
    assert before == after
    assert history == [("permission.asked",), ("permission.answered", "once")]
    assert "Allowed (once)" in heard
    assert view.tabs[0].last_end is not None
    assert view.tabs[0].last_end.value == "completed"
    assert len(world.prompts_seen()) == 1


async def test_asked_again_by_nobody_after_a_restart(world: World, remote: Path) -> None:
    """A scheduler that was killed while a question waits finds it waiting, and it can be rejected."""
    world.start()
    async with world.client() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt=ASK)
        before = await asked(dock, receipt.task_id)
        world.kill()
        world.start()
        await dock.answer_permission(receipt.tab_id or "", before.id, "never")
        await ended(dock, receipt.task_id, 1)
        heard = await words(dock, receipt.tab_id or "")
        history = await answers(dock, receipt.task_id)
    assert "Rejected (never)" in heard
    assert history == [("permission.asked",), ("permission.answered", "never")]


async def test_a_login_error_burns_nothing(place: Installation, remote: Path) -> None:
    """The agent wants a login: its turn fails in its words, what is queued waits in order, and goes out after resume."""
    queue = ["demo: echo one", "demo: echo two"]
    place.gates.mkdir()
    async with place.open() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="demo: logout")
        tab_id = receipt.tab_id or ""
        await ended(dock, receipt.task_id, 1)
        # Held up until all is queued: a send behind the error would lift the hold.
        gate = place.gate("gateway.prompt.before")
        for text in ("demo: echo refused", *queue):
            await dock.send(tab_id, text)
        gate.unlink()
        view = await see(dock, receipt.task_id, lambda view: bool(view.held), "a held queue")
        waiting = [message.status for message in await dock.messages(tab_id)]
        (checkout_of(dock.home, receipt.task_id, 1).parent / ".taskdock" / "demo-logged-out").unlink()
        await dock.resume_queue(tab_id)
        after = await ended(dock, receipt.task_id, 4)
        said = await words(dock, tab_id)
        final = [message.status for message in await dock.messages(tab_id)]
    assert view.tabs[0].last_end is not None
    assert view.tabs[0].last_end.value == "failed"
    assert "Authentication required" in (view.tabs[0].last_end_detail or "")
    assert view.task.status.value == "running"
    assert view.task.activity.value == "needs_you"
    assert waiting[2:] == [MessageStatus.QUEUED] * 2
    assert final == [MessageStatus.DELIVERED] * 4
    assert "refused" not in said
    assert said.index("one") < said.index("two")
    assert not after.tabs[0].held
