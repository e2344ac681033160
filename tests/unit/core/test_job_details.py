"""Details of jobs: what a run is told, what a refusal names, and what each end leaves in the job and in its repo."""

import pytest

from taskdock.core import inputs
from taskdock.core.branches import Branches
from taskdock.core.errors import Conflict
from taskdock.core.intents import Intent, RunRepoJob
from taskdock.core.job import Job
from taskdock.core.job_record import (
    NEEDS_STACK_TOOL,
    BranchSeen,
    JobErrorKind,
    JobFailure,
    JobKind,
    JobResult,
    Moved,
)
from unit.core import givens as g
from unit.core import givens_job as j
from unit.core.story import DEADLINE, JOB, PERMANENT, TRANSIENT, UNKNOWN, UNREACHABLE, RepoStory
from unit.core.test_jobs import job_in, run_of


def test_run_is_told_everything_that_was_asked() -> None:
    """Kind, branch, parent, push and what is undone reach the run, and the job that is shown."""
    story = g.cloned()
    asked = inputs.RequestJob(JOB, JobKind.REPARENT_BRANCH, "one", "two", push=True, requested_by="ada")
    job = job_in(story.do(asked))
    body = run_of(story)
    assert (body.repo_id, body.job_id, body.kind, body.branch, body.parent, body.push) == (
        story.repo.id, JOB, JobKind.REPARENT_BRANCH, "one", "two", True,
    )  # fmt: skip
    assert (body.undo_of, body.settles) == (None, False)
    assert (job.kind, job.branch, job.parent, job.push, job.requested_by) == (
        JobKind.REPARENT_BRANCH, "one", "two", True, "ada",
    )  # fmt: skip


def test_undo_is_told_what_it_puts_back_and_whether_to_push() -> None:
    """An undo names the job whose changes it puts back."""
    story = j.job_completed()
    story.do(inputs.RequestJob("job-3", JobKind.UNDO, undo_of=JOB, push=True))
    body = run_of(story)
    assert (body.kind, body.undo_of, body.push) == (JobKind.UNDO, JOB, True)


def test_each_queued_job_is_counted_in_its_repo() -> None:
    """The repo has the number of the newest job, and says when that was."""
    story = j.job_completed()
    before = story.repo.updated_at
    story.pass_time(7)
    story.do(j.RESTACK)
    assert (story.repo.jobs_asked, story.repo.updated_at) == (2, story.now)
    assert story.repo.updated_at > before


def test_refused_undo_names_the_job_and_the_repo() -> None:
    """A program learns from the refusal which record it is about, and how the repo is."""
    story = j.job_runs()
    with pytest.raises(Conflict) as refusal:
        story.do(inputs.RequestJob("job-3", JobKind.UNDO, undo_of="job-9"))
    assert (refusal.value.status, refusal.value.record_id) == ("ready", "job-9")
    with pytest.raises(Conflict) as refusal:
        story.do(inputs.RequestJob("job-3", JobKind.UNDO))
    assert refusal.value.record_id == ""


def test_refused_cancel_names_the_job_and_the_repo() -> None:
    """Of a job that is forgotten there is no status but the repo's."""
    story = j.job_runs()
    with pytest.raises(Conflict) as refusal:
        story.do(inputs.CancelJob("job-9"))
    assert (refusal.value.status, refusal.value.record_id) == ("ready", "job-9")


def test_cancel_of_what_several_wait_for_names_each() -> None:
    """Who would fail with it is named, one after the other."""
    story = g.cloned()
    for task in ("task-1", "task-2"):
        story.do(inputs.AwaitBranch(task, 1, "one"))
    job_id = run_of(story).job_id
    with pytest.raises(Conflict, match="waited for by task-1, task-2:"):
        story.do(inputs.CancelJob(job_id))


def the_job(story: RepoStory) -> Job:
    """The one job as it is stored."""
    return next(record for record in story.boundary.records.values() if isinstance(record, Job))


def begun(story: RepoStory) -> Intent:
    """The run says that it begins, and a while passes."""
    intent = story.start(RunRepoJob)
    story.pass_time(9)
    return intent


def test_step_shows_how_far_it_is_and_when_that_was_told() -> None:
    """A count is shown while there is one; each telling has its time, and a pause before a retry is over."""
    story = j.job_has_its_turn()
    intent = begun(story)
    job = job_in(story.do(inputs.JobStepped(intent.id, intent.issue, "act", 1, 3)))
    assert job.step is not None
    assert (job.step.name, job.step.progress, job.step.last_progress_at) == ("act", "1 of 3", story.now)
    assert (job.step.retry_at, job.updated_at) == (None, story.now)
    job = job_in(story.do(inputs.JobStepped(intent.id, intent.issue, "post_sync")))
    assert job.step is not None and job.step.progress is None


def test_facts_of_a_run_that_is_over_are_refused_with_the_reason() -> None:
    """Whoever was slower learns why nothing of it counts."""
    story = j.job_runs()
    intent = story.start(RunRepoJob)
    story.succeed(RunRepoJob, j.JOB_ENDED)
    for fact in (inputs.JobStepped(intent.id, intent.issue, "act"), inputs.Started(intent.id, intent.issue)):
        assert story.do(fact).ignored is not None


def test_attempt_that_failed_keeps_its_step_and_says_when_the_next_begins() -> None:
    """The step stays what it was, with the number of the next attempt; its progress was that of the one before."""
    story = j.job_has_its_turn()
    intent = begun(story)
    story.do(inputs.JobStepped(intent.id, intent.issue, "act", 1, 3))
    job = job_in(story.fail(RunRepoJob, TRANSIENT))
    assert job.step is not None and job.step.retry_at is not None
    assert (job.step.name, job.step.attempt, job.step.progress) == ("act", 2, None)
    again = begun(story)
    job = job_in(story.do(inputs.JobStepped(again.id, again.issue, "act", 0, 3)))
    assert job.step is not None and job.step.retry_at is None


def test_first_step_of_a_run_is_to_take_the_clone() -> None:
    """It is the first attempt, in the step `lock`."""
    job = job_in(g.cloned().do(j.SYNC))
    assert job.step is None
    story = j.job_has_its_turn()
    begun(story)
    job = the_job(story)
    assert job.step is not None
    assert (job.step.name, job.step.attempt) == ("lock", 1)


def test_attempts_before_the_first_call_count() -> None:
    """A run that failed before it began anything was an attempt: the next one says so from its beginning on."""
    story = j.job_has_its_turn()
    story.fail(RunRepoJob, TRANSIENT)
    begun(story)
    job = the_job(story)
    assert job.step is not None
    assert (job.at, job.step.name, job.step.attempt) == ("running", "lock", 2)


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (JobResult(changed={"one": Moved("a", "b")}), (1, 0)),
        (JobResult(conflicts={"one": ("f",), "two": ("f",)}), (0, 2)),
        (JobResult(), (0, 0)),
    ],
)
def test_end_is_told_with_its_counts_and_its_time(end: JobResult, told: tuple[int, int]) -> None:
    """History says how many branches moved and how many are in conflict."""
    story = j.job_runs()
    story.pass_time(30)
    change = story.succeed(RunRepoJob, inputs.JobEnded(end))
    job = job_in(change)
    (event,) = [one for one in change.history if one.kind.value == "job.completed"]
    assert (event.data["changed"], event.data["conflicts"]) == told
    assert (job.finished_at, job.step) == (story.now, None)


def test_end_that_tells_nothing_is_told_with_zeros() -> None:
    """Nobody knows what it moved."""
    story = j.job_is_settled_after_failure()
    change = story.fail(RunRepoJob, PERMANENT)
    (event,) = [one for one in change.history if one.kind.value == "job.failed"]
    assert (event.data["changed"], event.data["conflicts"], event.data["error"]) == (0, 0, "timeout")


def test_new_trunk_moves_the_repo_and_the_same_one_does_not() -> None:
    """The repo's head follows what a job saw, at that time; an end that saw no trunk leaves it."""
    story = j.job_runs()
    story.pass_time(5)
    story.succeed(RunRepoJob, inputs.JobEnded(JobResult(), branches=(), trunk_head="c9"))
    moved_at = story.now
    assert (story.repo.head, story.repo.updated_at) == ("c9", moved_at)
    for trunk in ("c9", None):
        story.do(inputs.RequestJob(f"job-{trunk}", JobKind.SYNC_REPO))
        asked_at = story.repo.updated_at
        story.pass_time(5)
        story.succeed(RunRepoJob, inputs.JobEnded(JobResult(), branches=(), trunk_head=trunk))
        assert (story.repo.head, story.repo.updated_at) == ("c9", asked_at)


def test_what_can_be_undone_is_noted_with_its_time() -> None:
    """A job that moved something can be undone from its end on, and is noted once."""
    story = j.job_runs()
    story.pass_time(11)
    story.succeed(RunRepoJob, inputs.JobEnded(j.JOB_CHANGED))
    assert (story.repo.undoable, story.repo.updated_at) == ((JOB,), story.now)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (UNREACHABLE, JobErrorKind.UNREACHABLE),
        (DEADLINE, JobErrorKind.TIMEOUT),
        (PERMANENT, JobErrorKind.CONFIG_ERROR),
        (UNKNOWN, JobErrorKind.BUG),
    ],
)
def test_failure_of_an_attempt_has_its_kind(failure: inputs.FailureClass, kind: JobErrorKind) -> None:
    """What no attempt brought to an end says why, what to do, and what was logged."""
    story = j.job_runs()
    while story.open(RunRepoJob):
        intent = story.claim(RunRepoJob)
        story.do(
            inputs.OutcomeReported(
                intent.id, intent.issue, inputs.Failed(failure, "why", log_tail="fatal: x")
            )
        )
    job = the_job(story)
    assert job.failure is not None
    assert (job.at, job.failure.kind, job.failure.hint) == ("error", kind, "Ask for it again.")
    assert job.failure.log_tail == "fatal: x"


@pytest.mark.parametrize(
    ("result", "is_partial"),
    [
        (JobResult(), False),
        (JobResult(changed={"one": Moved("a", "b")}, skipped={"two": "it has no parent"}), False),
        (JobResult(blocked={"one": "two"}), True),
        (JobResult(conflicts={"two": ("f",)}), True),
    ],
)
def test_result_is_partial_when_something_could_not_be_done(result: JobResult, is_partial: bool) -> None:
    """What is in conflict, or above one that is."""
    assert result.is_partial is is_partial


def test_what_was_not_looked_for_is_told_as_nothing() -> None:
    """A branch of which only the head is known, and a failure with a reason alone."""
    seen = BranchSeen("one", "c1")
    assert (seen.is_tracked, seen.needs_restack, seen.conflicts_with_trunk) == (False, False, False)
    assert (seen.depth, seen.ahead, seen.behind) == (0, 0, 0)
    assert (seen.files_changed, seen.insertions, seen.deletions) == (0, 0, 0)
    assert JobFailure(JobErrorKind.BUG, "why").hint == ""


def test_kinds_that_need_the_stack_tool() -> None:
    """Plain git can sync, register and undo; the rest would lose work."""
    assert set(JobKind) - {*NEEDS_STACK_TOOL} == {
        JobKind.SYNC_REPO, JobKind.REGISTER_EXISTING_BRANCH, JobKind.UNDO,
    }  # fmt: skip


def test_branches_of_a_sync_are_kept_as_they_were_read() -> None:
    """What the clone was seen to have, and when."""
    story = j.job_runs()
    story.succeed(RunRepoJob, j.JOB_ENDED)
    (kept,) = [one for one in story.boundary.records.values() if isinstance(one, Branches)]
    assert (kept.seen, kept.trunk_head, kept.read_at) == (
        j.JOB_ENDED.branches, j.JOB_ENDED.trunk_head, j.JOB_ENDED.read_at,
    )  # fmt: skip
