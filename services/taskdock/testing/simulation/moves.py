"""Moves: which branch of a simulated clone was moved by which job, as the clone knows it and as it truly was.

Owns: `Moves`: the snapshots that jobs take, and the truth that they are held to.
Never: a snapshot read to tell the truth, or the truth read to take a snapshot.
Reads as: stack.py and carrier.py move branches through this -> jobs.py compares what was told.
"""

from collections.abc import Mapping

from attrs import field, mutable

from taskdock.core.job_record import Moved
from taskdock.testing.simulation.code import Clones
from taskdock.testing.simulation.nature import Nature

_COLLECTED = "collected"


@mutable(eq=False)
class Moves:
    """What jobs and collected work did to the branches of the clones."""

    nature: Nature
    clones: Clones
    before: dict[str, dict[str, str]] = field(factory=dict)
    """By job: the heads before it, as it noted them itself."""
    after: dict[str, dict[str, str]] = field(factory=dict)
    """By job: the heads at its end."""
    truth: dict[str, dict[str, Moved]] = field(factory=dict)
    """By job: what it moved, and nobody has moved on since."""
    ends: dict[str, list[dict[str, Moved]]] = field(factory=dict)
    """By job: the truth at each of its ends; a crash makes one end several times."""
    movers: dict[tuple[str, str], str] = field(factory=dict)
    """By repo and branch: who moved it last."""
    snapshots: dict[str, str] = field(factory=dict)
    """By job: the repo in whose clone its snapshots are."""

    def heads(self, repo_id: str) -> dict[str, str]:
        """The branches as they stand."""
        return self.clones.branches.setdefault(repo_id, {})

    def move(self, repo_id: str, job_id: str, name: str, new: str) -> None:
        """A job moves a branch."""
        heads, moved = self.heads(repo_id), self.truth.setdefault(job_id, {})
        first = moved[name].old if name in moved else heads[name]
        heads[name], moved[name] = new, Moved(first, new)
        self.movers[repo_id, name] = job_id
        if first == new:
            del moved[name]

    def put_back(self, repo_id: str, job_id: str, undone: str, name: str, old: str) -> None:
        """An undo moves a branch; it may only while the branch is where the undone job left it."""
        left = self.ends.get(undone, [{}])[-1].get(name)
        now = self.heads(repo_id)[name]
        if left is None or left.new != now or left.old != old:
            self.nature.broken(7, f"{job_id} puts {name} from {now} back to {old}, and {undone} left {left}")
        self.move(repo_id, job_id, name, old)

    def collected(self, repo_id: str, name: str) -> None:
        """Collected work moved a branch on: where it stands now is no job's doing any more."""
        self.movers[repo_id, name] = _COLLECTED
        for moved in self.truth.values():
            moved.pop(name, None)

    # What a job notes for itself, as the real one does under `refs/repo-jobs/`

    def take_snapshot(self, repo_id: str, job_id: str) -> None:
        """Take it once; from then on only what collected work moved is taken over."""
        heads = self.heads(repo_id)
        self.snapshots[job_id] = repo_id
        before = self.before.setdefault(job_id, dict(heads))
        self.take_over(repo_id, before)

    def take_over(self, repo_id: str, before: dict[str, str]) -> None:
        """Leave out of a job's moves what collected work moved while nobody held the clone."""
        for name, head in self.heads(repo_id).items():
            if before.get(name) != head and self.movers.get((repo_id, name)) == _COLLECTED:
                before[name] = head

    def forget(self, repo_id: str) -> None:
        """The clone is gone, and the snapshots with it."""
        for job_id in [job_id for job_id, where in self.snapshots.items() if where == repo_id]:
            for kept in (self.before, self.after):
                kept.pop(job_id, None)

    def difference(self, job_id: str, heads: Mapping[str, str]) -> dict[str, Moved]:
        """What a job finds that it moved; nothing, when it took no snapshot."""
        before = self.before.get(job_id, dict(heads))
        names = sorted({*before, *heads})
        moves = {name: Moved(before.get(name), heads.get(name)) for name in names}
        return {name: one for name, one in moves.items() if one.old != one.new}

    def end(self, repo_id: str, job_id: str) -> dict[str, Moved]:
        """Note where the branches are at a job's end, and give what it moved."""
        heads = self.heads(repo_id)
        if job_id in self.before:
            self.take_over(repo_id, self.before[job_id])
        self.after[job_id] = dict(heads)
        self.ends.setdefault(job_id, []).append(dict(self.truth.get(job_id, {})))
        return self.difference(job_id, heads)
