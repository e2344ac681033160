"""Repo asks: what tasks ask of their repo, and how it answers.

Owns: the handlers of what tasks tell, `answer`, the policy that tells them how the jobs they wait for ended, and
    `tell_moved`, which tells them what a job did to their branches.
Never: an answer to a question that was answered; a job that a task waits for ended without a word to it.
Reads as: repo_boundary dispatches here -> repo.py's table, repo_jobs.py -> `Tell` -> the task.
"""

from attrs import evolve

from taskdock.core import inputs
from taskdock.core.branches import Branches
from taskdock.core.change import Draft, Place
from taskdock.core.inputs import BranchAwaited, BranchFailed, BranchMoved, BranchReady, RepoFailed
from taskdock.core.intents import Tell
from taskdock.core.job import COMPLETED, FINAL, Job
from taskdock.core.job_record import JobKind
from taskdock.core.machine import fire, must_fire
from taskdock.core.repo import MACHINE, REMOVED, WAS_REMOVED, Repo, RepoCursor, Waiting
from taskdock.core.repo_jobs import joined, queue
from taskdock.core.values import asked_job, is_commit

_LANE = "tell"


def await_ready(draft: Draft, message: inputs.AwaitReady) -> str | None:
    """A task asks to be told when the clone is ready."""
    if _is_news(draft, message.task_id, message.ask):
        must_fire(MACHINE, RepoCursor(draft, draft.slice.boundary, input_=message), "await_ready")
    return None


def await_branch(draft: Draft, message: inputs.AwaitBranch) -> str | None:
    """A task asks for a branch: a job registers it, or one that is queued already; a clone that failed starts again."""
    if not _is_news(draft, message.task_id, message.ask):
        return None
    repo_id = draft.slice.boundary
    if draft.get(Repo, repo_id).at == REMOVED:
        _refuse(draft, Waiting(message.task_id, message.ask))
        return None
    fire(MACHINE, RepoCursor(draft, repo_id), "await_branch")
    _forget(draft, message.task_id)
    asked = inputs.RequestJob(
        asked_job(message.task_id, message.ask),
        JobKind.REGISTER_EXISTING_BRANCH,
        message.branch,
        requested_by=message.task_id,
    )
    job = joined(draft.all(Job), asked) or queue(draft, asked)
    waiting = Waiting(message.task_id, message.ask)
    draft.put(evolve(job, waiting=(*job.waiting, waiting), updated_at=draft.now))
    _tell(draft, waiting, BranchAwaited(message.ask, job.id))
    return None


def no_longer_waits(draft: Draft, message: inputs.NoLongerWaits) -> str | None:
    """A task takes its question back; the job goes on without it."""
    _forget(draft, message.task_id, message.ask)
    return None


def branch_born(draft: Draft, message: inputs.BranchBorn) -> str | None:
    """A task's first work made a branch: a job takes it into the stack, on the branch that it began on.

    Where that one is in no stack, the new one is in none either: on trunk a restack would take it off what it began on.
    """
    repo = draft.get(Repo, draft.slice.boundary)
    heard = Waiting(message.task_id, message.ask)
    if heard in repo.answered:
        return None
    if repo.at == REMOVED:
        return "the repo was removed"
    asked = inputs.RequestJob(
        asked_job(message.task_id, message.ask),
        JobKind.REGISTER_EXISTING_BRANCH,
        message.branch,
        None if message.base == repo.trunk or is_commit(message.base) else message.base,
        requested_by=message.task_id,
        if_stacked=True,
    )
    if joined(draft.all(Job), asked) is None:
        queue(draft, asked)
    repo = draft.get(Repo, repo.id)
    draft.put(evolve(repo, answered=repo.answered_with(heard)))
    return None


def tell_moved(draft: Draft, job_id: str, value: object) -> None:
    """A job has ended: tell the tasks that hold a branch which it moved."""
    if not isinstance(value, inputs.JobEnded):
        return
    for branch, task_id in value.tasks.items():
        moved = value.result.changed.get(branch)
        if moved is not None and moved.old is not None:
            said = BranchMoved(job_id, branch, moved.old, moved.new)
            draft.order(Tell(task_id, said), Place(f"moved:{task_id}", _LANE))


def answer(draft: Draft) -> None:
    """Tell the tasks that wait for a job which is over how it ended."""
    for job in list(draft.all(Job)):
        if job.at in FINAL and job.waiting:
            for waiting in job.waiting:
                _tell(draft, waiting, _answer(draft, job, waiting.ask))
            repo = draft.get(Repo, job.repo_id)
            draft.put(evolve(job, waiting=()))
            draft.put(evolve(repo, answered=repo.answered_with(*job.waiting)))


def _answer(draft: Draft, job: Job, ask: int) -> BranchReady | BranchFailed:
    if job.at == COMPLETED:
        return BranchReady(ask, job.id, _head(draft, job))
    failure = job.failure
    if failure is None:
        return BranchFailed(ask, job.id, "its job was cancelled")
    reason = f"{failure.reason}; {failure.hint}" if failure.hint else failure.reason
    return BranchFailed(ask, job.id, reason, failure.log_tail)


def _head(draft: Draft, job: Job) -> str | None:
    """Where the branch stood when the job had registered it."""
    read = draft.find(Branches, job.repo_id)
    seen = () if read is None else read.seen
    return next((branch.head for branch in seen if branch.name == job.branch), None)


def _refuse(draft: Draft, waiting: Waiting) -> None:
    """Nothing is done in a repo that was removed."""
    _tell(draft, waiting, RepoFailed(waiting.ask, WAS_REMOVED))
    repo = draft.get(Repo, draft.slice.boundary)
    draft.put(evolve(repo, answered=repo.answered_with(waiting)))


def _is_news(draft: Draft, task_id: str, ask: int) -> bool:
    """Whether a question is later than every one of this task that was answered, or waits for its answer."""
    repo = draft.get(Repo, draft.slice.boundary)
    jobs = (waiting for job in draft.all(Job) for waiting in job.waiting)
    known = (*repo.answered, *repo.waiting, *jobs)
    return ask > max((one.ask for one in known if one.task_id == task_id), default=0)


def _forget(draft: Draft, task_id: str, ask: int | None = None) -> None:
    """The task waits for no job any more, or not with this question."""
    for job in list(draft.all(Job)):
        gone = [w for w in job.waiting if w.task_id == task_id and ask in (None, w.ask)]
        if gone:
            waiting = tuple(w for w in job.waiting if w not in gone)
            draft.put(evolve(job, waiting=waiting, updated_at=draft.now))


def _tell(
    draft: Draft, waiting: Waiting, said: BranchAwaited | BranchReady | BranchFailed | RepoFailed
) -> None:
    # The subject of a task's question: its answers are told one after the other.
    draft.order(Tell(waiting.task_id, said), Place(f"tell:{waiting.task_id}:{waiting.ask}", _LANE))
