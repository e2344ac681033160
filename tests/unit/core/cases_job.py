"""Job cases: one for each arc of the job table."""

from taskdock.core.inputs import CancelJob, FailureClass
from taskdock.core.intents import CloneRepo, RunRepoJob
from unit.core import givens as g
from unit.core import givens_job as j
from unit.core.cases import Case, done, fails, starts
from unit.core.story import JOB, PERMANENT, TRANSIENT

CASES = (
    Case("request: new -> queued", g.cloning, j.SYNC, "queued", "", "job.queued"),
    Case("turn: queued -> =", g.cloned, j.SYNC, "queued", "RunRepoJob", "job.queued", also=("request: new -> queued",)),
    Case("begin: queued -> running", j.job_has_its_turn, starts(RunRepoJob), "running", "", "job.started"),
    Case("failed[may_try_again]: queued -> =", j.job_has_its_turn, fails(RunRepoJob, TRANSIENT),
         "queued", "RunRepoJob", "job.step"),
    Case("failed: queued -> error", j.job_has_its_turn, fails(RunRepoJob, PERMANENT), "error", "", "job.failed"),
    Case("repo_failed: queued -> error", j.job_waits_for_clone, fails(CloneRepo, PERMANENT),
         "error", "", "repo.failed job.failed"),
    Case("cancel: queued -> cancelled", j.job_waits_for_clone, CancelJob(JOB), "cancelled", "", "job.cancelled"),
    Case("cancel: running -> =", j.job_runs, CancelJob(JOB), "running", "RunRepoJob"),
    Case("job_ended[cancel_was_asked]: running -> cancelled", j.job_is_settled_after_cancel, done(RunRepoJob, j.JOB_ENDED),
         "cancelled", "", "job.cancelled"),
    Case("job_ended[did_fail]: running -> error", j.job_runs, done(RunRepoJob, j.JOB_FAILED), "error", "", "job.failed"),
    Case("job_ended[had_failed]: running -> error", j.job_is_settled_after_failure, done(RunRepoJob, j.JOB_ENDED),
         "error", "", "job.failed"),
    Case("job_ended: running -> completed", j.job_waits_for_job, done(RunRepoJob, j.JOB_ENDED),
         "completed", "RunRepoJob", "job.completed", also=("turn: queued -> =",)),
    Case("failed[may_try_again]: running -> =", j.job_runs, fails(RunRepoJob, TRANSIENT),
         "running", "RunRepoJob", "job.step"),
    Case("failed[must_be_settled]: running -> =", j.job_runs, fails(RunRepoJob, FailureClass.DEADLINE),
         "running", "RunRepoJob"),
    Case("failed[cancel_was_asked]: running -> cancelled", j.job_is_settled_after_cancel, fails(RunRepoJob, PERMANENT),
         "cancelled", "", "job.cancelled"),
    Case("failed: running -> error", j.job_is_settled_after_failure, fails(RunRepoJob, PERMANENT), "error", "", "job.failed"),
)  # fmt: skip
