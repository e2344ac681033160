"""Job requests: what may be asked of a repo's branches; each is queued as a job and answered with its id.

Owns: `JobRequests`.
Never: git; names are checked, and whether there is a stack tool at all.
Reads as: task_requests.py stands on this -> Request -> Stepper.submit.
"""

from attrs import frozen

from taskdock.core import inputs, values
from taskdock.core.errors import InvalidCommand, NotFound, Unsupported
from taskdock.core.job import Job
from taskdock.core.job_record import NEEDS_STACK_TOOL, JobKind
from taskdock.core.repo import Repo
from taskdock.core.repo_jobs import joined
from taskdock.services.receipts import JobReceipt
from taskdock.services.repo_requests import RepoRequests
from taskdock.services.requests import Request
from taskdock.services.stepping import Decision
from taskdock.services.workbench import DEFAULT_WORKSPACE


@frozen
class JobRequests(RepoRequests):
    """What may be asked about branches. An equal job that is still queued is joined: its id is the answer."""

    async def request_job(  # noqa: PLR0913 - a job is all of this
        self,
        repo: str,
        kind: JobKind,
        *,
        branch: str | None = None,
        parent: str | None = None,
        push: bool = False,
        requested_by: str | None = None,
        key: str | None = None,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> JobReceipt:
        """Queue a job of this kind. `branch` and `parent` where the kind has them; `push` pushes what it moves.

        Unsupported, with how to get it, for a kind that needs the stack tool where there is none.
        """
        if kind is JobKind.UNDO:
            raise InvalidCommand("What is undone is a job: use undo_job.", field="kind")
        found = await self._repo_in(repo, workspace)
        branch, parent = _checked(kind, branch, parent, found)
        if kind in NEEDS_STACK_TOOL and not self.offer.stack_tool:
            raise Unsupported(
                f"{kind.value} needs git-spice, and there is none: install it (https://abhinav.github.io/git-spice), or "
                "name it in the config as git_spice. Syncing and registering work without."
            )
        command = inputs.RequestJob(
            self.clock.new_id("job"), kind, branch, parent, push=push, requested_by=requested_by
        )
        return await self._submit(command, found.id, key, workspace)

    async def undo_job(
        self,
        job_id: str,
        *,
        push: bool = False,
        requested_by: str | None = None,
        key: str | None = None,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> JobReceipt:
        """Put back what a job moved; Conflict when it moved nothing, was undone, or is too long ago.

        What it pushed is put back on the remote only with `push`, and nothing at all without.
        """
        job = await self._job_in(workspace, job_id)
        if job.result is not None and job.result.pushed and not push:
            raise InvalidCommand(
                f"The job {job_id!r} pushed {', '.join(sorted(job.result.pushed))}: undo it with push, which puts them back "
                "on the remote, too.",
                field="push",
            )
        command = inputs.RequestJob(
            self.clock.new_id("job"), JobKind.UNDO, push=push, requested_by=requested_by, undo_of=job.id
        )
        return await self._submit(command, job.repo_id, key, workspace)

    async def cancel_job(
        self,
        job_id: str,
        *,
        force: bool = False,
        key: str | None = None,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> JobReceipt:
        """End a job: a queued one at once, a running one when its clone is clean again.

        Conflict for one that is over; what it moved can be undone. Conflict, too, for one that tasks wait for, and it
        says which; with `force` they fail.
        """
        job = await self._job_in(workspace, job_id)
        asked = {"job": job_id, **({"force": True} if force else {})}
        request = Request("cancel_job", JobReceipt, workspace, key, asked)
        if (replayed := await request.replay(self.reads)) is not None:
            return replayed
        command = inputs.CancelJob(job_id, force)
        return await request.submit(
            self.stepper, self.reads, [(job.repo_id, command)], lambda decision: _of_job(decision, job_id)
        )

    async def _submit(
        self, command: inputs.RequestJob, repo_id: str, key: str | None, workspace: str
    ) -> JobReceipt:
        asked: dict[str, object] = {
            "repo": repo_id,
            "kind": command.kind.value,
            "branch": command.branch,
            "parent": command.parent,
        }
        asked |= {"push": command.push, "undo_of": command.undo_of}
        request = Request("request_job", JobReceipt, workspace, key, asked)
        if (replayed := await request.replay(self.reads)) is not None:
            return replayed
        return await request.submit(
            self.stepper, self.reads, [(repo_id, command)], lambda decision: _requested(decision, command)
        )

    async def _repo_in(self, repo: str, workspace: str) -> Repo:
        found = await self._resolve(repo, workspace)
        if not isinstance(found, Repo):
            raise NotFound(f"There is no repo {repo!r}: add it first.")
        return found

    async def _job_in(self, workspace: str, job_id: str) -> Job:
        found = await self.reads.record("job", job_id)
        if found is None or not isinstance(found.record, Job) or found.record.workspace != workspace:
            raise NotFound(f"There is no job {job_id!r} in the workspace {workspace!r}.")
        return found.record


def _checked(
    kind: JobKind, branch: str | None, parent: str | None, repo: Repo
) -> tuple[str | None, str | None]:
    """The names as the kind has them; InvalidCommand for one that is missing, too many, or the trunk."""
    of_all = (JobKind.SYNC_REPO, JobKind.RESTACK_REPO)
    with_parent = (JobKind.REPARENT_BRANCH, JobKind.REGISTER_EXISTING_BRANCH)
    if (branch is None) != (kind in of_all):
        words = "has no branch" if kind in of_all else "needs a branch"
        raise InvalidCommand(f"{kind.value} {words}.", field="branch")
    if parent is not None and kind not in with_parent:
        raise InvalidCommand(f"{kind.value} has no parent.", field="parent")
    if parent is None and kind is JobKind.REPARENT_BRANCH:
        raise InvalidCommand(f"{kind.value} needs the branch to move onto.", field="parent")
    if branch is None:
        return None, None
    branch = values.check_branch(branch)
    parent = None if parent is None else values.check_branch(parent, field="parent")
    if branch in (repo.trunk, parent):
        raise InvalidCommand(
            f"{branch!r} is the trunk, or its own parent: name another branch.", field="branch"
        )
    return branch, parent


def _requested(decision: Decision, command: inputs.RequestJob) -> JobReceipt:
    """The receipt of the job that was queued, or of the one that was joined."""
    if decision.change.ignored is None:
        return _of_job(decision, command.job_id)
    job = joined((one for one in decision.slice.records if isinstance(one, Job)), command)
    assert job is not None
    return _of_job(decision, job.id)


def _of_job(decision: Decision, job_id: str) -> JobReceipt:
    job = decision.record(Job, job_id)
    return JobReceipt(job.id, job.repo_id, job.status.value, decision.change.version, position=0)
