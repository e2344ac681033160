"""Jobs: the invariants about repo jobs: one at a time, each with one end, what moved is what is told, and no undo over a moved head.

Owns: `OneJob`, `JobsStayEnded`, `JobsTellWhatMoved`, `JobsRest`.
Never: what a job says of itself taken for the truth; what moved is counted in the clone (moves.py).
Reads as: invariants.py lists them -> data, moves, ledger -> Nature.broken.
"""

from collections import Counter
from typing import TYPE_CHECKING

from taskdock.core.history import HistoryKind
from taskdock.core.intents import RunRepoJob
from taskdock.core.job import CANCELLED, FINAL, RUNNING, Job
from taskdock.ports.store import Commit
from taskdock.testing.simulation.invariant import Invariant

if TYPE_CHECKING:
    from taskdock.testing.simulation.world import World

_ENDS = {
    HistoryKind.JOB_COMPLETED: "completed",
    HistoryKind.JOB_FAILED: "error",
    HistoryKind.JOB_CANCELLED: "cancelled",
}
_ONCE = (HistoryKind.JOB_QUEUED, HistoryKind.JOB_STARTED)


class OneJob(Invariant):
    """One job of a repo has its turn at a time; what keeps two gits apart is seen where they begin (gits.py)."""

    number = 6

    def after_step(self, boundaries: frozenset[str]) -> None:
        """Count those that run, or whose run is ordered."""
        bodies = [one.intent.body for one in self.data.outbox.values() if one.status != "cancelled"]
        runs = [body for body in bodies if isinstance(body, RunRepoJob)]
        for repo_id in boundaries:
            running = {job.id for job in self.all(Job, repo_id) if job.at == RUNNING}
            running |= {body.job_id for body in runs if body.repo_id == repo_id}
            if len(running) > 1:
                self.broken(f"{repo_id} runs {sorted(running)}")


class JobsStayEnded(Invariant):
    """A job ends once, stays so, and one whose end was asked for does not count as completed."""

    number = 5

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._ended: dict[str, Job] = {}

    def on_commit(self, commit: Commit) -> None:
        """Compare with what was ended before."""
        for job in (one for change in commit.changes for one in change.records if isinstance(one, Job)):
            before = self._ended.get(job.id)
            if before is not None and before != job:
                self.broken(f"{job.id} was over as {before}, and is {job}")
            if job.at in FINAL:
                self._ended[job.id] = job

    def at_rest(self) -> None:
        """Count what the history tells of each job, and compare its end with how the job stands."""
        told: Counter[tuple[str, HistoryKind]] = Counter()
        for number in self.data.history:
            happened = self.data.event(number)
            if happened is not None and "job" in happened.event.data:
                told[str(happened.event.data["job"]), happened.event.kind] += 1
        for job in self.all(Job):
            ends = [word for kind, word in _ENDS.items() for _ in range(told[job.id, kind])]
            if job.at in FINAL and ends != [job.status.value]:
                self.broken(f"{job.id} is {job.status.value}, and its history tells of the ends {ends}")
            counts = {kind.value: told[job.id, kind] for kind in _ONCE}
            if told[job.id, _ONCE[0]] != 1 or told[job.id, _ONCE[1]] != (job.started_at is not None):
                self.broken(f"the history of {job.id}, begun at {job.started_at}, tells {counts}")
        for job_id in sorted(self.world.client.ledger.cancelled_jobs):
            ended = self._ended.get(job_id)
            if ended is not None and ended.at != CANCELLED:
                self.broken(f"the end of {job_id} was asked for and accepted, and it is told as {ended.at}")


class JobsTellWhatMoved(Invariant):
    """What a job tells is what it moved in the clone, however it ended; only one that nobody could settle tells nothing."""

    number = 7

    def on_commit(self, commit: Commit) -> None:
        """Look at each end in the instant in which it is told."""
        for change in commit.changes:
            for job in change.records:
                if isinstance(job, Job) and job.at in FINAL:
                    self._compare(job)

    def _compare(self, job: Job) -> None:
        moves = self.outside.moves
        if job.result is None:
            moved = moves.truth.get(job.id)
            if moved and not job.settles:
                self.broken(f"{job.id} is {job.at}, moved {moved}, and tells nothing")
            return
        told, seen = dict(job.result.changed), moves.ends.get(job.id, [])
        if told not in seen:
            self.broken(f"{job.id} is {job.at} and tells of {told}, and at its ends it had moved {seen}")


class JobsRest(Invariant):
    """At rest every job is over, also one that was joined, and each request made one at most."""

    number = 9

    def at_rest(self) -> None:
        """Look at every job, and at every id that somebody was given."""
        for job in self.all(Job):
            if job.at not in FINAL:
                self.broken(f"{job.id} is {job.at}")
        for job_id in self.world.client.ledger.jobs:
            if job_id not in self.data.rows["job"]:
                self.broken(f"{job_id} was accepted, and is not there")
        tasks = self.data.rows["task"]
        # A task asks anew with each retry.
        asked = (job.requested_by for job in self.all(Job) if job.requested_by not in tasks)
        requests = Counter(request for request in asked if request is not None)
        for request, count in requests.items():
            if count > 1:
                self.broken(f"{request} was sent again after a lost answer, and made {count} jobs")
        left = {repo: gits for repo, gits in self.outside.gits.running.items() if gits}
        if left:
            self.broken(f"gits are still at work: {left}")
