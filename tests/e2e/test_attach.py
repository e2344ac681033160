"""Attach: tasks on branches that are there already, with the real git-spice: seen lately, not seen yet, or nowhere."""

import time
from pathlib import Path

import pytest

from e2e.installation import Installation, rest, see, until_happened
from e2e.work import checkout_of
from e2e.world import World
from git_repos import commit_in, git, head_of, make_remote, work_copy
from stack_fixture import GIT_SPICE, require_git_spice
from taskdock import app
from taskdock.app import Dock, TaskView
from taskdock.core.errors import BranchTaken, InvalidCommand
from taskdock.core.job_record import JobKind, JobStatus

pytestmark = pytest.mark.anyio

PROMPT = "Add a note"


@pytest.fixture
def stacked(tmp_path: Path) -> Path:
    """A remote with a branch `feat` beside its trunk."""
    require_git_spice()
    remote = make_remote(tmp_path / "remote")
    push(remote, tmp_path / "ada", "feat")
    return remote


def push(remote: Path, copy: Path, branch: str) -> str:
    """Push a new branch with one commit, as a colleague does; its head."""
    work = work_copy(remote, copy)
    git(work, "checkout", "--quiet", "-b", branch)
    head = commit_in(work, {f"{branch}.txt": "theirs\n"}, f"{branch}: theirs")
    git(work, "push", "--quiet", "origin", branch)
    return head


async def with_job(dock: Dock, task_id: str) -> TaskView:
    """Wait until the task names the job that it waits for."""
    return await see(
        dock, task_id, lambda view: view.task.step is not None and view.task.step.job_id is not None, "a job"
    )


async def done(dock: Dock, task_id: str) -> TaskView:
    """Wait until the first turn's commit is in the service clone."""
    return await see(dock, task_id, lambda view: view.task.head is not None, "collected work")


def clone_of(home: Path) -> Path:
    """The service clone."""
    return next(path for path in (home / "repos").glob("repo-*") if path.is_dir())


async def test_unseen_branch_is_registered_by_a_job_first(place: Installation, stacked: Path) -> None:
    """The create returns at once in `init_attach_branch`, shows the job, and goes on to running on that branch."""
    gate = place.gate("stack.run.before")
    theirs = git(stacked, "rev-parse", "feat")
    async with app.open(place.config(git_spice=GIT_SPICE)) as dock:
        began = time.perf_counter()
        receipt = await dock.create_task(repo=str(stacked), on_branch="feat", prompt=PROMPT)
        assert time.perf_counter() - began < 2.0
        assert receipt.status == "init_attach_branch"
        waiting = await with_job(dock, receipt.task_id)
        assert waiting.task.step is not None
        job = await dock.job(waiting.task.step.job_id or "")
        assert (job.kind, job.branch, [one.task_id for one in job.waiting]) == (
            JobKind.REGISTER_EXISTING_BRANCH, "feat", [receipt.task_id],
        )  # fmt: skip
        assert waiting.waits_for == f"{job.id}, which registers feat"
        gate.unlink()
        view = await rest(dock, receipt.task_id, "running")
        assert (await dock.job(job.id)).status is JobStatus.COMPLETED
        view = await done(dock, receipt.task_id)
        assert (view.task.branch, view.task.base, view.task.moved) == ("feat", "feat", False)
        branches = await dock.branches(str(stacked))
    clone = clone_of(place.home)
    assert head_of(clone, "feat") == view.task.head != theirs
    assert git(clone, "merge-base", theirs, "feat") == theirs
    assert [(one.name, one.is_tracked) for one in branches.seen.seen] == [("main", False), ("feat", True)]


async def test_branch_that_is_nowhere_fails_the_task_until_it_appears(
    place: Installation, stacked: Path, tmp_path: Path
) -> None:
    """The task ends in error with the job's reason; pushed and retried, it goes on to running."""
    async with app.open(place.config(git_spice=GIT_SPICE)) as dock:
        receipt = await dock.create_task(repo=str(stacked), on_branch="later", prompt=PROMPT)
        failed = await rest(dock, receipt.task_id, "error")
        assert failed.task.failure is not None
        assert failed.task.failure.step == "init_attach_branch"
        said = "The branch 'later' cannot be worked on: neither the remote nor the clone has a branch later"
        assert failed.task.failure.reason.startswith(said)
        assert [tab.status.value for tab in failed.tabs] == ["error"]
        push(stacked, tmp_path / "bob", "later")
        await dock.retry_task(receipt.task_id)
        await rest(dock, receipt.task_id, "running")
        jobs = await dock.jobs(str(stacked))
    assert [job.status.value for job in jobs] == ["completed", "error"]


async def test_branch_that_was_seen_lately_needs_no_job(place: Installation, stacked: Path) -> None:
    """After a sync the task starts at once; the branch is its own, and the trunk is nobody's."""
    async with app.open(place.config(git_spice=GIT_SPICE)) as dock:
        repo = await dock.add_repo(str(stacked))
        job = await dock.request_job(repo.repo_id, JobKind.SYNC_REPO)
        await until_happened(dock, repo.repo_id, "job.completed")
        receipt = await dock.create_task(repo=repo.repo_id, on_branch="feat", prompt=PROMPT)
        assert receipt.status == "init_enqueue_provision"
        with pytest.raises(BranchTaken):
            await dock.create_task(repo=repo.repo_id, on_branch="feat", prompt="Me, too")
        with pytest.raises(InvalidCommand, match="is the trunk"):
            await dock.create_task(repo=repo.repo_id, on_branch="main", prompt="On trunk")
        with pytest.raises(InvalidCommand, match="give one or the other"):
            await dock.create_task(repo=repo.repo_id, on_branch="feat", base="main", prompt="Both")
        view = await done(dock, receipt.task_id)
        assert [one.id for one in await dock.jobs(repo.repo_id)] == [job.job_id]
    assert head_of(clone_of(place.home), "feat") == view.task.head


async def test_task_that_is_killed_frees_its_job(place: Installation, stacked: Path) -> None:
    """Whoever waits no more is told nothing, and its branch is free for the next task."""
    gate = place.gate("stack.run.before")
    async with app.open(place.config(git_spice=GIT_SPICE)) as dock:
        receipt = await dock.create_task(repo=str(stacked), on_branch="feat", prompt=PROMPT)
        waiting = await with_job(dock, receipt.task_id)
        job_id = (waiting.task.step.job_id if waiting.task.step else None) or ""
        assert (await dock.kill_task(receipt.task_id)).status == "killed"
        async for _ in dock.watch(repo=receipt.repo_id):
            if not (await dock.job(job_id)).waiting:
                break
        gate.unlink()
        again = await dock.create_task(repo=str(stacked), on_branch="feat", prompt=PROMPT)
        await rest(dock, again.task_id, "running")


@pytest.mark.parametrize("gate", ["stack.run.before", "stack.run.after", "clones.clone.after"])
async def test_kill_while_it_waits_loses_nothing(stack_world: World, stacked: Path, gate: str) -> None:
    """SIGKILL before the job, after what it did, or while the clone is made: the next process goes on to running."""
    reached = stack_world.gate(gate)
    stack_world.start()
    async with stack_world.client() as dock:
        receipt = await dock.create_task(repo=str(stacked), on_branch="feat", prompt=PROMPT)
        await stack_world.reached(reached)
        assert (await dock.task(receipt.task_id)).task.status.value == "init_attach_branch"
        stack_world.kill()
        stack_world.open_gate(reached)
        stack_world.start()
        await stack_world.rest(dock, receipt.task_id, "running")
        jobs = await dock.jobs(str(stacked))
    assert [(job.kind, job.status, job.waiting) for job in jobs] == [
        (JobKind.REGISTER_EXISTING_BRANCH, JobStatus.COMPLETED, ()),
    ]  # fmt: skip


async def test_first_work_is_taken_into_the_stack_and_a_restack_is_shown(
    place: Installation, stacked: Path, tmp_path: Path
) -> None:
    """The branch of a new task is registered by a job of its own; a restack moves it, which the task says, until an undo."""
    async with app.open(place.config(git_spice=GIT_SPICE)) as dock:
        receipt = await dock.create_task(repo=str(stacked), prompt=PROMPT)
        view = await done(dock, receipt.task_id)
        branch, head = view.task.branch or "", view.task.head
        await until_happened(dock, receipt.repo_id or "", "job.completed")
        (job,) = await dock.jobs(str(stacked))
        assert (job.kind, job.branch, job.requested_by) == (
            JobKind.REGISTER_EXISTING_BRANCH, branch, receipt.task_id,
        )  # fmt: skip
        work = work_copy(stacked, tmp_path / "eve")
        commit_in(work, {"trunk.txt": "more\n"}, "trunk: more")
        git(work, "push", "--quiet", "origin", "main")
        restack = await dock.request_job(str(stacked), JobKind.RESTACK_REPO)
        moved = await see(dock, receipt.task_id, lambda view: view.task.moved, "a moved branch")
        clone = clone_of(place.home)
        assert (moved.task.moved_by, moved.task.moved_from) == (restack.job_id, head)
        assert (moved.task.moved_to, moved.task.head) == (head_of(clone, branch), head)
        assert head_of(checkout_of(place.home, receipt.task_id, 1), "HEAD") == head
        await dock.undo_job(restack.job_id)
        back = await see(dock, receipt.task_id, lambda view: not view.task.moved, "its branch where it was")
        assert (back.task.moved_to, head_of(clone, branch)) == (None, head)
        kinds = [one.event.kind.value for one in await dock.history(receipt.task_id)]
    assert kinds.count("branch.moved") == 2
