"""Recovery: once nothing goes wrong any more, everything that can be asked of a task or a repo works, up to its end.

Owns: `Recovery`, the tenth invariant.
Never: a fault; a failure that only a change by somebody mends is the one that may stay.
Reads as: World.settle -> this -> client's dock -> Nature.broken.
"""

from collections.abc import Awaitable, Callable
from traceback import format_exception
from typing import TYPE_CHECKING

import anyio
from attrs import frozen

from taskdock.core import task_record as at
from taskdock.core.errors import BranchTaken, CommandRejected
from taskdock.core.inputs import FailureClass
from taskdock.core.job import COMPLETED
from taskdock.core.job_record import JobKind
from taskdock.core.repo import READY, REMOVED, Repo
from taskdock.core.task import Task
from taskdock.services.dock import Dock
from taskdock.testing.simulation.calls import REQUEST

if TYPE_CHECKING:
    from taskdock.testing.simulation.world import World

_MAY_STAY = (
    "There is no repository",
    "branch_exists",
    "there is no branch",
    "There is no model",
    "uncommitted",
)
"""What somebody has to change before a retry can help: a wrong remote, branch or model."""

_WAYS_OUT_MAX = 3

Call = Callable[[Dock, str], Awaitable[object]]


@frozen
class Recovery:
    """Asks everything of every task."""

    world: "World"

    async def ask(self) -> None:
        """Retry, stop, resume, archive, unarchive, kill, a job of each repo, and its removal; each has to come to its end."""
        await self._add_removed()
        await self._sync_repos()
        for task in self._tasks():
            if task.at == at.KILLED:
                continue
            if task.failure is not None:
                await self._must(task.id, "retry", lambda dock, id_: dock.retry_task(id_), None)
            if self._now(task.id).is_ending:
                continue
            if self._now(task.id).at == at.RUNNING:
                await self._must(task.id, "stop", lambda dock, id_: dock.stop_task(id_), at.STOPPED)
            if self._now(task.id).at == at.STOPPED:
                await self._must(task.id, "resume", lambda dock, id_: dock.resume_task(id_), at.RUNNING)
            if self._now(task.id).at != at.ARCHIVED:
                await self._must(
                    task.id, "archive", lambda dock, id_: dock.archive_task(id_, force=True), at.ARCHIVED
                )
            await self._must(task.id, "unarchive", lambda dock, id_: dock.unarchive_task(id_), at.RUNNING)
            await self._must(task.id, "kill", lambda dock, id_: dock.kill_task(id_, force=True), at.KILLED)
        if self.world.outside.boxes.by_ref:
            left = [ref.name for ref in self.world.outside.boxes.by_ref]
            self.world.outside.nature.broken(1, f"every task is killed, and there is {left}")
        await self._remove_repos()

    async def _add_removed(self) -> None:
        """A repo that was removed comes back, with all that its tasks had."""
        for repo in self._repos():
            if repo.at == REMOVED:
                dock = await self.world.dock()
                await dock.add_repo(repo.remote, workspace=repo.workspace)
                await self.world.rest()

    async def _remove_repos(self) -> None:
        """Nothing is in the way of it any more."""
        for repo in self._repos():
            if repo.at == REMOVED:
                continue
            try:
                await (await self.world.dock()).remove_repo(repo.id, workspace=repo.workspace)
            except CommandRejected as refusal:
                self.world.outside.nature.broken(10, f"{repo.id} cannot be removed: {refusal}")
        await self.world.rest()
        left = [repo.id for repo in self._repos() if repo.at != REMOVED or repo.step is not None]
        if left:
            self.world.outside.nature.broken(10, f"every repo was removed, and there is {left}")

    def _repos(self) -> list[Repo]:
        return [record for record, _ in self.world.outside.data.of(Repo)]

    async def _sync_repos(self) -> None:
        for repo in self._repos():
            if repo.at == READY:
                await self._sync(repo)

    async def _sync(self, repo: Repo) -> None:
        """A job that nothing is in the way of is done."""
        dock, nature = await self.world.dock(), self.world.outside.nature
        receipt = await dock.request_job(repo.id, JobKind.SYNC_REPO, workspace=repo.workspace)
        await self.world.rest()
        job = self.world.outside.data.rows["job"][receipt.job_id].record
        if job.at != COMPLETED:
            nature.broken(10, f"{job.id} of {repo.id} syncs, and ends as {job.at}: {job.failure}")

    async def _must(self, task_id: str, name: str, call: Call, state: str | None) -> None:
        """Ask, wait, and compare with where it has to lead; None: anywhere but to an error.

        An error may come of what went wrong before; then the way out that it names, and that of the next, has to lead there.
        """
        nature = self.world.outside.nature
        if not await self._asked(task_id, name, call):
            return
        task = self._now(task_id)
        for _ in range(_WAYS_OUT_MAX):
            if task.failure is None or _may_stay(task):
                break
            if not await self._asked(task_id, task.failure.retry, _way_out(task)):
                return
            task = self._now(task_id)
        if task.failure is not None:
            if not _may_stay(task):
                nature.broken(10, f"{name} of {task_id} fails, also after its ways out: {task.failure}")
        elif state is not None and task.at != state and not self._may_be_elsewhere(task):
            nature.broken(10, f"{name} of {task_id} leads to {task.at}")

    async def _asked(self, task_id: str, name: str, call: Call) -> bool:
        nature = self.world.outside.nature
        nature.tell(f"-- {name} {task_id}")
        dock = await self.world.dock()
        token = REQUEST.set(anyio.get_current_task().id)
        try:
            await call(dock, task_id)
        except BranchTaken:
            return False
        except CommandRejected as refusal:
            nature.broken(10, f"{name} of {task_id}, which is {self._now(task_id).at}, is refused: {refusal}")
            return False
        except Exception as error:  # noqa: BLE001 - told as a violation
            nature.broken(0, f"{name} of {task_id} came out as no answer: {''.join(format_exception(error))}")
            return False
        finally:
            REQUEST.reset(token)
        await self.world.rest()
        return True

    def _may_be_elsewhere(self, task: Task) -> bool:
        """A stop that failed goes on after its way out, with whatever was asked of it meanwhile."""
        return task.at in (at.STOPPED, at.RUNNING)

    def _tasks(self) -> list[Task]:
        return [record for record, _ in self.world.outside.data.of(Task)]

    def _now(self, task_id: str) -> Task:
        task: Task = self.world.outside.data.rows["task"][task_id].record
        return task


def _may_stay(task: Task) -> bool:
    failure = task.failure
    is_final = failure is not None and failure.failure_class is FailureClass.PERMANENT
    return is_final and failure is not None and any(words in failure.reason for words in _MAY_STAY)


def _way_out(task: Task) -> Call:
    """The command that the failure names."""
    assert task.failure is not None
    named = task.failure.retry
    if "archive --force" in named:
        return lambda dock, id_: dock.archive_task(id_, force=True)
    if "kill --force" in named:
        return lambda dock, id_: dock.kill_task(id_, force=True)
    return lambda dock, id_: dock.retry_task(id_, discard="--discard" in named)
