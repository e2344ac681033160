"""Stories of jobs: one at a time, tried again, settled after a cancel or a deadline, and undone once."""

import pytest

from taskdock.core import inputs, repo_jobs
from taskdock.core.branches import Branches
from taskdock.core.change import Change
from taskdock.core.errors import Conflict, NotFound
from taskdock.core.intents import CloneRepo, Intent, RunRepoJob
from taskdock.core.job import Job
from taskdock.core.job_record import BranchSeen, JobErrorKind, JobKind, JobResult, Moved
from unit.core import givens as g
from unit.core import givens_job as j
from unit.core.story import DEADLINE, JOB, PERMANENT, TRANSIENT, UNKNOWN, UNREACHABLE, RepoStory

NOTHING = inputs.JobEnded(JobResult())


def run_of(story: RepoStory) -> RunRepoJob:
    """What the one open run shall do."""
    (intent,) = story.open(RunRepoJob)
    assert isinstance(intent.body, RunRepoJob)
    return intent.body


def job_in(change: Change, job_id: str = JOB) -> Job:
    """The job as a change leaves it."""
    return next(record for record in change.records if isinstance(record, Job) and record.id == job_id)


def ask(story: RepoStory, number: int, kind: JobKind = JobKind.SYNC_REPO, **more: str) -> Change:
    """Ask for job `number`."""
    return story.do(inputs.RequestJob(f"job-{number}", kind, **more))  # type: ignore[arg-type]


def again(story: RepoStory) -> Intent:
    """The run is handed out once more, as after a crash."""
    return story.boundary.claim(story.open(RunRepoJob)[0].id, story.now)


def test_a_run_that_was_started_before_a_crash_is_started_again() -> None:
    """The next process claims the same run, says again that it calls outside, and is not refused; the one before is."""
    story = j.job_runs()
    before = story.start(RunRepoJob)
    after = again(story)
    assert story.do(inputs.Started(after.id, after.issue)).ignored is None
    assert story.do(inputs.JobStepped(after.id, after.issue, "lock")).ignored is None
    for late in (
        inputs.Started(before.id, before.issue),
        inputs.JobStepped(before.id, before.issue, "snapshot"),
    ):
        assert story.do(late).ignored == f"issue {before.issue} is over, {after.issue} is running"


def test_a_step_of_a_run_that_has_not_begun_is_refused() -> None:
    """Nothing may be touched before the start is committed, so a step without one is not accepted."""
    story = g.cloned()
    ask(story, 1)
    intent = again(story)
    refused = story.do(inputs.JobStepped(intent.id, intent.issue, "lock"))
    assert refused.ignored == "the run has not said that it begins"


def test_jobs_take_turns_in_the_order_in_which_they_were_asked() -> None:
    """One runs, the others wait; each end gives the turn to the oldest."""
    story = g.cloned()
    for number, branch in enumerate(("one", "two", "three"), start=1):
        ask(story, number, JobKind.REBASE_BRANCH, branch=branch)
    order = []
    while story.open(RunRepoJob):
        order.append(run_of(story).job_id)
        story.succeed(RunRepoJob, NOTHING)
    assert order == ["job-1", "job-2", "job-3"]
    assert story.repo.jobs_asked == 3


def test_a_job_is_running_from_its_first_call_on() -> None:
    """Its run is ordered in the commit that asks for it; it stays queued, joined and ended at once, until somebody begins."""
    story = g.cloned()
    assert job_in(ask(story, 1)).at == "queued"
    assert ask(story, 2).ignored == "an equal job is queued"
    job = job_in(story.do(inputs.CancelJob(JOB)))
    assert (job.at, job.started_at, story.open(RunRepoJob)) == ("cancelled", None, [])


def test_a_run_that_tells_its_end_alone_had_begun() -> None:
    """An end is never lost, even of a run that did not say that it began."""
    story = j.job_has_its_turn()
    job = job_in(story.succeed(RunRepoJob, j.JOB_ENDED))
    assert (job.at, job.started_at, job.result) == ("completed", story.now, j.JOB_CHANGED)


def test_an_equal_job_joins_only_one_that_waits() -> None:
    """What runs may have passed the point that the asker means; so the first equal one after it waits, and others join that."""
    story = j.job_runs()
    assert ask(story, 2).ignored is None
    assert ask(story, 3).ignored == "an equal job is queued"
    assert ask(story, 4, JobKind.RESTACK_REPO).ignored is None
    story.succeed(RunRepoJob, NOTHING)
    assert run_of(story).job_id == "job-2"


def test_steps_are_told_before_they_begin() -> None:
    """A step has its name and its count; each new one is an event, a count is not; a sentence in between is shown."""
    story = j.job_runs()
    intent = story.start(RunRepoJob)
    kinds = []
    for step, done, of in (("snapshot", 0, 0), ("act", 0, 2), ("act", 1, 2), ("post_sync", 0, 0)):
        change = story.do(inputs.JobStepped(intent.id, intent.issue, step, done, of))
        kinds.append([event.data["step"] for event in change.history])
    assert kinds == [["snapshot"], ["act"], [], ["post_sync"]]
    job = job_in(story.do(inputs.Progressed(intent.id, intent.issue, "one: restacked")))
    assert job.step is not None
    assert (job.step.name, job.step.progress, job.step.last_progress_at) == (
        "post_sync",
        "one: restacked",
        story.now,
    )


@pytest.mark.parametrize("failure", [TRANSIENT, UNREACHABLE, UNKNOWN])
def test_a_run_that_breaks_is_tried_three_times(failure: inputs.FailureClass) -> None:
    """Each attempt after the first says when it begins; after the third one the job is settled, and ends with that reason."""
    story = j.job_runs()
    for attempt in (2, 3):
        job = job_in(story.fail(RunRepoJob, failure, "no answer"))
        assert job.step is not None
        assert (job.at, job.step.attempt, job.step.retry_at) == (
            "running",
            attempt,
            story.open(RunRepoJob)[0].not_before,
        )
    story.fail(RunRepoJob, failure, "no answer")
    assert run_of(story).settles
    job = job_in(story.succeed(RunRepoJob, j.JOB_ENDED))
    assert job.failure is not None
    assert (job.at, job.failure.reason, job.result) == ("error", "no answer", j.JOB_CHANGED)
    assert story.open(RunRepoJob) == []


def test_a_cancelled_run_is_taken_back_and_settled() -> None:
    """The run that is out is refused from then on; one that only settles follows, and the job ends when it has told."""
    story = j.job_runs()
    before = story.start(RunRepoJob)
    change = story.do(inputs.CancelJob(JOB))
    assert change.cancelled == (before.id,)
    assert run_of(story).settles
    assert story.do(inputs.JobStepped(before.id, before.issue, "act")).ignored is not None
    assert story.do(inputs.CancelJob(JOB)).ignored == "it was asked to end already"
    job = job_in(story.succeed(RunRepoJob, j.JOB_ENDED))
    assert (job.at, job.result) == ("cancelled", j.JOB_CHANGED)


def test_a_run_that_settles_has_attempts_of_its_own() -> None:
    """However often the run before it had failed, settling is tried three times."""
    story = j.job_runs()
    story.fail_often(RunRepoJob, TRANSIENT, 2)
    story.fail(RunRepoJob, DEADLINE)
    assert run_of(story).settles
    story.fail_often(RunRepoJob, TRANSIENT, 2)
    assert run_of(story).settles
    job = job_in(story.succeed(RunRepoJob, j.JOB_ENDED))
    assert job.failure is not None
    assert (job.at, job.failure.kind, job.result) == ("error", JobErrorKind.TIMEOUT, j.JOB_CHANGED)


def test_a_settling_that_runs_out_of_time_ends_the_job() -> None:
    """It is not settled for ever."""
    story = j.job_is_settled_after_failure()
    job = job_in(story.fail(RunRepoJob, DEADLINE))
    assert job.failure is not None
    assert (job.at, job.failure.kind) == ("error", JobErrorKind.TIMEOUT)


def test_a_look_that_failed_leaves_the_branches_of_the_one_before() -> None:
    """Branches, trunk's head and the time of the look are replaced by a job that read them, and by no other."""
    story = g.cloned()
    ask(story, 1)
    seen = (BranchSeen("main", "c1"), BranchSeen("one", "a2", parent="main", is_tracked=True, depth=1))
    read_at = story.now
    story.succeed(RunRepoJob, inputs.JobEnded(JobResult(), branches=seen, trunk_head="c1", read_at=read_at))
    assert story.repo.head == "c1"
    ask(story, 2)
    change = story.succeed(RunRepoJob, j.JOB_FAILED)
    assert [record for record in change.records if isinstance(record, Branches)] == []
    assert story.boundary.get(Branches, story.repo.id) == Branches(story.repo.id, seen, "c1", read_at)


def test_what_changed_something_can_be_undone_once() -> None:
    """A job that moved a branch, however it ended; not one that moved nothing, and not one that was undone."""
    story = j.job_was_cancelled()
    assert story.repo.undoable == (JOB,)
    ask(story, 2)
    story.succeed(RunRepoJob, NOTHING)
    assert story.repo.undoable == (JOB,)
    with pytest.raises(Conflict, match="changed nothing"):
        ask(story, 3, JobKind.UNDO, undo_of="job-2")
    ask(story, 4, JobKind.UNDO, undo_of=JOB)
    story.succeed(RunRepoJob, j.JOB_FAILED)
    assert story.repo.undoable == (JOB,)
    ask(story, 5, JobKind.UNDO, undo_of=JOB)
    story.succeed(RunRepoJob, inputs.JobEnded(JobResult(changed={"one": Moved("a2", "a1")})))
    assert story.repo.undoable == ("job-5",)
    with pytest.raises(Conflict, match="was undone"):
        ask(story, 6, JobKind.UNDO, undo_of=JOB)


def test_of_fifty_jobs_the_snapshot_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest one that can be undone makes way."""
    monkeypatch.setattr(repo_jobs, "UNDOABLE_MAX", 2)
    story = g.cloned()
    for number in (1, 2, 3):
        ask(story, number)
        story.succeed(RunRepoJob, j.JOB_ENDED)
    assert story.repo.undoable == ("job-2", "job-3")


def test_a_clone_that_fails_ends_every_job_that_waits() -> None:
    """Each says why and what to do."""
    story = g.cloning()
    ask(story, 1)
    ask(story, 2, JobKind.RESTACK_REPO)
    change = story.fail(CloneRepo, PERMANENT, "no such host")
    for job_id in ("job-1", "job-2"):
        job = job_in(change, job_id)
        assert job.failure is not None
        assert (job.at, job.failure.kind, job.failure.reason) == (
            "error",
            JobErrorKind.UNREACHABLE,
            "no such host",
        )
        assert "Retry the repo" in job.failure.hint


def test_a_job_of_a_repo_that_failed_ends_at_once() -> None:
    """It is taken, and told in the same commit that there is no clone."""
    story = g.clone_failed()
    change = ask(story, 1)
    assert (job_in(change).at, [event.kind.value for event in change.history]) == (
        "error",
        ["job.queued", "job.failed"],
    )


def test_what_is_over_or_was_never_asked_cannot_be_cancelled() -> None:
    """Conflict says that it is over; a repo that is not there has no jobs."""
    with pytest.raises(Conflict, match="is over"):
        j.job_completed().do(inputs.CancelJob(JOB))
    with pytest.raises(NotFound):
        g.no_repo().do(inputs.RequestJob(JOB, JobKind.SYNC_REPO))
