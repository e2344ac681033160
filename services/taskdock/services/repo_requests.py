"""Repo requests: register a remote, start its clone again, let go of it, and find the repo that somebody means.

Owns: `RepoRequests`.
Never: git; the clone is made in the background.
Reads as: task_requests.py and the dock stand on this -> Request -> Stepper.submit.
"""

import attrs
from attrs import frozen

from taskdock.core import inputs, values
from taskdock.core.errors import NotFound
from taskdock.core.repo import Repo
from taskdock.services.receipts import RepoReceipt
from taskdock.services.requests import Request
from taskdock.services.stepping import Decision
from taskdock.services.workbench import DEFAULT_WORKSPACE, Workbench


@frozen
class RepoRequests(Workbench):
    """What may be asked about repos."""

    async def add_repo(
        self,
        remote: str,
        *,
        name: str | None = None,
        key: str | None = None,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> RepoReceipt:
        """Register a remote and clone it in the background; adding it again starts a failed clone again."""
        add = self._add(remote, workspace, name)
        request = Request("add_repo", RepoReceipt, workspace, key, attrs.asdict(add))
        if (replayed := await request.replay(self.reads)) is not None:
            return replayed
        return await request.submit(self.stepper, self.reads, [(add.repo_id, add)], _of_repo)

    async def retry_repo(
        self, repo: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> RepoReceipt:
        """Start a failed clone again."""
        request = Request("retry_repo", RepoReceipt, workspace, key, {"repo": repo})
        if (replayed := await request.replay(self.reads)) is not None:
            return replayed
        found = await self._resolve(repo, workspace)
        if not isinstance(found, Repo):
            raise NotFound(f"There is no repo {repo!r}. Add it with its remote.")
        return await request.submit(self.stepper, self.reads, [(found.id, inputs.RetryRepo())], _of_repo)

    async def remove_repo(
        self, repo: str, *, key: str | None = None, workspace: str = DEFAULT_WORKSPACE
    ) -> RepoReceipt:
        """Let go of a repo; removing twice is one removal, or another look at a clone that had to stay.

        Conflict while a task of it is live or a job of it is not over. Its clone is removed in the background when all that
        is in it is on the remote and no archived task may come back to it; else it stays, and `Repo.failure` says why and
        where. Adding the remote again brings the repo back.
        """
        request = Request("remove_repo", RepoReceipt, workspace, key, {"repo": repo})
        if (replayed := await request.replay(self.reads)) is not None:
            return replayed
        found = await self._resolve(repo, workspace)
        if not isinstance(found, Repo):
            raise NotFound(f"There is no repo {repo!r}: nothing is to be removed.")
        return await request.submit(self.stepper, self.reads, [(found.id, inputs.RemoveRepo())], _of_repo)

    async def _resolve(self, repo: str, workspace: str) -> Repo | inputs.AddRepo:
        """The repo that was named; for a remote that nobody registered, the command that registers it."""
        if values.is_remote(repo):
            add = self._add(repo, workspace, None)
            found = await self.reads.record("repo", add.repo_id)
            return found.record if found and isinstance(found.record, Repo) else add
        found = await self.reads.record("repo", repo)
        record = found.record if found else await self.reads.repo_named(workspace, repo)
        if not isinstance(record, Repo) or record.workspace != workspace:
            raise NotFound(f"There is no repo {repo!r}: add it first, or name it by its remote.")
        return record

    def _add(self, remote: str, workspace: str, name: str | None) -> inputs.AddRepo:
        remote = values.check_remote(remote)
        chosen = values.repo_name(remote) if name is None else values.check_title(name)
        return inputs.AddRepo(values.repo_id(workspace, remote), workspace, chosen, remote)


def _of_repo(decision: Decision) -> RepoReceipt:
    repo = decision.record(Repo, decision.slice.boundary)
    return RepoReceipt(repo.id, repo.status.value, decision.change.version, position=0)
