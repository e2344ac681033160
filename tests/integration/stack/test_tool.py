"""The tool: found by what it says, refused when it may lose commits, and run so that nothing of a user gets in its way."""

import os
from pathlib import Path

import anyio
import pytest

from git_repos import git, head_of
from stack_fixture import GIT_SPICE, REPO, AtStep, Report, StackRepo, spice
from taskdock.adapters.clone.git import GitClones
from taskdock.adapters.clone.stack.jobs import GitStackJobs
from taskdock.adapters.clone.stack.run import JobLimits
from taskdock.core.errors import Transient
from taskdock.core.job_record import JobErrorKind, JobKind
from taskdock.ports.stack import JobOrder

pytestmark = pytest.mark.anyio


def program(path: Path, text: str) -> Path:
    """Make a program of a few lines of shell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def found_by(root: Path, *, tool_path: Path | None = None, search: Path | None = None) -> GitStackJobs:
    """Make the adapter with a search path of its own."""
    places = f"{search}{os.pathsep}{os.environ['PATH']}" if search else str(root / "none")
    return GitStackJobs(GitClones(root / "clones"), tool_path=tool_path, variables={"PATH": places})


async def test_real_one(stacks: StackRepo) -> None:
    """The one that was built here says its version."""
    found = await stacks.jobs().probe()
    assert (found.name, found.version, found.is_available) == ("git-spice", "v0.31.2", True)


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("git-spice v0.26.0", "v0.26.0"),
        ("git-spice v1.0.0 (abc 2027-01-01)", "v1.0.0"),
        ("git-spice dev", "dev"),
        ("git-spice v0.25.9", None),
        ("GPL Ghostscript 10.00.0 (2022-09-21)", None),
        ("", None),
    ],
)
async def test_what_it_says_counts(tmp_path: Path, said: str, version: str | None) -> None:
    """A program is git-spice when its version says so, 0.26 or newer; whatever is refused is named, with the way out."""
    path = program(tmp_path / "bin" / "gs", f"echo '{said}'")
    found = await found_by(tmp_path, tool_path=path).probe()
    assert found.version == version
    assert version is not None or str(path) in found.hint
    assert version is not None or "install git-spice 0.26 or newer" in found.hint


async def test_search_path(tmp_path: Path) -> None:
    """Without a path it is looked for by both of its names, past a Ghostscript and past one that is too old."""
    program(tmp_path / "bin" / "git-spice", "echo 'git-spice v0.18.0'")
    assert (
        "0.18.0, which may lose commits" in (await found_by(tmp_path, search=tmp_path / "bin").probe()).hint
    )
    program(tmp_path / "bin" / "gs", "echo 'git-spice v0.30.1'")
    assert (await found_by(tmp_path, search=tmp_path / "bin").probe()).version == "v0.30.1"
    nowhere = await found_by(tmp_path).probe()
    assert (nowhere.is_available, nowhere.hint.startswith("git-spice is not installed")) == (False, True)


async def test_one_that_fails(tmp_path: Path) -> None:
    """A program that says the right words and fails is none."""
    path = program(tmp_path / "bin" / "git-spice", "echo git-spice v0.31.2; exit 1")
    assert not (await found_by(tmp_path, tool_path=path).probe()).is_available


async def test_config_of_a_user(stacks: StackRepo, tmp_path: Path) -> None:
    """No `rebase.updateRefs`, signature, hook, alias or missing identity of a user's or the clone's config gets in."""
    settings = (
        "[rebase]\nupdateRefs = true\nautoStash = true\n[commit]\ngpgSign = true\n[gpg]\nprogram = /bin/false\n"
        "[user]\nuseConfigOnly = true\n[core]\nhooksPath = /nonexistent\n[gc]\nauto = 1\n"
    )
    (tmp_path / "gitconfig").write_text(settings)
    with (stacks.clone / ".git" / "config").open("a") as file:
        file.write(settings)
    stacks.new_here("bystander", "feat-b")
    bystander = stacks.heads()["bystander"]
    stacks.advance("one")
    variables = {**os.environ, "GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"), "HOME": str(tmp_path)}
    end = await stacks.run(JobKind.RESTACK_REPO, jobs=stacks.jobs(variables=variables))
    assert end.failure is None
    assert stacks.contains("main", "feat-c")
    assert stacks.heads()["bystander"] == bystander
    assert git(stacks.clone, "log", "-1", "--format=%an %cn", "feat-c") == "Ada Example Taskdock"


async def test_trunk_that_git_spice_has_wrong(stacks: StackRepo) -> None:
    """A git-spice that was told another trunk is told the right one."""
    spice(stacks.clone, "repo", "init", "--trunk", "fix-x", "--remote", "origin")
    stacks.advance("one")
    end = await stacks.run(JobKind.RESTACK_SUBTREE, branch="feat-a")
    assert end.failure is None
    assert stacks.contains("main", "feat-c")


async def test_work_left_in_the_clone(stacks: StackRepo) -> None:
    """Whatever stands in the service clone's work tree when a job begins is in nobody's way."""
    (stacks.clone / "src" / "mod1.txt").write_text("left behind\n")
    (stacks.clone / "untracked.txt").write_text("left behind\n")
    git(stacks.clone, "checkout", "--quiet", "-f", "feat-b")
    (stacks.clone / ".git" / "index.lock").touch()
    (stacks.clone / ".git" / "packed-refs.lock").touch()
    (stacks.clone / ".git" / "refs" / "heads" / "feat-a.lock").touch()
    stacks.advance("one")
    report = Report([], [])
    end = await stacks.jobs().run(JobOrder("job-1", REPO, JobKind.RESTACK_REPO), report)
    assert end.failure is None
    assert stacks.disorder() == []
    swept = "index.lock, packed-refs.lock, refs/heads/feat-a.lock"
    assert report.sentences[0].endswith(swept)


async def test_rebase_left_in_the_clone(stacks: StackRepo) -> None:
    """A rebase in conflict that a crash left is ended, and its branch is where it was."""
    stacks.conflict_trunk("fix-x")
    await stacks.run(JobKind.SYNC_REPO)
    before = stacks.heads()["fix-x"]
    failed = spice(stacks.clone, "branch", "restack", "--branch", "fix-x")
    assert failed.returncode == 1
    assert "rebase-merge" in stacks.disorder()
    end = await stacks.run(JobKind.RESTACK_SUBTREE, job_id="job-2", branch="feat-a")
    assert end.failure is None
    assert stacks.heads()["fix-x"] == before
    assert stacks.disorder() == []


async def test_work_collected_over_a_rebase_that_was_left(stacks: StackRepo) -> None:
    """What an agent brought between a crash in the middle of a rebase and the next job stays on its branch."""
    stacks.conflict_trunk("fix-x")
    await stacks.run(JobKind.SYNC_REPO)
    assert spice(stacks.clone, "branch", "restack", "--branch", "fix-x").returncode == 1
    brought = stacks.move_here("fix-x", {"new.txt": "newer work\n"})
    end = await stacks.run(JobKind.RESTACK_SUBTREE, job_id="job-2", branch="feat-a")
    assert end.failure is None
    assert stacks.heads()["fix-x"] == brought
    assert stacks.disorder() == []


async def test_time_out(stacks: StackRepo) -> None:
    """A git-spice that takes too long is ended, the clone is in order, and the end says that time ran out."""
    slow = program(stacks.root / "slow", f'[ "$2" = restack ] && sleep 600\nexec {GIT_SPICE} "$@"')
    limits = JobLimits(tool_seconds=5.0, tool_branch_seconds=0.0)
    stacks.advance("one")
    end = await stacks.run(JobKind.RESTACK_REPO, jobs=stacks.jobs(slow, limits=limits))
    assert end.failure is not None
    assert end.failure.kind is JobErrorKind.TIMEOUT
    assert "longer than 5 s" in end.failure.reason
    assert set(end.result.changed) == {"main"}
    assert stacks.disorder() == []


async def test_cancel_lets_the_branch_finish(stacks: StackRepo) -> None:
    """A cancelled job ends git-spice alone; its git finishes, so nothing is left to mend, and settling tells what moved."""
    stacks.advance("one")
    order = JobOrder("job-1", REPO, JobKind.RESTACK_REPO)
    with anyio.CancelScope() as scope:
        report = AtStep([], [], "act", scope.cancel)
        await stacks.jobs().run(order, report)
    assert scope.cancelled_caught
    end = await stacks.jobs().settle(order)
    assert end.failure is None
    assert set(end.result.changed) == {"main"}
    assert stacks.disorder() == []


async def test_cancel_in_the_middle_of_a_rebase(stacks: StackRepo) -> None:
    """Cancelled while git rebases, a job leaves neither a rebase nor a lock file, even before it is settled."""
    order = JobOrder("job-1", REPO, JobKind.RESTACK_REPO)
    stacks.advance("one")
    with anyio.CancelScope() as scope:

        class Impatient(Report):
            async def progress(self, sentence: str) -> None:
                await super().progress(sentence)
                scope.cancel()

        await stacks.jobs().run(order, Impatient([], []))
    assert scope.cancelled_caught
    assert [left for left in stacks.disorder() if not left.startswith("ref:")] == []
    end = await stacks.jobs().settle(order)
    assert "feat-a" in end.result.changed
    again = await stacks.run(JobKind.RESTACK_REPO, job_id="job-2")
    assert again.failure is None
    assert stacks.contains("main", "feat-c")


async def test_clone_that_somebody_holds(stacks: StackRepo) -> None:
    """A clone that another writer holds for too long is told as that, to be tried again."""
    clones = GitClones(stacks.root / "clones")
    jobs = stacks.jobs(limits=JobLimits(lock_seconds=0.3))
    async with clones.locked(REPO, 10.0):
        with pytest.raises(Transient, match="another job held the clone"):
            await jobs.run(JobOrder("job-1", REPO, JobKind.SYNC_REPO), Report([], []))


@pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="there is no /proc here to look at descriptors"
)
async def test_lock_is_kept_by_git_spice(stacks: StackRepo) -> None:
    """The lock of the clone goes along to git-spice, so it is held as long as anything of a job still runs."""
    seen = stacks.root / "seen"
    lock = stacks.root / "clones" / f"{REPO}.lock"
    look = f'ls -l /proc/self/fd | grep -q {lock} && touch {seen}\nexec {GIT_SPICE} "$@"'
    spy = program(stacks.root / "spy", look)
    await stacks.run(JobKind.SYNC_REPO, jobs=stacks.jobs(spy))
    assert seen.exists()
    assert head_of(stacks.clone, "main") is not None
