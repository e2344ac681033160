"""Store jobs: what a store must keep of a repo's jobs and branches.

Owns: `JOB_CHECKS`.
Never: a git; jobs are decided by the core, and end as their outcomes say.
Reads as: store.py -> these -> `Reads.jobs`, `Reads.repo_of`, the slice and the snapshot of a repo.
"""

from datetime import timedelta

from taskdock.core import inputs
from taskdock.core.branches import Branches
from taskdock.core.intents import CloneRepo, RunRepoJob
from taskdock.core.job import Job
from taskdock.core.job_record import BranchSeen, JobErrorKind, JobFailure, JobKind, JobResult, Moved
from taskdock.testing.conformance.promises import require
from taskdock.testing.conformance.store_under_test import NOW, WORKSPACE, StoreCheck, StoreUnderTest, add_repo

_HEAD = "c" * 40
_SEEN = (
    BranchSeen("main", _HEAD),
    BranchSeen("naïve/ブランチ", "d" * 40, parent="main", is_tracked=True, depth=1, ahead=2, conflicts_with_trunk=True),
)  # fmt: skip
_RESULT = JobResult(
    changed={"naïve/ブランチ": Moved(None, "d" * 40), "old": Moved("e" * 40, None)},
    conflicts={"two": ("a b.txt", "ä.txt")},
    blocked={"three": "two"},
    skipped={"four": "checked out elsewhere"},
    pushed={"naïve/ブランチ": "d" * 40},
)
_FAILURE = JobFailure(JobErrorKind.CONFLICT, "every branch is in conflict", "Mend it.", "the last lines")
_END = inputs.JobEnded(_RESULT, _FAILURE, _SEEN, _HEAD, NOW + timedelta(microseconds=1))


async def _with_repo(sut: StoreUnderTest, name: str = "api") -> str:
    """A repo that is ready."""
    command = add_repo(f"https://git.example/acme/{name}", name)
    await sut.step(command.repo_id, command)
    await sut.succeed(CloneRepo, inputs.Cloned("main", "b" * 40))
    return command.repo_id


async def _ask(sut: StoreUnderTest, repo: str, number: int, kind: JobKind = JobKind.REBASE_BRANCH) -> None:
    branch = None if kind is JobKind.SYNC_REPO else f"branch-{number}"
    await sut.step(repo, inputs.RequestJob(_job_id(number), kind, branch))


def _job_id(number: int) -> str:
    return f"job-{number:020d}"


async def check_newest_jobs_come_first(sut: StoreUnderTest) -> None:
    """Jobs of one repo are listed newest first, page by page, also those that are over."""
    repo, other = await _with_repo(sut), await _with_repo(sut, "web")
    for number in (1, 2, 3, 4):
        await _ask(sut, repo, number)
    await _ask(sut, other, 5)
    await sut.step(repo, inputs.CancelJob(_job_id(2)))
    found = [one.record for one in await sut.store.jobs(repo, limit=3)]
    numbers = [job.number for job in found if isinstance(job, Job)]
    require(numbers == [4, 3, 2], f"List the newest jobs of the repo first: [4, 3, 2], not {numbers}.")
    rest = [one.record.id for one in await sut.store.jobs(repo, limit=3, before=numbers[-1])]
    require(rest == [_job_id(1)], f"The next page begins before the last number: {[_job_id(1)]}, not {rest}.")
    require(list(await sut.store.jobs("repo-nobody", limit=3)) == [], "A repo without jobs has none to list.")


async def check_open_jobs_are_loaded(sut: StoreUnderTest) -> None:
    """A repo is loaded with the jobs that are queued or running, in their order, and without those that are over."""
    repo = await _with_repo(sut)
    for number in (1, 2, 3, 4):
        await _ask(sut, repo, number)
    await sut.step(repo, inputs.CancelJob(_job_id(3)))
    wanted = [_job_id(1), _job_id(2), _job_id(4)]
    loaded = [one.id for one in (await sut.store.load(repo)).records if isinstance(one, Job)]
    require(loaded == wanted, f"Load the jobs that are not over, oldest first: {wanted}, not {loaded}.")
    snapshot = await sut.store.snapshot(WORKSPACE, repo)
    shown = [one.record.id for one in snapshot.records if isinstance(one.record, Job)]
    require(shown == wanted, f"A repo's snapshot shows the jobs that are not over: {wanted}, not {shown}.")


async def check_end_of_a_job_is_kept(sut: StoreUnderTest) -> None:
    """How a job ended, what it changed and how the branches stood then are kept to the letter."""
    repo = await _with_repo(sut)
    await _ask(sut, repo, 1)
    await sut.succeed(RunRepoJob, _END)
    await sut.reopen()
    found = await sut.store.record("job", _job_id(1))
    job = found.record if found is not None else None
    require(isinstance(job, Job), "A job that is over must be found by its id.")
    assert isinstance(job, Job)
    require((job.result, job.failure) == (_RESULT, _FAILURE), f"Keep a job's end as it was told, not {job}.")
    snapshot = await sut.store.snapshot(WORKSPACE, repo)
    branches = [one.record for one in snapshot.records if isinstance(one.record, Branches)]
    wanted = [Branches(repo, _SEEN, _HEAD, _END.read_at)]
    require(branches == wanted, f"A repo's snapshot has its branches as they were last seen, not {branches}.")
    loaded = [one for one in (await sut.store.load(repo)).records if isinstance(one, Branches)]
    require(loaded == [], "Leave the branches out of what is loaded: no step needs them, and they are many.")


async def check_repo_of_a_job(sut: StoreUnderTest) -> None:
    """A job tells its repo; what is no job has none."""
    repo = await _with_repo(sut)
    await _ask(sut, repo, 1, JobKind.SYNC_REPO)
    found = await sut.store.repo_of(_job_id(1))
    require(
        found == repo,
        f"A job's repo is {repo}, not {found}.",
    )
    require(await sut.store.repo_of("job-nobody") is None, "What is no job belongs to no repo.")


async def check_jobs_are_in_the_feed(sut: StoreUnderTest) -> None:
    """Each change of a job and of the branches is told in the feed of its repo."""
    repo = await _with_repo(sut)
    before = await sut.store.position()
    await _ask(sut, repo, 1)
    await sut.succeed(RunRepoJob, _END)
    told = [(entry.kind, entry.id) for entry in await sut.feed(before) if entry.kind in ("job", "branches")]
    wanted = [("job", _job_id(1)), ("job", _job_id(1)), ("branches", repo)]
    require(
        sorted(told) == sorted(wanted), f"Tell each change of a job and of branches: {wanted}, not {told}."
    )


JOB_CHECKS: tuple[StoreCheck, ...] = (
    check_newest_jobs_come_first,
    check_open_jobs_are_loaded,
    check_end_of_a_job_is_kept,
    check_repo_of_a_job,
    check_jobs_are_in_the_feed,
)
