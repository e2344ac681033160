"""SIGKILL of the whole process in each step: nothing is lost, nothing is made twice, and no client retries.

The kills are cells of the shipped kill matrix, judged by its judge and by what is counted from outside besides.
`make matrix` runs all of them.
"""

from pathlib import Path

import pytest

from agent_server import CACHE
from e2e.counting import counted
from e2e.providers import only_on_local, toml_of, under_test
from e2e.world import World, end_processes, until
from git_repos import make_remote
from stack_fixture import GIT_SPICE, require_git_spice
from taskdock.adapters.sandbox.local.levels import Level
from taskdock.core.message import MessageStatus
from taskdock.testing.kill_matrix.cells import chosen
from taskdock.testing.kill_matrix.matrix import KillMatrix

CONFIG = f"""\
cache = "{CACHE}"
{f'git_spice = "{GIT_SPICE}"' if GIT_SPICE.exists() else ""}
drain_seconds = 2.0
[figures]
backoff_seconds = 0.05
settle_seconds = 2.0
closing_seconds = 1.0
absent_seconds = 0.5
"""

BEST_LEVEL = [
    "create/clones.clone.before",
    "create/clones.clone.after",
    "create/namer.propose.before",
    "create/namer.propose.after",
    "create/provider.ensure.before",
    "create/provider.ensure.after",
    "create/clones.checkout.after",
    "create/access.ensure_service.before",
    "create/access.ensure_service.after",
    "create/gateway.open_session.before",
    "create/gateway.open_session.after",
    "create/gateway.prompt.before",
    "create/gateway.prompt.after",
    "create/clones.take_in.before",
    "create/clones.take_in.after",
    "create/stack.run.after",
    "kill/provider.destroy.before",
    "kill/provider.destroy.after",
    "kill/clones.take_in.after",
]
"""Each step of a task's coming up and of its end, at whatever level works on the machine."""

JOB_STEPS = [
    "restack/stack.run.after",
    "restack/stack.snapshot.after",
    "restack/stack.act.after",
    "restack/stack.post_sync.before",
    "settle/stack.settle.after",
]
"""A kill in the steps of a repo job, and in its settling."""

OTHER_LEVELS = {
    Level.PROCESS: ["doubt/gateway.delivery.before", "answer/gateway.answer_permission.after"],
    Level.BUBBLEWRAP: ["resume/provider.start.after", "unarchive/provider.ensure.after"],
    Level.BUBBLEWRAP_NETNS: ["stop/provider.stop.after", "heal/access.ensure_service.after"],
}
"""At each level by its name, what users ask of a task that runs, a kill in each."""


async def killed_at(folder: Path, provider: str, cell: str) -> None:
    """Every promise holds after this kill."""
    config = folder / "taskdock.toml"
    config.write_text(CONFIG + toml_of(under_test())[1])
    matrix = KillMatrix(config, provider, folder=folder / "kills", witness=counted)
    try:
        (verdict,) = await matrix.run(chosen([cell]))
    finally:
        for trial in (folder / "kills").glob("*-*"):
            end_processes(trial)
    assert verdict.is_fine, verdict.story()
    assert verdict.reason is None


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("cell", [*BEST_LEVEL, *JOB_STEPS])
async def test_a_killed_process_goes_on_after_its_restart(tmp_path: Path, cell: str) -> None:
    """The task comes up or ends as asked: one sandbox, one server, one prompt, and nothing once it is killed."""
    if cell in JOB_STEPS:
        require_git_spice()
    await killed_at(tmp_path, under_test().name, cell)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.parametrize(
    ("level", "cell"),
    [(level, cell) for level, cells in OTHER_LEVELS.items() for cell in cells],
    indirect=["level"],
    ids=[f"{level.value}-{cell}" for level, cells in OTHER_LEVELS.items() for cell in cells],
)
async def test_it_goes_on_at_each_level(tmp_path: Path, level: Level, cell: str) -> None:
    """The same at each level by its name, in what is asked of a task that runs; who drives it runs on trio."""
    only_on_local("it is for the levels of the local provider")
    await killed_at(tmp_path, f"local-{level.value}", cell)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_killed_process_finds_the_running_turn_again(world: World, tmp_path: Path) -> None:
    """A turn that goes on while nobody watches is followed to its end, without a second prompt and without a gap."""
    remote = make_remote(tmp_path / "remote")
    world.start()
    async with world.client() as dock:
        receipt = await dock.create_task(repo=str(remote), prompt="Count slowly\ndemo: crawl 3")
        await world.see(
            dock, receipt.task_id, lambda view: view.tabs[0].turn.at == "running", "a running turn"
        )
        await until(lambda: bool(world.prompts_seen()), "the prompt is seen", world.log)
        world.kill()
        world.start()
        view = await world.see(
            dock, receipt.task_id, lambda view: view.tabs[0].last_end is not None, "the end of the turn"
        )
        message = (await dock.messages(receipt.tab_id or ""))[0]
    assert view.tabs[0].last_end is not None
    assert view.tabs[0].last_end.value == "completed"
    assert message.status is MessageStatus.DELIVERED
    assert len(world.prompts_seen()) == 1
