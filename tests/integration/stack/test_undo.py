"""Undo: exact, all or none, and refused when anything has moved."""

import pytest

from git_repos import git, head_of, refs_of
from stack_fixture import REPO, Cut, Report, StackRepo, cut_at
from taskdock.adapters.clone.stack.run import JobLimits
from taskdock.core.errors import Permanent
from taskdock.core.job_record import JobErrorKind, JobKind
from taskdock.ports.stack import JobOrder

pytestmark = pytest.mark.anyio


async def test_undo_is_exact(stacks: StackRepo) -> None:
    """Every head, trunk's too, and the stack's own data are what they were to the byte; doing it again undoes nothing."""
    heads, data = stacks.heads(), stacks.data()
    stacks.conflict_trunk("feat-b")
    done = await stacks.run(JobKind.RESTACK_REPO)
    end = await stacks.run(JobKind.UNDO, job_id="job-2", undo_of="job-1")
    assert end.failure is None
    assert (stacks.heads(), stacks.data()) == (heads, data)
    back = {name: (move.new, move.old) for name, move in end.result.changed.items()}
    assert back == {name: (move.old, move.new) for name, move in done.result.changed.items()}
    again = await stacks.run(JobKind.UNDO, job_id="job-3", undo_of="job-1")
    assert (again.failure, again.result.changed) == (None, {})


async def test_undo_of_a_reparent(stacks: StackRepo) -> None:
    """A branch that was moved stands on its old parent again, and a restack afterwards finds nothing to do."""
    await stacks.run(JobKind.REPARENT_BRANCH, branch="feat-b", parent="fix-x")
    end = await stacks.run(JobKind.UNDO, job_id="job-2", undo_of="job-1")
    assert end.branches is not None
    assert {branch.name: branch.parent for branch in end.branches}["feat-b"] == "feat-a"
    again = await stacks.run(JobKind.RESTACK_REPO, job_id="job-3")
    assert (again.failure, again.result.changed) == (None, {})


async def test_undo_of_a_registration(stacks: StackRepo) -> None:
    """A branch that a job brought into the clone is gone from it, and the remote still has it."""
    heads, data = stacks.heads(), stacks.data()
    await stacks.run(JobKind.REGISTER_EXISTING_BRANCH, branch="loose")
    await stacks.run(JobKind.UNDO, job_id="job-2", undo_of="job-1")
    assert (stacks.heads(), stacks.data()) == (heads, data)
    assert head_of(stacks.remote, "loose") is not None


async def test_undo_after_a_move(stacks: StackRepo) -> None:
    """One branch that an agent moved since refuses the whole undo: `diverged`, by name, and nothing is touched."""
    stacks.advance("one")
    await stacks.run(JobKind.RESTACK_REPO)
    stacks.move_here("feat-b", {"new.txt": "newer work\n"})
    heads, data = stacks.heads(), stacks.data()
    end = await stacks.run(JobKind.UNDO, job_id="job-2", undo_of="job-1")
    assert end.failure is not None
    assert end.failure.kind is JobErrorKind.DIVERGED
    assert "feat-b" in end.failure.reason
    assert (stacks.heads(), stacks.data()) == (heads, data)


async def test_undo_after_another_job(stacks: StackRepo) -> None:
    """Stacks that another job changed since are not turned back under it."""
    await stacks.run(JobKind.REPARENT_BRANCH, branch="feat-c", parent="fix-x")
    await stacks.run(JobKind.REGISTER_EXISTING_BRANCH, job_id="job-2", branch="loose")
    heads, data = stacks.heads(), stacks.data()
    end = await stacks.run(JobKind.UNDO, job_id="job-3", undo_of="job-1")
    assert end.failure is not None
    assert end.failure.kind is JobErrorKind.DIVERGED
    assert (stacks.heads(), stacks.data()) == (heads, data)


async def test_undo_after_a_sync(stacks: StackRepo) -> None:
    """A sync that only moved trunk on is no reason to refuse; trunk stays where the remote has it."""
    heads = stacks.heads()
    stacks.advance("one")
    await stacks.run(JobKind.RESTACK_REPO)
    head = stacks.advance("two")
    await stacks.run(JobKind.SYNC_REPO, job_id="job-2")
    end = await stacks.run(JobKind.UNDO, job_id="job-3", undo_of="job-1")
    assert end.failure is None
    assert stacks.heads() == {**heads, "main": head}


async def test_undo_of_what_is_checked_out_elsewhere(stacks: StackRepo) -> None:
    """A branch that a person has checked out meanwhile is not pulled away under him."""
    stacks.advance("one")
    await stacks.run(JobKind.RESTACK_REPO)
    git(stacks.clone, "worktree", "add", "--quiet", str(stacks.root / "elsewhere"), "feat-a")
    heads = stacks.heads()
    end = await stacks.run(JobKind.UNDO, job_id="job-2", undo_of="job-1")
    assert end.failure is not None
    assert end.failure.kind is JobErrorKind.USER_ERROR
    assert str(stacks.root / "elsewhere") in end.failure.reason
    assert stacks.heads() == heads


async def test_undo_that_was_cut_off(stacks: StackRepo) -> None:
    """An undo that had put back some of the branches when it was killed puts back the rest."""
    heads, data = stacks.heads(), stacks.data()
    stacks.advance("one")
    await stacks.run(JobKind.RESTACK_REPO)
    git(stacks.clone, "update-ref", "refs/heads/feat-b", heads["feat-b"])
    end = await stacks.run(JobKind.UNDO, job_id="job-2", undo_of="job-1")
    assert end.failure is None
    assert (stacks.heads(), stacks.data()) == (heads, data)


async def test_undo_too_late(stacks: StackRepo) -> None:
    """The snapshot of a job that ended too long ago is gone, and an undo says how long it is kept."""
    stacks.advance("one")
    await stacks.run(JobKind.RESTACK_REPO)
    assert {ref.split("/")[2] for ref in refs_of(stacks.clone, "refs/repo-jobs/")} == {"job-1"}
    jobs = stacks.jobs(limits=JobLimits(snapshot_days=-1))
    end = await stacks.run(JobKind.UNDO, job_id="job-2", undo_of="job-1", jobs=jobs)
    assert end.failure is None
    assert refs_of(stacks.clone, "refs/repo-jobs/") == {}
    again = await stacks.run(JobKind.UNDO, job_id="job-3", undo_of="job-1")
    assert again.failure is not None
    assert "kept for 7 days" in again.failure.reason


async def test_settle_tells_what_was_changed(stacks: StackRepo) -> None:
    """After a job that was cut off, settling tells what it had moved, and that can be undone."""
    heads, data = stacks.heads(), stacks.data()
    stacks.advance("one")
    done = await stacks.run(JobKind.RESTACK_REPO)
    order = JobOrder(job_id="job-1", repo_id=REPO, kind=JobKind.RESTACK_REPO)
    end = await stacks.jobs().settle(order)
    assert end.result.changed == done.result.changed
    never = await stacks.jobs().settle(JobOrder(job_id="job-9", repo_id=REPO, kind=JobKind.SYNC_REPO))
    assert never.result.changed == {}
    await stacks.run(JobKind.UNDO, job_id="job-2", undo_of="job-1")
    assert (stacks.heads(), stacks.data()) == (heads, data)


async def test_work_collected_between_two_attempts(stacks: StackRepo) -> None:
    """What an agent brought between two attempts of a job is none of the job's moves, and an undo keeps it."""
    order = JobOrder(job_id="job-1", repo_id=REPO, kind=JobKind.RESTACK_REPO)
    with pytest.raises(Cut):
        await stacks.jobs().run(order, cut_at("pre_sync"))
    brought = stacks.move_here("feat-a", {"new.txt": "newer work\n"})
    end = await stacks.jobs().run(order, Report([], []))
    assert end.failure is None
    assert set(end.result.changed) == {"feat-b", "feat-b2", "feat-c"}
    await stacks.run(JobKind.UNDO, job_id="job-2", undo_of="job-1")
    assert stacks.heads()["feat-a"] == brought


async def test_no_clone(stacks: StackRepo) -> None:
    """A repo without a clone on this host is said to have none."""
    order = JobOrder(job_id="job-1", repo_id="repo-2", kind=JobKind.SYNC_REPO)
    with pytest.raises(Permanent, match="no clone of repo-2"):
        await stacks.jobs().run(order, Report([], []))
