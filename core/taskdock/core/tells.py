"""Tells: what a task and its repo say to each other, and nothing else goes between boundaries.

Owns: one class per thing said, and `TellInput`, the union over them; inputs.py hands these on.
Never: something that cannot be said twice. `ask` is the number of a question, so a late answer is known as one.
Reads as: an order in a room -> the intent `Tell` -> the other boundary's `step`.
"""

from attrs import frozen

# A task waits for its repo's clone


@frozen
class AwaitReady:
    """A task asks its repo to say when it is ready."""

    task_id: str
    ask: int


@frozen
class RepoReady:
    """The repo's answer: it is ready."""

    ask: int


@frozen
class RepoFailed:
    """The repo's answer: its clone failed."""

    ask: int
    reason: str
    log_tail: str | None = None


# A task waits for a branch that its repo has not seen lately


@frozen
class AwaitBranch:
    """A task asks its repo to register a branch that is to be there already, and to say when that is done."""

    task_id: str
    ask: int
    branch: str


@frozen
class BranchAwaited:
    """The repo's first answer: this job registers the branch."""

    ask: int
    job_id: str


@frozen
class BranchReady:
    """The repo's answer: the branch is there; `head` is where it stood, None when that could not be read."""

    ask: int
    job_id: str
    head: str | None


@frozen
class BranchFailed:
    """The repo's answer: the job has ended without the branch."""

    ask: int
    job_id: str
    reason: str
    log_tail: str | None = None


@frozen
class NoLongerWaits:
    """A task takes its question back: nobody needs the answer any more."""

    task_id: str
    ask: int


# What has become of a branch


@frozen
class BranchBorn:
    """A task tells its repo that the service clone has the task's new branch: from `base`, at `head`."""

    task_id: str
    ask: int
    branch: str
    base: str
    head: str


@frozen
class BranchMoved:
    """A repo tells a task that a job moved its branch; None stands for no branch at all."""

    job_id: str
    branch: str
    old: str | None
    new: str | None


TellInput = (
    AwaitReady | RepoReady | RepoFailed | AwaitBranch | BranchAwaited | BranchReady | BranchFailed | NoLongerWaits
    | BranchBorn | BranchMoved
)  # fmt: skip
"""What one boundary may say to another."""
