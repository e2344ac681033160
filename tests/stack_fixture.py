"""Stack fixture: a bare remote, a service clone and a colleague's clone, with two stacks of branches.

Owns: `StackRepo` with its scenarios, and how it is made and copied.
Never: a network, the user's config, or a git-spice that was not built here.
Reads as: tests of repo jobs -> this -> git, git-spice.

    main <- feat-a <- feat-b <- feat-c     two commits each
            feat-a <- feat-b2
    main <- fix-x
    main <- loose                          which no stack has
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import pytest
from attrs import frozen

from architecture.source_tree import REPOSITORY
from git_repos import commit_in, git, head_of, make_remote, refs_of, work_copy
from taskdock.adapters.clone.git import GitClones
from taskdock.adapters.clone.stack.jobs import GitStackJobs
from taskdock.adapters.clone.stack.run import JobLimits
from taskdock.core.job_record import JobKind
from taskdock.ports.stack import JobEnd, JobOrder
from taskdock.testing.conformance.clone_repos import ENVIRONMENT

GIT_SPICE = REPOSITORY / ".tools" / "git-spice"
REPO = "repo-1"
STACKED = {"feat-a": "main", "feat-b": "feat-a", "feat-c": "feat-b", "feat-b2": "feat-a", "fix-x": "main"}
"""Each tracked branch with its parent, parents first."""

_SPICE_ENVIRONMENT = {**ENVIRONMENT, "XDG_CONFIG_HOME": "/nonexistent"}


@frozen
class Report:
    """A report that remembers; `steps` is what was told durably, `sentences` the rest."""

    steps: list[str]
    sentences: list[str]

    async def checkpoint(self, step: str, done: int = 0, of: int = 0) -> None:
        """Remember a step, with its count when it has one."""
        self.steps.append(f"{step} {done}/{of}" if of else step)

    async def progress(self, sentence: str) -> None:
        """Remember a sentence."""
        self.sentences.append(sentence)


class Cut(Exception):
    """Ends an attempt of a job, as a crash would."""


@frozen
class AtStep(Report):
    """A report that does something when a step begins."""

    step: str
    act: Callable[[], object]

    async def checkpoint(self, step: str, done: int = 0, of: int = 0) -> None:
        """Remember the step, and act when it is the one."""
        await super().checkpoint(step, done, of)
        if step == self.step:
            self.act()


def cut_at(step: str) -> AtStep:
    """Make a report that ends the attempt when a step would begin."""

    def cut() -> None:
        raise Cut

    return AtStep([], [], step, cut)


@frozen
class StackRepo:
    """One repository in three places, below `root`."""

    root: Path

    @property
    def remote(self) -> Path:
        """The bare remote."""
        return self.root / "remote.git"

    @property
    def clone(self) -> Path:
        """The service clone."""
        return self.root / "clones" / REPO

    @property
    def other(self) -> Path:
        """The clone of a colleague, who pushes."""
        return self.root / "other"

    def jobs(
        self,
        tool: Path | None = GIT_SPICE,
        *,
        limits: JobLimits | None = None,
        variables: Mapping[str, str] = os.environ,
    ) -> GitStackJobs:
        """Make the adapter; `tool` None has it find none."""
        clones = GitClones(self.root / "clones", variables=variables)
        path = tool or self.root / "no-git-spice"
        return GitStackJobs(clones, tool_path=path, limits=limits, variables=variables)

    async def run(
        self, kind: JobKind, *, job_id: str = "job-1", jobs: GitStackJobs | None = None, **order: object
    ) -> JobEnd:
        """Run one job to its end."""
        given = JobOrder(job_id=job_id, repo_id=REPO, kind=kind, **order)  # type: ignore[arg-type]
        return await (jobs or self.jobs()).run(given, Report([], []))

    def heads(self) -> dict[str, str]:
        """Every branch of the service clone."""
        prefix = "refs/heads/"
        return {ref.removeprefix(prefix): head for ref, head in refs_of(self.clone, prefix).items()}

    def data(self) -> str | None:
        """The stack's own data."""
        return refs_of(self.clone, "refs/spice/").get("refs/spice/data")

    def contains(self, lower: str, upper: str) -> bool:
        """Tell whether a branch of the service clone has another in its history."""
        return not git(self.clone, "rev-list", "--max-count=1", lower, f"^{upper}")

    def files(self, branch: str) -> list[str]:
        """Every file of a branch of the service clone."""
        return git(self.clone, "ls-tree", "-r", "--name-only", f"refs/heads/{branch}").splitlines()

    def advance(self, name: str) -> str:
        """Move trunk on the remote by a commit that clashes with nothing; gives its head."""
        return self.push_trunk({f"src/trunk-{name}.txt": f"{name}\n"}, f"trunk: {name}")

    def conflict_trunk(self, branch: str) -> str:
        """Move trunk on the remote by a commit that clashes with the first one of `branch`."""
        return self.push_trunk({f"src/{branch}.txt": "trunk version\n"}, f"trunk: clashes with {branch}")

    def merge_ff(self, branch: str) -> str:
        """Merge `branch` into trunk on the remote."""
        self._on_trunk()
        git(self.other, "merge", "--quiet", "--no-ff", "--message", f"Merge {branch}", f"origin/{branch}")
        return self._push()

    def squash(self, branch: str) -> str:
        """Merge `branch` into trunk on the remote as one commit of its own."""
        self._on_trunk()
        git(self.other, "merge", "--quiet", "--squash", f"origin/{branch}")
        git(self.other, "commit", "--quiet", "--message", f"{branch} (squashed)")
        return self._push()

    def push_trunk(self, files: Mapping[str, str], message: str) -> str:
        """Commit on trunk and push."""
        self._on_trunk()
        commit_in(self.other, files, message)
        return self._push()

    def push_branch(self, branch: str, files: Mapping[str, str]) -> str:
        """Commit on a branch of the remote, new ones starting at trunk, as an agent or a colleague does."""
        git(self.other, "fetch", "--quiet", "origin")
        start = f"origin/{branch}" if head_of(self.other, f"origin/{branch}") else "origin/main"
        git(self.other, "checkout", "--quiet", "--detach", start)
        commit = commit_in(self.other, files, f"{branch}: more")
        git(self.other, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return commit

    def amend_lower(self, branch: str) -> str:
        """Give a branch of the service clone another last commit, so that what is stacked on it is stale."""
        return self.move_here(branch, {f"src/{branch}.txt": f"{branch} amended\n"}, amend=True)

    def move_here(self, branch: str, files: Mapping[str, str], *, amend: bool = False) -> str:
        """Move a branch of the service clone by a commit, as collected work does."""
        copy = work_copy(self.clone, self.root / f"copy-{branch}", branch)
        commit = commit_in(copy, files, f"{branch}: more")
        if amend:
            tree = git(copy, "rev-parse", "HEAD^{tree}")
            commit = git(copy, "commit-tree", "-p", f"{commit}~2", "-m", f"{branch}: amended", tree)
        git(self.clone, "fetch", "--quiet", str(copy), commit)
        git(self.clone, "update-ref", "-m", "taskdock", f"refs/heads/{branch}", commit)
        shutil.rmtree(copy)
        return commit

    def new_here(self, branch: str, start: str = "main") -> str:
        """Make a branch in the service clone, without a commit of its own."""
        git(
            self.clone,
            "update-ref",
            "-m",
            "taskdock",
            f"refs/heads/{branch}",
            head_of(self.clone, start) or "",
        )
        return head_of(self.clone, branch) or ""

    def disorder(self) -> list[str]:
        """Name everything that a job must not leave behind in the clone: locks, rebases, files, a branch checked out."""
        git_dir = self.clone / ".git"
        found = [path.name for path in git_dir.rglob("*.lock")]
        found += [
            name for name in ("rebase-merge", "rebase-apply", "MERGE_HEAD") if (git_dir / name).exists()
        ]
        found += git(self.clone, "status", "--porcelain").splitlines()
        head = (git_dir / "HEAD").read_text().strip()
        return found + ([head] if head.startswith("ref:") else [])

    def _on_trunk(self) -> None:
        git(self.other, "fetch", "--quiet", "origin")
        git(self.other, "checkout", "--quiet", "-B", "main", "origin/main")

    def _push(self) -> str:
        git(self.other, "push", "--quiet", "origin", "main")
        return git(self.other, "rev-parse", "main")


def spice(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real git-spice in a clone, as it is; any exit code is a result."""
    order = [str(GIT_SPICE), *arguments, "--no-prompt"]
    return subprocess.run(
        order,
        cwd=folder,
        env=_SPICE_ENVIRONMENT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def require_git_spice() -> None:
    """Skip where git-spice could not be built."""
    if not GIT_SPICE.exists():
        pytest.skip("git-spice is not built here; it needs Go 1.26 (make git-spice)")


def make_stacks(root: Path, *, bulk: int = 0) -> StackRepo:
    """Make the repository below `root`, tracked by git-spice where it was built; `bulk` adds so many stacks of one."""
    repo = StackRepo(root)
    base = {f"src/mod{number}.txt": f"line {number}\n" for number in (1, 2, 3)}
    shared = {"shared.txt": "".join(f"{number}\n" for number in range(1, 22))}
    make_remote(repo.remote, {**base, **shared}, commits=2)
    work = work_copy(repo.remote, root / "work")
    bulked = {f"bulk-{number}": "main" for number in range(1, bulk + 1)}
    for name, parent in {**STACKED, "loose": "main", **bulked}.items():
        git(work, "checkout", "--quiet", "-b", name, parent)
        commit_in(work, {f"src/{name}.txt": f"{name} one\n"}, f"{name}: first")
        commit_in(work, {f"src/{name}.txt": f"{name} one\n{name} two\n"}, f"{name}: second")
    git(work, "push", "--quiet", "origin", "--all")
    shutil.rmtree(work)
    anyio.run(_clone, repo)
    for name in (*STACKED, *bulked):
        git(repo.clone, "update-ref", f"refs/heads/{name}", f"refs/remotes/origin/{name}")
    if GIT_SPICE.exists():
        _track(repo, {**STACKED, **bulked})
    work_copy(repo.remote, repo.other)
    return repo


def copy_stacks(template: StackRepo, root: Path) -> StackRepo:
    """Copy a repository to `root`, which must not exist; the copies know each other, not the template."""
    shutil.copytree(template.root, root, symlinks=True)
    repo = StackRepo(root)
    for folder in (repo.clone, repo.other):
        git(folder, "config", "remote.origin.url", str(repo.remote))
    return repo


async def _clone(repo: StackRepo) -> None:
    async def ignore(_sentence: str) -> None:
        """Take progress and do nothing with it."""

    await GitClones(repo.root / "clones").clone(REPO, str(repo.remote), ignore)


def _track(repo: StackRepo, parents: Mapping[str, str]) -> None:
    spice(repo.clone, "repo", "init", "--trunk", "main", "--remote", "origin").check_returncode()
    for name, parent in parents.items():
        spice(repo.clone, "branch", "track", name, "--base", parent).check_returncode()
