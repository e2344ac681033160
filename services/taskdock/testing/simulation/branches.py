"""Branches: the invariants about the branches of tasks: a new one is registered, and one that a job moved is shown.

Owns: `BornIsRegistered`, `MovedIsShown`.
Never: what a task says of its branch taken for the truth; where it stands is read in the clone (code.py).
Reads as: invariants.py lists them -> data, clones -> Nature.broken.
"""

from collections.abc import Iterator

from taskdock.core.job import Job
from taskdock.core.job_record import JobKind
from taskdock.core.task import Task
from taskdock.core.task_record import RUNNING, STOPPED
from taskdock.testing.simulation.code import Kept
from taskdock.testing.simulation.invariant import Invariant


class BornIsRegistered(Invariant):
    """A branch that a task's first commit made is registered by a job."""

    number = 9

    def at_rest(self) -> None:
        """Look for the job of each branch that is in its clone by a task's work."""
        asked = {
            (job.repo_id, job.branch) for job in self.all(Job) if job.kind is JobKind.REGISTER_EXISTING_BRANCH
        }
        for task in self.all(Task):
            kept = self.outside.clones.kept.get(task.id)
            is_born = kept is not None and kept.followed is not None and not task.on_branch
            if is_born and task.head is not None and (task.repo_id, task.branch) not in asked:
                self.broken(
                    f"the branch {task.branch} of {task.id} is in the clone, and no job was to register it"
                )


class MovedIsShown(Invariant):
    """A task whose branch a job took away from its work says so, and one whose branch is at its work does not.

    Of a task without a commit, and of one that was archived in between, this is sure only with its next collection: nobody
    tells where its checkout began, nor what became of its branch while it had none. Nor does anybody know what a job moved
    that could neither be brought to an end nor be settled, which its failure says.
    """

    number = 9

    def at_rest(self) -> None:
        """Compare each task that runs or is stopped with where its branch stands in the clone."""
        for task, kept, head in self._at_work():
            moved = head not in (kept.start, kept.followed, kept.newest and kept.newest.head)
            if moved != task.moved:
                where = f"is at {head} in the clone, its work at {kept.followed or kept.start}"
                self.broken(f"the branch {task.branch} of {task.id} {where}, and moved is {task.moved}")

    def _at_work(self) -> Iterator[tuple[Task, Kept, str]]:
        untold = {
            (job.repo_id, branch)
            for job in self.all(Job)
            if job.settles and job.result is None
            for branch in self.outside.moves.truth.get(job.id, ())
        }
        for task in self.all(Task):
            kept = self.outside.clones.kept.get(task.id)
            heads = self.outside.clones.branches.get(task.repo_id, {})
            is_sure = task.generation == 1 and task.head is not None and task.at in (RUNNING, STOPPED)
            is_told = (task.repo_id, task.branch) not in untold
            if kept is not None and is_sure and is_told and task.branch in heads:
                yield task, kept, heads[task.branch]
