"""Remade sandboxes: one that is lost and made anew under its own name is never taken for the one that was lost."""

from pathlib import Path

import pytest

from e2e.providers import under_test
from e2e.world import World
from taskdock.app import TaskView


@pytest.fixture
def anyio_backend() -> str:
    """The client's side; the process under test runs on asyncio."""
    return "asyncio"


def has_worked(view: TaskView) -> bool:
    """Whether the first turn is over."""
    return view.tabs[0].turns_ended == 1


@pytest.mark.anyio
@pytest.mark.parametrize("again", [False, True], ids=["the same archive", "an archive of a stop"])
async def test_killed_between_the_making_and_the_answer_it_still_tells_what_was_lost(
    world: World, remote: Path, again: bool
) -> None:
    """The sandbox goes behind our back, is made anew to bring the work out, and we are killed before that is said."""
    world.start()
    gate = world.gate("clones.take_in.before")
    async with world.client() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Write it down")
        await world.see(dock, receipt.task_id, has_worked, "the end of a turn")
        world.kill()
        [box] = world.sandboxes()
        under_test().take_away(world.home, box.name)
        ask = dock.stop_task if again else dock.archive_task
        await ask(receipt.task_id)
        world.open_gate(gate)
        made = world.gate("clones.checkout.after")
        world.start()
        await world.reached(made)
        world.kill()
        await dock.archive_task(receipt.task_id)
        world.open_gate(made)
        world.start()
        view = await world.rest(dock, receipt.task_id, "archived", "error")
        events = [one.event for one in await dock.history(receipt.task_id)]
    lost = [event.data for event in events if event.kind.value == "sandbox.lost"]
    assert view.task.status.value == "archived"
    assert [data["work_owed"] for data in lost] == [True]
