"""Removals: the invariant about repos that were removed: nobody works on them, and their clone goes or is said to stay.

Owns: `RemovedIsFree`.
Never: what a repo says of its clone taken for the truth; the clone is looked for outside.
Reads as: invariants.py lists it -> data, code.py -> Nature.broken.
"""

from taskdock.core import task_record as at
from taskdock.core.job import FINAL, Job
from taskdock.core.repo import REMOVED, Repo
from taskdock.core.task import Task
from taskdock.testing.simulation.invariant import Invariant

_OVER = (at.ARCHIVED, at.KILLED)


class RemovedIsFree(Invariant):
    """A removed repo has no live task and no open job; at rest its clone is gone, or it says why not."""

    number = 9

    def after_step(self, boundaries: frozenset[str]) -> None:
        """Look at the repos that changed, and at those of the tasks that did."""
        changed = {task.repo_id for one in boundaries if (task := self.task(one)) is not None}
        removed = [
            repo.id for repo in self.all(Repo) if repo.at == REMOVED and repo.id in changed | boundaries
        ]
        for repo_id in removed:
            live = [task.id for task in self.all(Task) if task.repo_id == repo_id and task.at not in _OVER]
            open_jobs = [job.id for job in self.all(Job, repo_id) if job.at not in FINAL]
            if live or open_jobs:
                self.broken(f"{repo_id} is removed, and has {[*live, *open_jobs]}")

    def at_rest(self) -> None:
        """Compare each removed repo with its clone."""
        for repo in self.all(Repo):
            if repo.at == REMOVED and repo.step is not None:
                self.broken(f"{repo.id} is removed, and its clone is still being looked at")
            if repo.at == REMOVED and repo.failure is None and repo.id in self.outside.clones.branches:
                self.broken(f"{repo.id} is removed with its clone, and the clone is there")
