"""Code into a sandbox and work out of it: the service's git inside a real local sandbox, with a real clone."""

import os
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CalledProcessError

import pytest
from attrs import frozen

from git_repos import commit_in, git, head_of, make_remote, refs_of
from taskdock.adapters.clone.git import GitClones
from taskdock.adapters.sandbox.local.provider import LocalSandboxes
from taskdock.core.errors import Permanent, PortError, Transient
from taskdock.ports.clone import Checkout, TakenIn
from taskdock.ports.sandbox import Exec, ExecResult, ProgramFile, SandboxRef, SandboxSpec
from taskdock.services.checkout import Identity, bundle_out, check_out, files_kept, uncommitted_files

pytestmark = pytest.mark.anyio

BRANCH = "feat/topic-1"
FILES = {"README.md": "# Demo\n", "src/app.py": "print('hello')\n", ".gitignore": "*.log\n"}


async def ignore(sentence: str) -> None:
    """Take progress and do nothing with it."""


@frozen
class Bench:
    """A task with a clone on this host and sandboxes whose homes a test can look into."""

    clones: GitClones
    sandboxes: LocalSandboxes
    root: Path

    def ref(self, generation: int = 1) -> SandboxRef:
        """Name the sandbox of a generation."""
        return SandboxRef("local", f"owner-task-1-{generation}")

    async def ensure(self, generation: int = 1) -> SandboxRef:
        """Make the sandbox of a generation."""
        ref = self.ref(generation)
        await self.sandboxes.ensure(SandboxSpec(ref, "owner", "task-1", generation))
        return ref

    def files(self, generation: int = 1) -> Path:
        """Give the folder of the checkout, as the agent sees it."""
        return next(self.root.glob(f"**/*-task-1-{generation}/home/checkout"))

    async def check_out(self, generation: int = 1, identity: Identity | None = None) -> Checkout:
        """Do what CreateSandbox does."""
        ref = await self.ensure(generation)
        checkout = await self.clones.checkout("repo-1", "task-1", "main")
        try:
            await check_out(self.sandboxes, ref, checkout, BRANCH, identity)
        finally:
            checkout.bundle.unlink()
        return checkout

    async def collect(self, generation: int = 1) -> TakenIn | None:
        """Do what CollectWork does; None when there was nothing new."""
        known = await self.clones.known_heads("repo-1", "task-1")
        bundle = await bundle_out(self.sandboxes, self.ref(generation), known, into=self.root)
        taken = await self.clones.take_in("repo-1", "task-1", generation, BRANCH, bundle)
        if bundle is None:
            return None
        bundle.unlink()
        return taken

    async def left(self, generation: int = 1) -> tuple[str, ...]:
        """Ask what is in the sandbox alone."""
        return await uncommitted_files(self.sandboxes, self.ref(generation))

    async def kept(self, generation: int = 1) -> int:
        """Count the uncommitted files that came out."""
        return await files_kept(self.sandboxes, self.ref(generation))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Give a task on a cloned repo; its sandboxes are removed in the end."""
    remote = make_remote(tmp_path / "remote.git", FILES, commits=3)
    clones = GitClones(tmp_path / "clones")
    await clones.clone("repo-1", str(remote), ignore)
    sandboxes = LocalSandboxes(tmp_path / "sandboxes", "here", lambda: datetime.now(UTC))
    bench = Bench(clones, sandboxes, tmp_path)
    yield bench
    for generation in (1, 2):
        await sandboxes.destroy(bench.ref(generation), "owner")


async def test_code_goes_in(bench: Bench) -> None:
    """A fresh checkout stands on the task's branch at its base, with the whole history and no way back to the remote."""
    checkout = await bench.check_out()
    files = bench.files()
    assert git(files, "symbolic-ref", "HEAD") == f"refs/heads/{BRANCH}"
    assert head_of(files, "HEAD") == checkout.head == head_of(files, "refs/taskdock/base")
    assert git(files, "status", "--porcelain") == ""
    assert git(files, "rev-list", "--count", "HEAD") == "3"
    assert (files / "src/app.py").read_text() == "print('hello')\n"
    assert git(files, "remote") == ""
    assert not (files / ".git/hooks").exists()
    assert not (files.parent / ".taskdock/checkout.bundle").exists()
    assert git(files, "rev-parse", "--show-toplevel") == str(files)
    assert "worktree" not in (files / ".git/config").read_text()


async def test_identity_is_written_into_the_checkout(bench: Bench) -> None:
    """Commits of the agent carry the identity that was given, also one that looks like an option."""
    await bench.check_out(identity=Identity("--ada", "ada@example.org"))
    assert git(bench.files(), "config", "--local", "user.name") == "--ada"
    assert git(bench.files(), "config", "--local", "user.email") == "ada@example.org"


async def test_finished_checkout_is_left_alone(bench: Bench) -> None:
    """Checking out again touches nothing: not the agent's branch, commits, nor uncommitted work."""
    await bench.check_out()
    files = bench.files()
    git(files, "checkout", "--quiet", "-b", "elsewhere")
    work = commit_in(files, {"a.txt": "a"})
    (files / "README.md").write_text("changed")
    await bench.check_out()
    assert head_of(files, "HEAD") == work
    assert git(files, "status", "--porcelain") == " M README.md"


class Killed(BaseException):
    """What a SIGKILL between two calls looks like from inside."""


class CutOff:
    """The real access to a sandbox, cut off before its `steps_max`-th call, as by a SIGKILL of the service."""

    def __init__(self, sandboxes: LocalSandboxes, steps_max: int) -> None:
        self._sandboxes = sandboxes
        self._steps_left = steps_max

    def _step(self) -> None:
        self._steps_left -= 1
        if self._steps_left < 0:
            raise Killed

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        """Pass a command on, or be dead."""
        self._step()
        return await self._sandboxes.exec(ref, command)

    async def put_files(self, ref: SandboxRef, files: Sequence[ProgramFile]) -> None:
        """Pass files on, or be dead."""
        self._step()
        await self._sandboxes.put_files(ref, files)

    async def get_file(self, ref: SandboxRef, path: str) -> bytes:
        """Pass a file on, or be dead."""
        self._step()
        return await self._sandboxes.get_file(ref, path)

    ensure_service = LocalSandboxes.ensure_service
    endpoint = LocalSandboxes.endpoint
    stop_service = LocalSandboxes.stop_service


async def test_killed_before_any_step_of_the_checkout(bench: Bench) -> None:
    """Wherever the first attempt ends, the next one makes a whole checkout."""
    ref = await bench.ensure()
    checkout = await bench.clones.checkout("repo-1", "task-1", "main")
    steps = 0
    for steps in range(100):
        await bench.sandboxes.destroy(ref, "owner")
        await bench.ensure()
        try:
            await check_out(CutOff(bench.sandboxes, steps), ref, checkout, BRANCH)
            break
        except Killed:
            await check_out(bench.sandboxes, ref, checkout, BRANCH)
        files = bench.files()
        assert head_of(files, f"refs/heads/{BRANCH}") == checkout.head
        assert git(files, "status", "--porcelain") == ""
        assert {path.name for path in files.iterdir()} == {
            ".git",
            ".gitignore",
            "README.md",
            "history.txt",
            "src",
        }
    assert steps > 8


async def test_files_of_somebody_are_not_overwritten(bench: Bench) -> None:
    """A folder with files and no repository is not ours to fill: Permanent, and the files stay."""
    await bench.check_out()
    files = bench.files()
    git(files, "config", "core.bare", "false")
    (files / ".git").rename(files.parent / "moved")
    with pytest.raises(Permanent, match="no git repository"):
        await bench.check_out()
    assert (files / "README.md").exists()
    with pytest.raises(Permanent, match="no git repository any more"):
        await bench.collect()


async def test_bundle_that_is_not_what_it_says(bench: Bench, tmp_path: Path) -> None:
    """A bundle without the promised commit, or one that is none, makes no checkout; the right one does afterwards."""
    ref = await bench.ensure()
    checkout = await bench.clones.checkout("repo-1", "task-1", "main")
    with pytest.raises(Permanent, match="does not hold the commit"):
        await check_out(bench.sandboxes, ref, Checkout(checkout.bundle, "0" * 40, checkout.ref), BRANCH)
    (tmp_path / "bad").write_text("no bundle")
    with pytest.raises(Transient, match="in the sandbox"):
        await check_out(bench.sandboxes, ref, Checkout(tmp_path / "bad", checkout.head, checkout.ref), BRANCH)
    with pytest.raises(Transient):
        await check_out(bench.sandboxes, ref, checkout, "no..branch")
    await check_out(bench.sandboxes, ref, checkout, BRANCH)
    assert head_of(bench.files(), "HEAD") == checkout.head


async def test_nothing_new_comes_out(bench: Bench) -> None:
    """An untouched checkout gives no bundle, leaves nothing behind, and makes no branch in the clone."""
    await bench.check_out()
    before = refs_of(bench.files())
    assert await bench.collect() is None
    assert refs_of(bench.files()) == before
    assert await bench.left() == ()
    assert head_of(bench.clones.path("repo-1"), f"refs/heads/{BRANCH}") is None


async def test_commits_come_out_and_go_into_the_next_sandbox(bench: Bench) -> None:
    """Commits and branches of a sandbox reach the clone, and the next generation begins where this one stood."""
    await bench.check_out()
    files = bench.files()
    git(files, "checkout", "--quiet", "-b", "side")
    commit_in(files, {"side.txt": "side"})
    git(files, "checkout", "--quiet", BRANCH)
    first = commit_in(files, {"a.txt": "a"})
    assert await bench.collect() == TakenIn(head=first, branch_moved=True)
    assert await bench.collect() is None
    second = commit_in(files, {"b.txt": "b"})
    assert await bench.collect() == TakenIn(head=second, branch_moved=True)
    checkout = await bench.check_out(2)
    assert checkout.head == second == head_of(bench.files(2), BRANCH)
    third = commit_in(bench.files(2), {"c.txt": "c"})
    assert await bench.collect(2) == TakenIn(head=third, branch_moved=True)
    assert head_of(bench.clones.path("repo-1"), f"refs/heads/{BRANCH}") == third


async def test_uncommitted_work_survives_its_sandbox(bench: Bench) -> None:
    """Changed, new, staged, deleted and executable files come back in the next sandbox, uncommitted as they were."""
    await bench.check_out()
    files = bench.files()
    commit_in(files, {"gone.txt": "gone", "staged.txt": "1"})
    (files / "README.md").write_text("changed")
    (files / "new.txt").write_text("new")
    (files / "new.txt").chmod(0o755)
    (files / "staged.txt").write_text("2")
    git(files, "add", "staged.txt")
    (files / "gone.txt").unlink()
    (files / "noise.log").write_text("ignored")
    status = git(files, "status", "--porcelain")
    assert (await bench.collect()) is not None
    assert git(files, "status", "--porcelain") == status
    assert await bench.left() == ()
    assert await bench.kept() == 4
    assert await bench.collect() is None
    await bench.check_out(2)
    again = bench.files(2)
    assert set(git(again, "status", "--porcelain").splitlines()) == {
        " M README.md",
        " D gone.txt",
        " M staged.txt",
        "?? new.txt",
    }
    assert (again / "README.md").read_text() == "changed"
    assert (again / "new.txt").stat().st_mode & 0o100
    assert not (again / "noise.log").exists()


async def test_an_edit_right_after_the_checkout_is_seen(bench: Bench) -> None:
    """A change that keeps a file's size, made in the second in which git noted the file, comes out all the same."""
    await bench.check_out()
    files = bench.files()
    readme, moment = files / "README.md", 1_700_000_000
    old = readme.read_text()
    git(files, "config", "core.trustctime", "false")
    os.utime(readme, (moment, moment))
    git(files, "update-index", "--refresh")
    os.utime(files / ".git/index", (moment, moment))
    readme.write_text("x" * len(old))
    os.utime(readme, (moment, moment))
    await bench.collect()
    assert (await bench.kept(), await bench.left()) == (1, ())
    await bench.check_out(2)
    assert (bench.files(2) / "README.md").read_text() == "x" * len(old)


async def test_work_that_was_cleaned_up_does_not_come_back(bench: Bench) -> None:
    """A dirty tree that was collected and then undone is not restored into the next sandbox."""
    await bench.check_out()
    (bench.files() / "README.md").write_text("changed")
    await bench.collect()
    git(bench.files(), "checkout", "--quiet", "README.md")
    assert await bench.kept() == 1
    assert (await bench.collect()) is not None
    assert await bench.kept() == 0
    assert await bench.collect() is None
    await bench.check_out(2)
    assert git(bench.files(2), "status", "--porcelain") == ""


async def test_stash_and_detached_head_come_out(bench: Bench) -> None:
    """What an agent stashed, and commits that no branch names, are in the clone as well."""
    await bench.check_out()
    files = bench.files()
    (files / "README.md").write_text("stashed")
    git(files, "stash", "--quiet")
    git(files, "checkout", "--quiet", "--detach")
    work = commit_in(files, {"a.txt": "a"})
    assert await bench.collect() == TakenIn(head=work, branch_moved=True)
    kept = refs_of(bench.clones.path("repo-1"), "refs/taskdock/task-1/")
    assert head_of(files, "refs/stash") in kept.values()


async def test_branch_without_a_commit(bench: Bench) -> None:
    """An agent on an orphan branch still gets its other branches collected, and its files named."""
    await bench.check_out()
    files = bench.files()
    work = commit_in(files, {"a.txt": "a"})
    git(files, "checkout", "--quiet", "--orphan", "fresh")
    assert await bench.collect() == TakenIn(head=work, branch_moved=True)
    assert "a.txt" in await bench.left()


async def test_what_git_cannot_take_along_is_named(bench: Bench) -> None:
    """Repositories inside the checkout, with or without a commit, are named as left behind; the rest is taken."""
    await bench.check_out()
    files = bench.files()
    for name in ("vendored", "begun"):
        (files / name).mkdir()
        git(files / name, "init", "--quiet")
    commit_in(files / "vendored", {"x.txt": "x"})
    (files / "begun" / "y.txt").write_text("y")
    (files / "kept.txt").write_text("kept")
    assert (await bench.collect()) is not None
    assert {name.rstrip("/") for name in await bench.left()} == {"vendored", "begun"}
    dirty = "refs/taskdock/task-1/1-dirty"
    assert git(bench.clones.path("repo-1"), "show", f"{dirty}:kept.txt") == "kept"


async def test_changes_after_the_bundle_are_named(bench: Bench) -> None:
    """Files that changed between collecting and asking are in the sandbox alone, at most 20 of them are named."""
    await bench.check_out()
    await bench.collect()
    (bench.files() / "README.md").write_text("changed")
    assert await bench.left() == ("README.md",)
    for number in range(30):
        (bench.files() / f"n{number}.txt").write_text("new")
    assert len(await bench.left()) == 20
    await bench.collect()
    assert await bench.left() == ()


async def test_collecting_disturbs_nothing(bench: Bench) -> None:
    """The agent's index, files and HEAD are the same after a collection, in the middle of a merge too."""
    await bench.check_out()
    files = bench.files()
    git(files, "checkout", "--quiet", "-b", "other")
    commit_in(files, {"README.md": "theirs"})
    git(files, "checkout", "--quiet", BRANCH)
    ours = commit_in(files, {"README.md": "ours"})
    with pytest.raises(CalledProcessError):
        git(files, "merge", "--quiet", "other")
    index = (files / ".git/index").read_bytes()
    assert await bench.collect() == TakenIn(head=ours, branch_moved=True)
    assert (files / ".git/index").read_bytes() == index
    assert git(files, "status", "--porcelain") == "UU README.md"
    assert (files / ".git/MERGE_HEAD").exists()


async def test_killed_before_any_step_of_collecting(bench: Bench) -> None:
    """Wherever a collection is cut off, also with lock files left lying about, the next one brings everything."""
    await bench.check_out()
    files = bench.files()
    known = await bench.clones.known_heads("repo-1", "task-1")
    commit_in(files, {"a.txt": "a"})
    (files / "README.md").write_text("changed")
    steps = 0
    for steps in range(100):
        try:
            await bundle_out(CutOff(bench.sandboxes, steps), bench.ref(), known, into=bench.root)
            break
        except Killed:
            for name in ("taskdock-index.lock", "taskdock-out.bundle.lock"):
                (files / ".git" / name).touch()
        bundle = await bundle_out(bench.sandboxes, bench.ref(), known, into=bench.root)
        assert bundle is not None
        assert len(git(files, "bundle", "list-heads", str(bundle)).splitlines()) == 3
        assert list((files / ".git").glob("taskdock-out*")) == []
    assert steps > 8


def planted_that_ran(folder: Path) -> list[str]:
    """Name the programs that left their mark."""
    return sorted(path.name for path in folder.glob("ran-*"))


async def test_hooks_of_the_agent_do_not_run_for_us(bench: Bench, tmp_path: Path) -> None:
    """Hooks and a monitor that an agent sets up in its checkout are not started by our git inside."""
    await bench.check_out()
    files = bench.files()
    hooks = files / ".git/hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-index-change", "pre-auto-gc"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran-{name}\n")
        (hooks / name).chmod(0o755)
    (files / "README.md").write_text("changed")
    git(files, "config", "core.fsmonitor", f"touch {tmp_path}/ran-fsmonitor")
    await bench.collect()
    await bench.left()
    assert planted_that_ran(tmp_path) == []


async def test_no_sandbox(bench: Bench) -> None:
    """Without a sandbox there is an error of the port, and no half result."""
    checkout = await bench.clones.checkout("repo-1", "task-1", "main")
    with pytest.raises(PortError):
        await check_out(bench.sandboxes, bench.ref(), checkout, BRANCH)
    with pytest.raises(PortError):
        await bundle_out(bench.sandboxes, bench.ref(), ())
