"""Removed repos: let go of only when nobody needs them, through kills and races, with no work lost, and back when added again."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
import pytest

from e2e.installation import QUICK, Installation, rest, see, see_in_repo
from e2e.world import World
from git_repos import git, refs_of
from taskdock import app
from taskdock.app import Config, Dock
from taskdock.core import task_record as at
from taskdock.core.errors import CommandRejected, Conflict
from taskdock.core.job import FINAL
from taskdock.core.job_record import JobKind
from taskdock.core.repo import Repo, RepoStatus

pytestmark = pytest.mark.anyio

RACES = 10


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """An installation that nobody schedules for."""
    return Config(home=tmp_path / "home", figures=QUICK, drain_seconds=0.2)


async def settled(dock: Dock, repo_id: str) -> Repo:
    """Wait until nothing is done to the clone of a repo."""
    return await see_in_repo(
        dock, repo_id, partial(dock.repo, repo_id), lambda repo: repo.step is None, "settled"
    )


async def registered(dock: Dock, repo_id: str) -> None:
    """Wait for the end of the job that registers the branch of a task's first work; it holds the repo, too."""
    await see_in_repo(
        dock,
        repo_id,
        partial(dock.jobs, repo_id),
        lambda jobs: jobs and all(job.at in FINAL for job in jobs),
        "registered",
    )


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("gate", ["clones.remove.before", "clones.remove.after"])
async def test_killed_removal_goes_on(world: World, remote: Path, gate: str) -> None:
    """A process that is killed in the removal of a clone leaves the next one to finish it; then the repo can come back."""
    held = world.gate(gate)
    world.start()
    async with world.client() as dock:
        added = await dock.add_repo(str(remote))
        assert (await settled(dock, added.repo_id)).status is RepoStatus.READY
        receipt = await dock.remove_repo(str(remote))
        assert (receipt.repo_id, receipt.status) == (added.repo_id, "removed")
        await world.reached(held)
        world.kill()
        world.open_gate(held)
        world.start()
        repo = await settled(dock, added.repo_id)
        assert (repo.status, repo.failure, repo.trunk) == (RepoStatus.REMOVED, None, None)
        clones = world.home / "repos"
        assert [
            path.name for path in clones.iterdir() if path.is_dir() and not path.name.startswith(".")
        ] == []
        assert list((clones / ".removed").iterdir()) == []
        await dock.add_repo(str(remote))
        again = await settled(dock, added.repo_id)
    assert (again.id, again.status, again.trunk) == (added.repo_id, RepoStatus.READY, "main")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_work_outlives_the_removal_of_its_repo(place: Installation, remote: Path) -> None:
    """A live task holds its repo, an archived one its clone, unpushed work of a killed one, too; what was pushed may go."""
    async with app.open(place.config()) as dock:
        task = await dock.create_task(repo=str(remote), prompt="Add a note")
        view = await see(dock, task.task_id, lambda view: view.task.head is not None, "collected work")
        repo_id, branch, head = view.task.repo_id, view.task.branch or "", view.task.head
        assert head is not None
        await registered(dock, repo_id)
        with pytest.raises(Conflict, match=task.task_id):
            await dock.remove_repo(repo_id)
        await dock.archive_task(task.task_id)
        await rest(dock, task.task_id, at.ARCHIVED)

        await dock.remove_repo(repo_id)
        repo = await settled(dock, repo_id)
        clone = place.home / "repos" / repo_id
        assert repo.status is RepoStatus.REMOVED
        assert (
            repo.failure is not None
            and task.task_id in repo.failure.reason
            and str(clone) in repo.failure.reason
        )
        for refused in (
            dock.create_task(repo=repo_id, prompt="Add another"),
            dock.unarchive_task(task.task_id),
            dock.request_job(repo_id, JobKind.SYNC_REPO),
            dock.retry_repo(repo_id),
        ):
            with pytest.raises(Conflict, match="removed"):
                await refused
        assert await dock.repos() == []

        await dock.add_repo(str(remote))
        await dock.unarchive_task(task.task_id)
        view = await rest(dock, task.task_id, at.RUNNING)
        assert (view.task.at, view.task.head) == (at.RUNNING, head)
        await dock.kill_task(task.task_id)
        await rest(dock, task.task_id, at.KILLED)

        await dock.remove_repo(repo_id)
        repo = await settled(dock, repo_id)
        assert repo.failure is not None and branch in repo.failure.reason
        assert refs_of(clone, "refs/heads/")[f"refs/heads/{branch}"] == head
        git(clone, "push", "--quiet", "origin", f"refs/heads/{branch}")
        await dock.remove_repo(repo_id)
        repo = await settled(dock, repo_id)
        assert (repo.failure, clone.exists()) == (None, False)


async def refused_of(number: int, asked: dict[str, Callable[[], Awaitable[object]]]) -> list[str]:
    """Ask for all at once, for the first one first in every other race; which of them were refused."""
    refused: list[str] = []

    async def ask(name: str) -> None:
        try:
            await asked[name]()
        except CommandRejected:
            refused.append(name)

    async with anyio.create_task_group() as group:
        for name in asked if number % 2 else reversed(asked):
            group.start_soon(ask, name)
    return refused


async def test_create_and_removal_at_once(config: Config) -> None:
    """Of a create and a removal at once one is refused, whoever is first; the store is never left with a task on a tombstone."""
    async with app.open(config, schedule=False) as dock:
        for number in range(RACES):
            remote = f"https://git.example.org/acme/race-{number}"
            repo_id = (await dock.add_repo(remote)).repo_id
            create = partial(dock.create_task, repo=repo_id, prompt="Add a note")
            refused = await refused_of(
                number, {"create": create, "remove": partial(dock.remove_repo, repo_id)}
            )
            assert len(refused) == 1
            live = [task for task in await dock.tasks() if task.repo_id == repo_id]
            is_removed = (await dock.repo(repo_id)).status is RepoStatus.REMOVED
            assert (len(live), is_removed) == ((0, True) if refused == ["create"] else (1, False))


async def test_unarchive_and_removal_at_once(config: Config) -> None:
    """The same of an unarchive and a removal."""
    async with app.open(config, schedule=False) as dock:
        for number in range(RACES):
            remote = f"https://git.example.org/acme/race-{number}"
            task = await dock.create_task(repo=remote, prompt="Add a note")
            await dock.archive_task(task.task_id)
            unarchive = partial(dock.unarchive_task, task.task_id)
            remove = partial(dock.remove_repo, task.repo_id or "")
            refused = await refused_of(number, {"unarchive": unarchive, "remove": remove})
            assert len(refused) == 1


async def test_removed_repo_comes_back_with_a_task(config: Config) -> None:
    """A create that names the remote of a removed repo brings it back in its commit, under the same id; its name does not."""
    remote = "https://git.example.org/acme/api"
    async with app.open(config, schedule=False) as dock:
        repo_id = (await dock.add_repo(remote)).repo_id
        first = await dock.remove_repo(remote, key="click")
        again = await dock.remove_repo(remote, key="click")
        assert (again.replayed, again.version, (await dock.remove_repo(remote)).version) == (
            True,
            first.version,
            2,
        )
        with pytest.raises(Conflict, match="removed") as refused:
            await dock.create_task(repo="acme/api", prompt="Add a note")
        assert (refused.value.status, refused.value.record_id) == ("removed", repo_id)
        task = await dock.create_task(repo=remote, prompt="Add a note")
        assert task.repo_id == repo_id
        assert (await dock.repo(repo_id)).status is RepoStatus.CLONING
