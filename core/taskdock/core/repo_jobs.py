"""Repo jobs: what commands, facts and outcomes mean for the jobs of a repo, and whose turn it is.

Owns: the handlers of jobs, and `settle`, the policy of turns.
Never: two jobs of a repo at once.
Reads as: repo_boundary dispatches here -> job.py's table.
"""

from collections.abc import Iterable

from attrs import evolve

from taskdock.core import inputs
from taskdock.core.branches import Branches
from taskdock.core.change import Draft
from taskdock.core.errors import Conflict
from taskdock.core.history import HistoryKind
from taskdock.core.inputs import Failed, JobEnded
from taskdock.core.intents import Intent, RunRepoJob
from taskdock.core.job import COMPLETED, MACHINE, QUEUED, Job, JobCursor
from taskdock.core.job_record import JobKind
from taskdock.core.machine import must_fire
from taskdock.core.repo import ERROR as REPO_ERROR
from taskdock.core.repo import READY, REMOVED, Repo

UNDOABLE_MAX = 50
"""Of so many jobs the snapshot is kept."""


def request(draft: Draft, command: inputs.RequestJob) -> str | None:
    """Queue a job, or join an equal one that still waits."""
    if joined(draft.all(Job), command) is not None:
        return "an equal job is queued"
    repo = draft.get(Repo, draft.slice.boundary)
    if repo.at == REMOVED:
        raise Conflict(
            f"The repo {repo.name!r} was removed: add its remote again, then ask for the job.",
            status=repo.status.value,
            record_id=repo.id,
        )
    _check_undo(repo, command)
    queue(draft, command)
    return None


def queue(draft: Draft, command: inputs.RequestJob) -> Job:
    """Queue a job behind those that are there."""
    repo = draft.get(Repo, draft.slice.boundary)
    job = Job(
        id=command.job_id,
        repo_id=repo.id,
        workspace=repo.workspace,
        number=repo.jobs_asked + 1,
        kind=command.kind,
        created_at=draft.now,
        updated_at=draft.now,
        branch=command.branch,
        parent=command.parent,
        push=command.push,
        undo_of=command.undo_of,
        if_stacked=command.if_stacked,
        requested_by=command.requested_by,
    )
    draft.put(job)
    draft.put(evolve(repo, jobs_asked=job.number, updated_at=draft.now))
    must_fire(MACHINE, JobCursor(draft, job.id), "request")
    return draft.get(Job, job.id)


def joined(jobs: Iterable[Job], command: inputs.RequestJob) -> Job | None:
    """The queued job that a request joins; its caller is answered with it.

    One that may leave its branch out is no answer to who wants it in.
    """
    return next(
        (
            job
            for job in jobs
            if job.at == QUEUED and job.target == command.target and job.if_stacked <= command.if_stacked
        ),
        None,
    )


def _check_undo(repo: Repo, command: inputs.RequestJob) -> None:
    """A job is undone once, and only while its snapshot is there."""
    if command.kind is JobKind.UNDO and command.undo_of not in repo.undoable:
        raise Conflict(
            f"The job {command.undo_of!r} cannot be undone: it changed nothing, was undone, or is too long ago.",
            status=repo.status.value,
            record_id=command.undo_of or "",
        )


def cancel(draft: Draft, command: inputs.CancelJob) -> str | None:
    """End a job; asking again while it ends changes nothing. Conflict once it is over, and without force while tasks wait."""
    job = draft.find(Job, command.job_id)
    if job is None:
        raise Conflict(
            f"The job {command.job_id!r} is over: there is nothing to end.",
            status=draft.get(Repo, draft.slice.boundary).status.value,
            record_id=command.job_id,
        )
    if job.cancel_asked:
        return "it was asked to end already"
    if job.waiting and not command.force:
        who = ", ".join(waiting.task_id for waiting in job.waiting)
        raise Conflict(
            f"The job {job.id!r} is waited for by {who}: cancel it with force, and they fail, or end them first.",
            status=job.status.value,
            record_id=job.id,
        )
    must_fire(MACHINE, JobCursor(draft, job.id), "cancel")
    return None


def begin(draft: Draft, job_id: str) -> None:
    """An execution is about to take the clone; each says so, also the one that goes on after a crash."""
    if draft.get(Job, job_id).at == QUEUED:
        must_fire(MACHINE, JobCursor(draft, job_id), "begin")


def stepped(draft: Draft, fact: inputs.JobStepped) -> str | None:
    """An execution is about to begin a step; one that is told again in the same instant is accepted, too."""
    intent = draft.matching(fact.intent_id, fact.issue)
    if isinstance(intent, str):
        return intent
    assert isinstance(intent.body, RunRepoJob)
    job = draft.get(Job, intent.body.job_id)
    if job.step is None:
        return "the run has not said that it begins"
    # What is told again in the same instant would change nothing else, and be taken for stale.
    draft.mark_started(intent)
    progress = f"{fact.done} of {fact.of}" if fact.of else None
    step = evolve(job.step, name=fact.step, retry_at=None, progress=progress, last_progress_at=draft.now)
    draft.put(evolve(job, step=step, updated_at=draft.now))
    if fact.step != job.step.name:
        draft.note(HistoryKind.JOB_STEP, job=job.id, what=job.kind.value, step=fact.step)
    return None


def progressed(draft: Draft, job_id: str, sentence: str) -> str | None:
    """One sentence for people about how far a job has come."""
    job = draft.get(Job, job_id)
    if job.step is None:
        return "no step is under way"
    step = evolve(job.step, progress=sentence, last_progress_at=draft.now)
    draft.put(evolve(job, step=step))
    return None


def ended(draft: Draft, intent: Intent, trigger: str, value: object, failed: Failed | None) -> None:
    """A run of a job came to its end."""
    assert isinstance(intent.body, RunRepoJob)
    if isinstance(value, JobEnded):
        begin(draft, intent.body.job_id)  # what has ended had begun, whoever forgot to say so
    must_fire(
        MACHINE, JobCursor(draft, intent.body.job_id, value=value, intent=intent, failed=failed), trigger
    )
    if isinstance(value, JobEnded):
        _take_branches(draft, value)
        _remember_undo(draft, draft.get(Job, intent.body.job_id), value)


def _take_branches(draft: Draft, end: JobEnded) -> None:
    """Keep how the clone stands; a look that failed leaves the one before."""
    repo = draft.get(Repo, draft.slice.boundary)
    if end.branches is not None:
        draft.put(Branches(repo.id, end.branches, end.trunk_head, end.read_at))
    if end.trunk_head is not None and end.trunk_head != repo.head:
        draft.put(evolve(repo, head=end.trunk_head, updated_at=draft.now))


def _remember_undo(draft: Draft, job: Job, end: JobEnded) -> None:
    """Which jobs can be undone: those that changed something, until an undo is through; an undo can be undone, too."""
    repo = draft.get(Repo, draft.slice.boundary)
    undoable = [one for one in repo.undoable if not (job.at == COMPLETED and one == job.undo_of)]
    if end.result.changed:
        undoable.append(job.id)
    if tuple(undoable) != repo.undoable:
        draft.put(evolve(repo, undoable=tuple(undoable[-UNDOABLE_MAX:]), updated_at=draft.now))


def settle(draft: Draft) -> None:
    """Whose turn it is: the oldest queued job of a repo that is ready, while no job of it has a run; without a clone, nobody's."""
    repo = draft.get(Repo, draft.slice.boundary)
    queued = sorted((job for job in draft.all(Job) if job.at == QUEUED), key=lambda job: job.number)
    if repo.at == REPO_ERROR:
        for job in queued:
            must_fire(MACHINE, JobCursor(draft, job.id), "repo_failed")
    elif (
        repo.at == READY
        and queued
        and not any(isinstance(one.body, RunRepoJob) for one in draft.open.values())
    ):
        must_fire(MACHINE, JobCursor(draft, queued[0].id), "turn")
