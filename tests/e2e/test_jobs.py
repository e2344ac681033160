"""Jobs: from the request to the end on the real app, with real git and the real git-spice, through kills and conflicts."""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from e2e.installation import Installation, see_in_repo
from e2e.world import World
from git_repos import git
from stack_fixture import GIT_SPICE, STACKED, StackRepo, copy_stacks, make_stacks, require_git_spice
from taskdock import app
from taskdock.app import Dock
from taskdock.core.errors import Conflict
from taskdock.core.job import FINAL, Job
from taskdock.core.job_record import JobErrorKind, JobKind, JobStatus

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> StackRepo:
    """Make the repository whose remote every test gets a copy of."""
    require_git_spice()
    return make_stacks(tmp_path_factory.mktemp("jobs") / "template")


@pytest.fixture
def origin(template: StackRepo, tmp_path: Path) -> StackRepo:
    """A remote with two stacks, and a colleague; the service clone of the test is the app's own."""
    return copy_stacks(template, tmp_path / "origin")


@pytest.fixture
async def dock(place: Installation) -> AsyncIterator[Dock]:
    """An installation that schedules, with the git-spice that was built here."""
    async with app.open(place.config(git_spice=GIT_SPICE)) as dock:
        yield dock


async def over(dock: Dock, job_id: str) -> Job:
    """Wait, driven by the feed, until a job is over."""
    job = await dock.job(job_id)
    return await see_in_repo(
        dock, job.repo_id, partial(dock.job, job_id), lambda job: job.at in FINAL, "over"
    )


async def done(dock: Dock, remote: str, kind: JobKind, **more: str) -> Job:
    """Ask for a job, and wait until it is completed."""
    receipt = await dock.request_job(remote, kind, **more)  # type: ignore[arg-type]
    job = await over(dock, receipt.job_id)
    assert job.status is JobStatus.COMPLETED, job
    return job


async def stacked(dock: Dock, origin: StackRepo) -> Path:
    """Add the repo and register its stacks; the service clone."""
    repo = await dock.add_repo(str(origin.remote))
    for name, parent in STACKED.items():
        await done(dock, str(origin.remote), JobKind.REGISTER_EXISTING_BRANCH, branch=name, parent=parent)
    return dock.home / "repos" / repo.repo_id


def heads(clone: Path) -> dict[str, str]:
    """The branches of the service clone that the stacks have."""
    return {name: git(clone, "rev-parse", name) for name in ("main", *STACKED)}


def stands(clone: Path, branches: Sequence[str]) -> bool:
    """Tell whether each of these branches has its parent's head in it."""
    return all(not git(clone, "rev-list", "--max-count=1", STACKED[name], f"^{name}") for name in branches)


async def test_trunk_moves_and_every_stack_follows_and_is_put_back(dock: Dock, origin: StackRepo) -> None:
    """Branches are registered and shown in the order of their stacks; a restack moves them all, its undo is exact, and can be undone."""
    clone = await stacked(dock, origin)
    view = await dock.branches(str(origin.remote))
    shown = [(one.name, one.depth) for one in view.seen.seen if one.is_tracked]
    assert shown == [("feat-a", 1), ("feat-b", 2), ("feat-c", 3), ("feat-b2", 2), ("fix-x", 1)]
    before = heads(clone)
    head = origin.advance("one")
    restack = await done(dock, str(origin.remote), JobKind.RESTACK_REPO)
    assert restack.result is not None
    assert {name: moved.new for name, moved in restack.result.changed.items()} == heads(clone)
    assert (git(clone, "rev-parse", "main"), stands(clone, list(STACKED))) == (head, True)
    assert not any(one.needs_restack for one in (await dock.branches(str(origin.remote))).seen.seen)
    undo = await over(dock, (await dock.undo_job(restack.id)).job_id)
    assert (undo.status, undo.undo_of) == (JobStatus.COMPLETED, restack.id), undo
    assert heads(clone) == before
    with pytest.raises(Conflict, match="was undone"):
        await dock.undo_job(restack.id)
    again = await over(dock, (await dock.undo_job(undo.id)).job_id)
    assert again.status is JobStatus.COMPLETED, again
    assert (git(clone, "rev-parse", "main"), stands(clone, list(STACKED))) == (head, True)


async def test_a_conflict_in_one_stack_leaves_the_others_done(dock: Dock, origin: StackRepo) -> None:
    """The branch in conflict is told with its files, what is above it is blocked, the rest moved; the next job runs at once."""
    clone = await stacked(dock, origin)
    before = heads(clone)
    origin.conflict_trunk("feat-b")
    job = await done(dock, str(origin.remote), JobKind.RESTACK_REPO)
    assert job.result is not None and job.result.is_partial
    assert dict(job.result.conflicts) == {"feat-b": ("src/feat-b.txt",)}
    assert dict(job.result.blocked) == {"feat-c": "stacked on feat-b, which is in conflict"}
    assert stands(clone, ["feat-a", "feat-b2", "fix-x"])
    after = heads(clone)
    assert (after["feat-b"], after["feat-c"]) == (before["feat-b"], before["feat-c"])
    assert git(clone, "status", "--porcelain") == ""
    events = [one.event for one in await dock.history(job.repo_id)]
    ended = next(event for event in events if event.data.get("job") == job.id and "conflicts" in event.data)
    assert (ended.kind.value, ended.data["conflicts"], ended.data["changed"]) == ("job.completed", 1, 4)
    assert (await done(dock, str(origin.remote), JobKind.SYNC_REPO)).result is not None


async def test_an_undo_over_a_branch_that_moved_touches_nothing(dock: Dock, origin: StackRepo) -> None:
    """What moved since is noticed by git; the undo ends in `diverged`, and every branch stands where it stood."""
    clone = await stacked(dock, origin)
    origin.advance("one")
    restack = await done(dock, str(origin.remote), JobKind.RESTACK_REPO)
    newer = git(clone, "commit-tree", "-p", "feat-c", "-m", "newer", "feat-c^{tree}")
    git(clone, "update-ref", "-m", "taskdock", "refs/heads/feat-c", newer)
    before = heads(clone)
    undo = await over(dock, (await dock.undo_job(restack.id)).job_id)
    assert undo.failure is not None and undo.result is not None
    assert (undo.status, undo.failure.kind, dict(undo.result.changed)) == (
        JobStatus.ERROR,
        JobErrorKind.DIVERGED,
        {},
    )
    assert "feat-c" in undo.failure.reason
    assert heads(clone) == before


async def test_jobs_of_a_repo_run_one_after_the_other(dock: Dock, origin: StackRepo) -> None:
    """Different jobs asked at once are carried out in the order in which they were asked, never two at a time."""
    await stacked(dock, origin)
    origin.advance("one")
    asked = [
        await dock.request_job(str(origin.remote), JobKind.SYNC_REPO),
        await dock.request_job(str(origin.remote), JobKind.RESTACK_SUBTREE, branch="feat-a"),
        await dock.request_job(str(origin.remote), JobKind.REBASE_BRANCH, branch="fix-x"),
    ]
    ended = [await over(dock, receipt.job_id) for receipt in asked]
    assert [job.status for job in ended] == [JobStatus.COMPLETED] * 3
    times = [time for job in ended for time in (job.started_at, job.finished_at)]
    assert times == sorted(times, key=str) and None not in times


async def test_a_job_whose_remote_is_gone_says_so(dock: Dock, origin: StackRepo) -> None:
    """The job ends in error with a reason and what to do; the branches that were seen before stay."""
    await stacked(dock, origin)
    seen = (await dock.branches(str(origin.remote))).seen
    origin.remote.rename(origin.remote.with_name("elsewhere"))
    receipt = await dock.request_job(str(origin.remote), JobKind.SYNC_REPO)
    job = await over(dock, receipt.job_id)
    assert job.failure is not None
    assert job.status is JobStatus.ERROR and job.failure.reason and job.failure.hint
    assert [one.name for one in (await dock.branches(str(origin.remote))).seen.seen] == [
        one.name for one in seen.seen
    ]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_job_whose_process_is_killed_ends_right_in_the_next_one(
    stack_world: World, origin: StackRepo, when: str
) -> None:
    """Killed before git is asked, and after it has moved everything but nobody was told: the next process ends the same job."""
    stack_world.start()
    async with stack_world.client() as dock:
        clone = await stacked(dock, origin)
        origin.advance("one")
        gate = stack_world.gate(f"stack.run.{when}")
        job = (await dock.request_job(str(origin.remote), JobKind.RESTACK_REPO)).job_id
        await stack_world.reached(gate)
        stack_world.kill()
        stack_world.open_gate(gate)
        assert (await dock.job(job)).status is JobStatus.RUNNING
        stack_world.start()
        ended = await over(dock, job)
        assert ended.status is JobStatus.COMPLETED, ended
        assert ended.result is not None and set(ended.result.changed) == {"main", *STACKED}
        assert stands(clone, list(STACKED))
        kinds = [one.event.kind.value for one in await dock.history(ended.repo_id)
                 if one.event.data.get("job") == job and one.event.kind.value != "job.step"]  # fmt: skip
        assert kinds == ["job.queued", "job.started", "job.completed"]


async def test_a_running_job_that_is_cancelled_leaves_a_clean_clone(
    stack_world: World, origin: StackRepo
) -> None:
    """It stays `running` until its clone is in order, then it is `cancelled`, tells what it moved, and another one runs."""
    stack_world.start()
    async with stack_world.client() as dock:
        clone = await stacked(dock, origin)
        origin.advance("one")
        gate = stack_world.gate("stack.run.before")
        job = (await dock.request_job(str(origin.remote), JobKind.RESTACK_REPO)).job_id
        await stack_world.reached(gate)
        receipt = await dock.cancel_job(job)
        assert receipt.status == "running"
        stack_world.open_gate(gate)
        ended = await over(dock, job)
        assert (ended.status, ended.failure) == (JobStatus.CANCELLED, None)
        assert git(clone, "status", "--porcelain") == ""
        assert (await done(dock, str(origin.remote), JobKind.RESTACK_REPO)).result is not None
        assert stands(clone, list(STACKED))
