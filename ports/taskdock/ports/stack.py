"""Stack: the port to repo jobs, which fetch, restack and push the branches of a service clone.

Owns: `StackJobs`, `JobReport` and their shapes.
Never: a decision whether a job may run or run again; that is the table's. A work tree of a person or an agent.
Reads as: services/executors -> this Protocol -> adapters/clone/stack/jobs.py.

A job runs in the service clone, under the clone's own lock. Whatever ends it (a crash, a kill, a full disk), the same
order again first puts the clone in order and then goes on. What a job moved is read from the heads, against a snapshot
that its first attempt took before anything else; so also a job that failed or was cancelled tells what it changed.
"""

from datetime import datetime
from typing import Protocol

from attrs import frozen

from taskdock.core.job_record import BranchSeen, JobFailure, JobKind, JobResult


@frozen
class StackTool:
    """The tool that moves stacks of branches, as it was found on this host."""

    name: str
    """What it is called, e.g. `git-spice`."""
    version: str | None
    """What it calls itself (`v0.31.2`); None when there is none, or none that may be used."""
    hint: str = ""
    """Without a version: why there is none, and what to do."""

    @property
    def is_available(self) -> bool:
        """Whether the kinds that need it can run here."""
        return self.version is not None


@frozen
class JobOrder:
    """What a job shall do. `job_id` names its snapshot, so it is never used for a second job."""

    job_id: str
    repo_id: str
    kind: JobKind
    branch: str | None = None
    """Of all kinds but sync_repo, restack_repo and undo."""
    parent: str | None = None
    """Of reparent_branch, and of register_existing_branch (None: trunk)."""
    push: bool = False
    """Whether moved branches go to the remote; of undo, whether what the other job pushed is taken back there."""
    undo_of: str | None = None
    """Of undo: the job whose moves are taken back."""
    if_stacked: bool = False
    """Of register_existing_branch: where the parent is in no stack the branch is skipped, and that is no failure."""


@frozen
class JobEnd:
    """How a job ended; `failure` None is success, and `result` holds in either case."""

    result: JobResult
    failure: JobFailure | None
    branches: tuple[BranchSeen, ...] | None
    """Every branch, trunk first, then each stack from the bottom up; None when they could not be read."""
    trunk_head: str | None
    read_at: datetime
    """When the branches were read."""


class JobReport(Protocol):
    """What a job tells while it runs. An error that these raise ends the job there, and is raised by `run`."""

    async def checkpoint(self, step: str, done: int = 0, of: int = 0) -> None:
        """Tell the step that begins next, durably: it begins when this returns.

        Steps are `lock`, `preflight`, `snapshot`, `pre_sync`, `act` (with `done` of `of`) and `post_sync`.
        """
        ...

    async def progress(self, sentence: str) -> None:
        """Tell people where it stands; may be lost."""
        ...


class StackJobs(Protocol):
    """Repo jobs on the service clones of this host."""

    async def probe(self) -> StackTool:
        """Look for the tool, and at its version. Starts a process, so it is no part of a request."""
        ...

    async def run(self, order: JobOrder, report: JobReport) -> JobEnd:
        """Do the job, or go on with it after a crash; idempotent by job id, the finished parts are not done twice.

        A failure of the job is an end, not an error; of the kinds `unreachable` and `timeout` another try may help.
        Cancelling asks the tool to end, lets it finish the branch that it is at, and tells nothing: `settle` does.

        Raises `Transient` when another writer holds the clone for too long, `Permanent` when there is no clone.
        """
        ...

    async def settle(self, order: JobOrder) -> JobEnd:
        """Put the clone in order after a job that was cancelled or ran out of time, and tell what it had changed.

        Does nothing of the job itself. Idempotent. A job that never took its snapshot changed nothing. Raises as `run`.
        """
        ...
