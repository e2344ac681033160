"""Repo boundary: a repo, decided and committed on its own.

Owns: `step`, the only code that decides for repos, and `available_actions`.
Never: a call outside, a clock, or an id of its own making.
Reads as: request path, scheduler or simulation loads a Slice -> `step(slice, input, now)` -> commits the Change.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from attrs import evolve

from taskdock.core import inputs, intents
from taskdock.core import repo_asks as asks
from taskdock.core import repo_jobs as jobs
from taskdock.core.change import Change, Draft, Slice
from taskdock.core.errors import Conflict, InvariantViolated, NotFound
from taskdock.core.inputs import Failed
from taskdock.core.intents import Figures, Intent
from taskdock.core.job import Job
from taskdock.core.machine import Fired, fire, may
from taskdock.core.repo import MACHINE, REMOVED, Repo, RepoCursor
from taskdock.core.triggers import trigger_of

_DEFAULT_FIGURES = Figures()
_NO_TIME = datetime.min.replace(tzinfo=UTC)
"""For drafts that only ask guards, which look at no clock."""


def step(
    slice_: Slice, input_: inputs.RepoInput, now: datetime, figures: Figures = _DEFAULT_FIGURES
) -> Change:
    """Decide what one input makes of a repo; pure and total. Raises only CommandRejected, and only for commands."""
    draft = Draft(slice_, now, figures)
    if not isinstance(input_, inputs.AddRepo) and slice_.version == 0:
        if isinstance(input_, inputs.RepoCommand):
            raise NotFound(f"There is no repo {slice_.boundary!r}.")
        return draft.freeze(ignored="there is no such repo")
    ignored = _HANDLERS[type(input_)](draft, input_)
    if ignored is None:
        jobs.settle(draft)
        asks.answer(draft)
    return draft.freeze(ignored)


def available_actions(slice_: Slice) -> tuple[str, ...]:
    """What may be asked of the repo right now; the same guards as the machine's."""
    draft = Draft(slice_, _NO_TIME, _DEFAULT_FIGURES)
    cursor = RepoCursor(draft, slice_.boundary)
    may_go = may(MACHINE, cursor, "remove") and not any(draft.all(Job))
    return (*(["retry"] if may(MACHINE, cursor, "retry") else []), *(["remove"] if may_go else []))


def _add(draft: Draft, command: inputs.AddRepo) -> str | None:
    if draft.slice.version:
        cursor = RepoCursor(draft, command.repo_id, input_=command)
        trigger = "add" if cursor.state == REMOVED else "retry"
        return None if fire(MACHINE, cursor, trigger) is Fired.MOVED else "the repo is registered already"
    draft.workspace = command.workspace
    draft.put(Repo(command.repo_id, command.workspace, command.name, command.remote, draft.now, draft.now))
    _fire(draft, "add")
    return None


def _retry(draft: Draft, _: inputs.RetryRepo) -> str | None:
    repo = draft.get(Repo, draft.slice.boundary)
    if fire(MACHINE, RepoCursor(draft, repo.id), "retry") is not Fired.MOVED:
        raise _conflict(draft, f"A repo that is {repo.status.value} cannot be asked to retry.")
    return None


def _remove(draft: Draft, _: inputs.RemoveRepo) -> str | None:
    """Let go of it, unless jobs need it; that no live task does is for the store to see, in the very commit."""
    if jobs_open := [job.id for job in draft.all(Job)]:
        raise _conflict(
            draft,
            f"The repo {draft.slice.boundary!r} has jobs that are not over: {', '.join(jobs_open)}. Cancel them, or wait "
            "for their end, then remove it.",
        )
    cursor = RepoCursor(draft, draft.slice.boundary)
    return None if fire(MACHINE, cursor, "remove") is Fired.MOVED else "the repo is removed already"


def _conflict(draft: Draft, sentence: str) -> Conflict:
    repo = draft.get(Repo, draft.slice.boundary)
    return Conflict(
        sentence,
        status=repo.status.value,
        available_actions=available_actions(draft.slice),
        record_id=repo.id,
    )


def _started(draft: Draft, fact: inputs.Started) -> str | None:
    intent = draft.matching(fact.intent_id, fact.issue)
    if isinstance(intent, str):
        return intent
    draft.mark_started(intent)
    if isinstance(intent.body, intents.RunRepoJob):
        jobs.begin(draft, intent.body.job_id)
    return None


def _outcome(draft: Draft, report: inputs.OutcomeReported) -> str | None:
    intent = draft.matching(report.intent_id, report.issue)
    if isinstance(intent, str):
        return intent
    draft.close(intent)
    trigger, value, failed = trigger_of(report.outcome)
    if isinstance(intent.body, intents.RunRepoJob):
        jobs.ended(draft, intent, trigger, value, failed)
        asks.tell_moved(draft, intent.body.job_id, value)
        return None
    if isinstance(intent.body, intents.Tell):
        if isinstance(report.outcome, Failed):
            draft.order_again(intent, report.outcome)
        return None
    _fire(draft, trigger, value, intent, failed)
    return None


def _progressed(draft: Draft, fact: inputs.Progressed) -> str | None:
    intent = draft.matching(fact.intent_id, fact.issue)
    repo = draft.get(Repo, draft.slice.boundary)
    if isinstance(intent, str):
        return intent
    if isinstance(intent.body, intents.RunRepoJob):
        return jobs.progressed(draft, intent.body.job_id, fact.sentence)
    if repo.step is None:
        return "no step is under way"
    draft.put(evolve(repo, step=evolve(repo.step, progress=fact.sentence, last_progress_at=draft.now)))
    return None


def _fire(
    draft: Draft,
    trigger: str,
    input_: object = None,
    intent: Intent | None = None,
    failed: Failed | None = None,
) -> None:
    cursor = RepoCursor(draft, draft.slice.boundary, input_=input_, intent=intent, failed=failed)
    if fire(MACHINE, cursor, trigger) is not Fired.MOVED:
        raise InvariantViolated(f"no row took {trigger!r} from {cursor.state!r}")


_HANDLERS: dict[type, Callable[[Draft, Any], str | None]] = {
    inputs.AddRepo: _add,
    inputs.RetryRepo: _retry,
    inputs.RemoveRepo: _remove,
    inputs.AwaitReady: asks.await_ready,
    inputs.AwaitBranch: asks.await_branch,
    inputs.NoLongerWaits: asks.no_longer_waits,
    inputs.BranchBorn: asks.branch_born,
    inputs.OutcomeReported: _outcome,
    inputs.Progressed: _progressed,
    inputs.RequestJob: jobs.request,
    inputs.CancelJob: jobs.cancel,
    inputs.Started: _started,
    inputs.JobStepped: jobs.stepped,
}
