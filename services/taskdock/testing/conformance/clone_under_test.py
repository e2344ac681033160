"""Clone under test: a store of clones with what has to be known around it, and the bench that its checks work at.

Owns: `CloneUnderTest`, and `Bench`: one repo, one task on it, and the copy of the agent that works on it.
Never: a look into the adapter, beyond the clone itself at the `path` that it tells.
Reads as: clone.py, clone_work.py -> this -> clone_repos.py, and the adapter under test.
"""

import itertools
import secrets
from collections.abc import Callable
from pathlib import Path

from attrs import field, frozen

from taskdock.ports.clone import CloneStore, TakenIn
from taskdock.testing.conformance.clone_repos import Remote, WorkCopy, head_of
from taskdock.testing.conformance.promises import Check, NotExamined

_numbers = itertools.count(1)


async def unheard(_sentence: str) -> None:
    """Take progress and do nothing with it."""


@frozen
class CloneUnderTest:
    """A store of clones, and what has to be known around it."""

    store: CloneStore
    second: Callable[[], CloneStore]
    """A fresh store over the same clones, as another process would have it."""
    folder: Path
    """Where the checks may make remotes, copies and bundles; everything in it has names never used before."""
    refusing_remote: str | None = None
    """A remote that refuses the credentials of whoever asks; None where there is none to ask."""

    def new_path(self, what: str) -> Path:
        """A path below the folder that nothing has."""
        return self.folder / f"{what}-{next(_numbers)}-{secrets.token_hex(3)}"

    def new_repo_id(self) -> str:
        """An id of a repo that was never cloned."""
        return f"repo-{secrets.token_hex(8)}"

    def refusing(self) -> str:
        """The remote that refuses. Raises `NotExamined` where there is none."""
        if self.refusing_remote is None:
            raise NotExamined("nobody refuses credentials here: give refusing_remote")
        return self.refusing_remote

    async def remote(self) -> Remote:
        """A remote with three commits on main and one more on topic."""
        remote = await Remote.make(self.new_path("remote"))
        for number in range(3):
            await remote.push("main", "history.txt", f"{number}")
        await remote.push("topic", "topic.txt", "topic")
        return remote

    async def bench(self) -> "Bench":
        """A clone of such a remote, a task whose base is pinned at main, and the copy of its agent on a branch of its own."""
        remote, repo_id = await self.remote(), self.new_repo_id()
        await self.store.clone(repo_id, str(remote.folder), unheard)
        bench = Bench(self, remote, repo_id, await remote.copy(self.new_path("agent")))
        checkout = await self.store.checkout(repo_id, bench.task_id, "main")
        checkout.bundle.unlink()
        await bench.agent.branch(bench.branch)
        return bench


@frozen
class Bench:
    """One repo, one task on it, and the copy of its agent."""

    sut: CloneUnderTest
    remote: Remote
    repo_id: str
    agent: WorkCopy
    task_id: str = field(factory=lambda: f"task-{secrets.token_hex(8)}")
    branch: str = "agents-work"

    @property
    def folder(self) -> Path:
        """Where the clone is."""
        return self.sut.store.path(self.repo_id)

    async def work(self, content: str) -> tuple[str, Path]:
        """Have the agent commit; gives the commit, and a bundle with all that it has beyond main."""
        commit = await self.agent.commit("work.txt", content)
        return commit, await self.bundle("HEAD", "--branches", "^origin/main")

    async def bundle(self, *revisions: str) -> Path:
        """Bundle revisions of the agent's copy."""
        return await self.agent.bundle(self.sut.new_path("bundle"), *revisions)

    async def take_in(self, bundle: Path | None, generation: int = 1) -> TakenIn:
        """Take a bundle in for the task."""
        return await self.sut.store.take_in(self.repo_id, self.task_id, generation, self.branch, bundle)

    async def branch_head(self) -> str | None:
        """Where the task's branch stands in the clone."""
        return await head_of(self.folder, f"refs/heads/{self.branch}")


CloneCheck = Check[CloneUnderTest]
