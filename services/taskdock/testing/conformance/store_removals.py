"""Store removals: what a change needs of a repo, looked at in the very commit: that it is there, or that no task needs it.

Owns: `REMOVAL_CHECKS`.
Never: a look into the database; what was written is what can be read.
Reads as: store.py -> these -> `Store.commit`.
"""

import anyio
from attrs import evolve

from taskdock.core import inputs, intents
from taskdock.core.change import Change
from taskdock.core.repo import REMOVED, Repo
from taskdock.core.task import Task
from taskdock.ports.store import NEEDED_MAX, Commit, CommitResult, Committed, RepoGone, RepoNeeded
from taskdock.testing.conformance.promises import require
from taskdock.testing.conformance.store_under_test import (
    WORKSPACE,
    StoreCheck,
    StoreUnderTest,
    add_repo,
    creation,
    task_id,
)

_REMOTE = "https://git.example.org/acme/api"
_RACES = 8


async def check_live_task_holds_its_repo(sut: StoreUnderTest) -> None:
    """A change that needs a repo without live tasks is refused with their ids while there are any, and leaves no trace."""
    repo_id = await _added(sut)
    await sut.create(1, repo=repo_id)
    await sut.create(2, repo="repo-2")
    removal = await sut.decide(repo_id, inputs.RemoveRepo())
    needed = RepoNeeded(repo_id, (task_id(1),))
    await sut.require_refused(needed, removal, "A removal of a repo that a live task needs")
    await _put_task(sut, 1, "archived")
    await sut.create(3, repo=repo_id)
    needed = RepoNeeded(repo_id, (task_id(3),))
    await sut.require_refused(needed, removal, "A removal while the newer of two tasks is live")
    await _put_task(sut, 3, "killed")
    await sut.commit(removal)
    require((await _repo(sut, repo_id)).at == REMOVED, "A repo that no live task needs is removed.")


async def check_many_live_tasks_are_told_in_part(sut: StoreUnderTest) -> None:
    """Of many live tasks a refused removal names a few."""
    repo_id = await _added(sut)
    for number in range(NEEDED_MAX + 2):
        await sut.create(number, repo=repo_id)
    removal = await sut.decide(repo_id, inputs.RemoveRepo())
    result = await sut.store.commit(Commit((removal,)))
    told = len(result.task_ids) if isinstance(result, RepoNeeded) else result
    require(told == NEEDED_MAX, f"Of {NEEDED_MAX + 2} live tasks {NEEDED_MAX} are to be named, not {told}.")


async def check_removed_repo_takes_no_task(sut: StoreUnderTest) -> None:
    """A change that needs its repo is refused once that is removed, and taken together with what brings it back."""
    repo_id = await _added(sut)
    await sut.step(repo_id, inputs.RemoveRepo())
    task = creation(1, repo=repo_id)
    await sut.require_refused(RepoGone(repo_id), task, "A task of a repo that was removed")
    back = await sut.decide(repo_id, add_repo(_REMOTE, "api"))
    result = await sut.store.commit(Commit((task, back)))
    require(
        isinstance(result, Committed),
        f"A task of a repo that the same commit brings back must be taken, not {result}.",
    )


async def check_removal_and_task_at_once(sut: StoreUnderTest) -> None:
    """Of a removal and a new task at once, one is taken; never both, and never neither."""
    repo_id = await _added(sut)
    for number in range(_RACES):
        removal, task = await sut.decide(repo_id, inputs.RemoveRepo()), creation(number, repo=repo_id)
        results: dict[str, CommitResult] = {}

        async def commit(name: str, change: Change, results: dict[str, CommitResult] = results) -> None:
            results[name] = await sut.store.commit(Commit((change,)))

        pair = [("removal", removal), ("task", task)]
        async with anyio.create_task_group() as group:
            for name, change in pair if number % 2 else reversed(pair):
                group.start_soon(commit, name, change)
        won = [name for name, result in results.items() if isinstance(result, Committed)]
        require(len(won) == 1, f"Of a removal and a task at once one must be taken, not {won}: {results}.")
        if won == ["removal"]:
            await sut.step(repo_id, add_repo(_REMOTE, "api"))
        else:
            await _put_task(sut, number, "killed")


async def check_removed_repo_gives_its_name_free(sut: StoreUnderTest) -> None:
    """A name means a repo that is worked on before one that was removed, which still has its row."""
    first = await _added(sut)
    await sut.step(first, inputs.RemoveRepo())
    found = await sut.store.repo_named(WORKSPACE, "api")
    require(
        found is not None and found.id == first, "A removed repo is found by its name where no other has it."
    )
    second = add_repo("https://git.example.org/other/api", "api")
    await sut.step(second.repo_id, second)
    found = await sut.store.repo_named(WORKSPACE, "api")
    require(found is not None and found.id == second.repo_id, "A name means a repo that was not removed.")
    rows = {one.record.id for one in await sut.store.repos(WORKSPACE)}
    require(rows == {first, second.repo_id}, "A repo that was removed keeps its row.")


async def _added(sut: StoreUnderTest) -> str:
    command = add_repo(_REMOTE, "api")
    await sut.step(command.repo_id, command)
    await sut.succeed(intents.CloneRepo, inputs.Cloned("main", "a" * 40))
    return command.repo_id


async def _repo(sut: StoreUnderTest, repo_id: str) -> Repo:
    found = await sut.store.record("repo", repo_id)
    assert found is not None and isinstance(found.record, Repo)
    return found.record


async def _put_task(sut: StoreUnderTest, number: int, at: str) -> None:
    """Write a task as it stands at the end of its life, without living it."""
    slice_ = await sut.store.load(task_id(number))
    task = next((record for record in slice_.records if isinstance(record, Task)), None)
    if task is not None and task.at != at:
        change = Change(
            slice_.boundary,
            slice_.workspace,
            slice_.version,
            runs=slice_.runs,
            records=(evolve(task, at=at),),
        )
        await sut.commit(change)


REMOVAL_CHECKS: tuple[StoreCheck, ...] = (
    check_live_task_holds_its_repo,
    check_many_live_tasks_are_told_in_part,
    check_removed_repo_takes_no_task,
    check_removal_and_task_at_once,
    check_removed_repo_gives_its_name_free,
)
