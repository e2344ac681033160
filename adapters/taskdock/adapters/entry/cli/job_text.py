"""Job text: jobs and branches, as people read them.

Owns: the lines of a job, of its result, and of a table of branches.
Never: a decision.
Reads as: job.py, branch_actions.py, job_following.py -> this -> output.py.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from taskdock.adapters.entry.cli import output, sayings
from taskdock.core.job import Job
from taskdock.core.job_record import BranchSeen
from taskdock.services.dock import BranchesView


def what(job: Job) -> str:
    """What was asked, in a few words."""
    words = [job.kind.value, job.branch, f"onto {job.parent}" if job.parent else None]
    words += [f"of {job.undo_of}" if job.undo_of else None, "and push" if job.push else None]
    return " ".join(word for word in words if word)


def result_lines(job: Job) -> Iterator[str]:
    """Branch by branch what it did."""
    result = job.result
    if result is not None:
        for branch, moved in result.changed.items():
            yield f"{branch}: {_commit(moved.old, 'new')} -> {_commit(moved.new, 'gone')}"
        for branch, files in result.conflicts.items():
            yield f"{branch}: conflict in {', '.join(files)}"
        for branch, reason in (*result.blocked.items(), *result.skipped.items()):
            yield f"{branch}: left as it is, {reason}"
        for branch, head in result.pushed.items():
            yield f"{branch}: pushed, the remote is at {sayings.commit(head)}"
        if not (result.changed or result.conflicts or result.blocked or job.failure):
            yield "nothing had to be moved"
    if job.failure is not None and job.failure.hint:
        yield job.failure.hint


def job_lines(job: Job, now: datetime) -> list[str]:
    """One job, in full."""
    step, failure = job.step, job.failure
    pairs = [
        ("id", job.id),
        ("repo", job.repo_id),
        ("asked", what(job)),
        ("by", job.requested_by),
        ("waited for by", ", ".join(waiting.task_id for waiting in job.waiting) or None),
        ("status", job.status.value),
        ("step", f"{step.name}, attempt {step.attempt}: {step.progress or 'begun'}" if step else None),
        ("age", f"{output.age(job.created_at, now)} ago"),
        ("error", f"{failure.kind.value}: {failure.reason}" if failure else None),
    ]
    return [*output.fields(pairs), *result_lines(job)]


def list_lines(jobs: Sequence[Job], now: datetime) -> list[str]:
    """Many, a line each."""
    rows = [(job.id, job.status.value, output.age(job.created_at, now), what(job)) for job in jobs]
    return output.table(("ID", "STATUS", "AGE", "ASKED"), rows, output.terminal_columns()) if rows else []


def branch_lines(view: BranchesView, now: datetime) -> list[str]:
    """A repo's branches in the order of their stacks, each under what it stands on."""
    seen = view.seen
    if seen.read_at is None:
        return ["Nobody has looked at the branches yet: `taskdock repo sync` does."]
    busy = {job.branch: f"{job.kind.value} {job.status.value}" for job in view.jobs if job.branch}
    rows = [
        (
            "· " * (branch.depth - 1) + branch.name,
            sayings.commit(branch.head),
            f"+{branch.ahead} -{branch.behind}",
            f"{branch.files_changed} files +{branch.insertions} -{branch.deletions}",
            _state(branch, busy.get(branch.name), view.repo.trunk),
        )
        for branch in seen.seen
    ]
    table = output.table(("BRANCH", "HEAD", "TRUNK", "DIFF", "STATE"), rows, output.terminal_columns())
    running = [f"{what(job)}: {job.status.value}" for job in view.jobs if job.branch is None]
    return [*table, *running, f"As read {output.age(seen.read_at, now)} ago."]


def _state(branch: BranchSeen, job: str | None, trunk: str | None) -> str:
    words = [
        job,
        "needs restack" if branch.needs_restack else None,
        "conflicts with trunk" if branch.conflicts_with_trunk else None,
        branch.pull_request,
        None if branch.is_tracked or branch.name == trunk else "in no stack",
    ]
    return ", ".join(word for word in words if word) or "-"


def _commit(head: str | None, otherwise: str) -> str:
    return otherwise if head is None else sayings.commit(head)
