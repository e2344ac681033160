"""Stack under test: repo jobs with the clones that they work in, and the bench that their checks work at.

Owns: `StackUnderTest`, `StackBench` (one repo with stacked branches), and the reports that the checks give to jobs.
Never: a look into the adapter, beyond the clone itself at the `path` that its store tells.
Reads as: stack.py, stack_ends.py, stack_undo.py -> this -> clone_repos.py, and the adapter under test.

    main <- lower <- upper      a stack of two
    main <- side                a stack of one
    main <- loose               which no stack has
"""

import itertools
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from attrs import field, frozen

from taskdock.core.job_record import JobKind, Moved
from taskdock.ports.clone import CloneStore
from taskdock.ports.stack import JobEnd, JobOrder, StackJobs
from taskdock.testing.conformance.clone_repos import GitRefused, Remote, WorkCopy, git, head_of, refs_of
from taskdock.testing.conformance.clone_under_test import unheard
from taskdock.testing.conformance.promises import Check, NotExamined, require

_numbers = itertools.count(1)
PARENTS = {"lower": "main", "upper": "lower", "side": "main"}
"""Each stacked branch and its parent, parents first."""
BRANCHES = "refs/heads/"
_LEFT_OVER = ("rebase-merge", "rebase-apply", "MERGE_HEAD", "CHERRY_PICK_HEAD")


@frozen
class Steps:
    """A report that remembers what it was told."""

    told: list[str] = field(factory=list)
    counts: list[tuple[int, int]] = field(factory=list)

    async def checkpoint(self, step: str, done: int = 0, of: int = 0) -> None:
        """Remember the step."""
        self.told.append(step)
        self.counts.append((done, of))

    async def progress(self, sentence: str) -> None:
        """Take a sentence and do nothing with it."""


@frozen
class AtStep(Steps):
    """A report that does something when a step is told, before it begins."""

    step: str = field(kw_only=True)
    act: Callable[[], Awaitable[None]] = field(kw_only=True)

    async def checkpoint(self, step: str, done: int = 0, of: int = 0) -> None:
        """Remember the step, and act if it is the one."""
        await super().checkpoint(step, done, of)
        if step == self.step:
            await self.act()


class Cut(Exception):
    """Ends an attempt of a job at a step, as its caller does who is not wanted any more."""


def cut_at(step: str) -> AtStep:
    """A report that ends the attempt when this step would begin."""

    async def cut() -> None:
        raise Cut

    return AtStep(step=step, act=cut)


@frozen
class StackUnderTest:
    """Repo jobs, and what has to be known around them."""

    jobs: StackJobs
    second: Callable[[], StackJobs]
    """Fresh ones on the same clones, as another process would have them."""
    clones: CloneStore
    """The store of the clones that the jobs work in; it must keep its own promises."""
    folder: Path
    """Where the checks may make remotes and copies; everything in it has names never used before."""

    def new_path(self, what: str) -> Path:
        """A path below the folder that nothing has."""
        return self.folder / f"{what}-{next(_numbers)}-{secrets.token_hex(3)}"

    async def bench(self) -> "StackBench":
        """A clone of a remote with the branches above, registered by the jobs themselves. NotExamined without the tool."""
        tool = await self.jobs.probe()
        if not tool.is_available:
            raise NotExamined(f"the tool that moves stacks is missing: {tool.hint}")
        remote = await Remote.make(self.new_path("remote"))
        for number in range(2):
            await remote.push("main", f"base-{number}.txt", f"{number}\n")
        work = await remote.copy(self.new_path("work"))
        for name, parent in {**PARENTS, "loose": "main"}.items():
            await work.branch(name, parent)
            await work.commit(f"{name}.txt", f"{name}\n")
        await git(work.folder, "push", "--quiet", "origin", "--all")
        await git(remote.author.folder, "fetch", "--quiet", "origin")
        bench = StackBench(self, remote, f"repo-{secrets.token_hex(8)}")
        await self.clones.clone(bench.repo_id, str(remote.folder), unheard)
        for name, parent in PARENTS.items():
            end = await bench.run(JobKind.REGISTER_EXISTING_BRANCH, branch=name, parent=parent)
            require(
                end.failure is None and await bench.head(name) == await remote.head(name),
                "register_existing_branch takes a branch of the remote into the stack",
                f"{name} stands at {await bench.head(name)}, with {end.failure}",
                "make the branch where the remote has it, and note its parent",
            )
        return bench


@frozen
class StackBench:
    """One repo with its stacks."""

    sut: StackUnderTest
    remote: Remote
    repo_id: str

    @property
    def folder(self) -> Path:
        """Where the clone is."""
        return self.sut.clones.path(self.repo_id)

    def order(
        self, kind: JobKind, branch: str | None = None, parent: str | None = None, *, push: bool = False
    ) -> JobOrder:
        """A new job on this repo."""
        return JobOrder(f"job-{secrets.token_hex(8)}", self.repo_id, kind, branch, parent, push)

    def undo(self, job: JobOrder, *, push: bool = False) -> JobOrder:
        """A new job that takes back what another one moved."""
        return JobOrder(
            f"job-{secrets.token_hex(8)}", self.repo_id, JobKind.UNDO, push=push, undo_of=job.job_id
        )

    async def run(
        self, kind: JobKind, branch: str | None = None, parent: str | None = None, *, push: bool = False
    ) -> JobEnd:
        """Run a new job to its end."""
        return await self.sut.jobs.run(self.order(kind, branch, parent, push=push), Steps())

    async def heads(self) -> dict[str, str]:
        """Every branch of the clone."""
        refs = await refs_of(self.folder, BRANCHES)
        return {name.removeprefix(BRANCHES): head for name, head in refs.items()}

    async def head(self, branch: str) -> str | None:
        """Where a branch of the clone stands."""
        return await head_of(self.folder, BRANCHES + branch)

    async def moved_since(self, before: dict[str, str]) -> dict[str, Moved]:
        """What stands elsewhere than it did."""
        after = await self.heads()
        names = sorted({*before, *after})
        moves = {name: Moved(before.get(name), after.get(name)) for name in names}
        return {name: one for name, one in moves.items() if one.old != one.new}

    async def advance(self) -> str:
        """Trunk moves on the remote, by what clashes with nothing; gives its head."""
        return await self.remote.push("main", f"trunk-{next(_numbers)}.txt", "trunk\n")

    async def clash(self, branch: str) -> str:
        """Trunk moves on the remote, by what clashes with a branch; gives its head."""
        return await self.remote.push("main", f"{branch}.txt", "trunk has it otherwise\n")

    async def collect(self, branch: str) -> str:
        """Work of an agent on a branch comes into the clone, which moves it; gives the commit."""
        task_id, start = f"task-{secrets.token_hex(8)}", str(await self.head(branch))
        checkout = await self.sut.clones.checkout(self.repo_id, task_id, branch)
        folder = self.sut.new_path("agent")
        await git(self.sut.folder, "clone", "--quiet", "--no-local", "--", str(self.folder), str(folder))
        agent = WorkCopy(folder)
        await git(folder, "fetch", "--quiet", str(checkout.bundle), checkout.ref)
        checkout.bundle.unlink()
        await agent.branch(branch, start)
        commit = await agent.commit(f"work-{next(_numbers)}.txt", "work of an agent\n")
        bundle = await agent.bundle(self.sut.new_path("bundle"), "HEAD", branch, f"^{start}")
        await self.sut.clones.take_in(self.repo_id, task_id, 1, branch, bundle)
        require(
            await self.head(branch) == commit, "The store of the clones moves a branch to what it takes in"
        )
        return commit

    async def require_stacked(self, *names: str) -> None:
        """Each of these branches stands on its parent."""
        for name in names or tuple(PARENTS):
            merged = await git(self.folder, "merge-base", name, PARENTS[name])
            require(
                merged == await self.head(PARENTS[name]),
                "A restacked branch stands on the head of its parent",
                f"{name} does not stand on {PARENTS[name]}",
                "judge by where the branches stand, not by what the tool says",
            )

    async def require_order(self) -> None:
        """Nothing half-done is left in the clone."""
        git_dir = self.folder / ".git"
        left = [path.name for path in git_dir.rglob("*.lock")]
        left += [name for name in _LEFT_OVER if (git_dir / name).exists()]
        left += (await git(self.folder, "status", "--porcelain")).splitlines()
        with suppress(GitRefused):
            left.append(await git(self.folder, "symbolic-ref", "--quiet", "HEAD"))
        require(
            not left,
            "A job leaves the clone in order: no lock, no rebase, a clean work tree that is detached",
            f"it left {left}",
            "put the clone in order before each end",
        )

    async def require_changed(self, end: JobEnd, before: dict[str, str]) -> None:
        """The end tells what moved."""
        moved = await self.moved_since(before)
        require(
            dict(end.result.changed) == moved,
            "Every end of a job tells what it changed, read from the heads",
            f"{sorted(moved)} moved, and it tells of {dict(end.result.changed)}",
            "compare the heads with a snapshot from before the first attempt, whatever the end is",
        )


StackCheck = Check[StackUnderTest]
