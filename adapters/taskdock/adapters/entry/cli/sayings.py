"""Sayings: history in sentences, as the live view, `history` and a log say them.

Owns: the sentence of each kind of event, of a step that ended and of an attempt that failed.
Never: a decision about what is shown where.
Reads as: live.py, history.py, plain.py -> this.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from taskdock.adapters.entry.cli.output import seconds
from taskdock.core.history import HistoryEvent, HistoryKind, Json
from taskdock.core.repo import Repo, RepoStatus

COMMIT_DIGITS = 7
NAME_COLUMNS = 22
"""Of the longest name of a step, `init_enqueue_provision`."""

_Data = Mapping[str, Json]


def of_event(event: HistoryEvent) -> str | None:
    """The sentence of an event; None for one that the rows, or the transcript, tell better."""
    if event.kind is HistoryKind.PERMISSION_ASKED:
        answer = f"taskdock task allow {event.tab_id}, or task reject"
        return f"the agent asks for a permission: {event.data['title']} ({answer})"
    saying = _SAYINGS.get(event.kind)
    return None if saying is None else saying(event.data)


def of_row(name: str, lasted: timedelta, outcome: str) -> str:
    """A step that ended: its duration, and what it brought."""
    return f"{name:<{NAME_COLUMNS}}{seconds(lasted):>10}  {outcome}".rstrip()


def of_attempt(data: _Data) -> str:
    """An attempt that failed while another follows."""
    again = f"; again at {_clock(data['retry_at'])}" if data.get("retry_at") else ""
    return f"attempt {data['attempt']} failed ({data['class']}): {data['reason']}{again}"


def of_clone(repo: Repo) -> str:
    """Where the clone is that a task waits for."""
    if repo.status is RepoStatus.CLONING and repo.step is not None:
        attempt = f" (attempt {repo.step.attempt})" if repo.step.attempt > 1 else ""
        return f"waits for the clone of {repo.name}{attempt}: {repo.step.progress or 'begun'}"
    return f"waits for the clone of {repo.name}: {repo.status.value}"


def of_clone_end(kind: HistoryKind, data: _Data) -> str:
    """How making or removing a clone ended."""
    if kind is HistoryKind.REPO_READY:
        return f"{data['trunk']} at {commit(data['head'])}"
    if kind is HistoryKind.REPO_CLONE_KEPT:
        return str(data["reason"])
    return "removed" if kind is HistoryKind.REPO_CLONE_REMOVED else "failed"


def commit(head: object) -> str:
    """A commit, as people write it."""
    return str(head)[:COMMIT_DIGITS]


def _clock(at: Json) -> str:
    return datetime.fromisoformat(str(at)).astimezone().strftime("%H:%M:%S")


def _attached(data: _Data) -> str:
    where = f" at {commit(data['head'])}" if data.get("head") else ""
    return f"branch {data['branch']}{where}, registered by {data['job']}"


def _named(data: _Data) -> str:
    note = f" ({data['note']})" if data.get("note") else ""
    return f"branch {data['branch']} from {data['base']}{note}"


def _collected(data: _Data) -> str | None:
    kept = data.get("uncommitted") or 0
    edits = f"{kept} files with uncommitted changes are kept" if kept else None
    if data.get("head") is None:
        return edits
    head = commit(data["head"])
    beside = f", and {edits}" if edits else ""
    if data.get("moved"):
        return f"commit {head} kept under the task's own ref: the branch {data['branch']} was moved elsewhere{beside}"
    return f"commit {head} on {data['branch']}{beside}"


def _moved(data: _Data) -> str:
    where = f"moved to {commit(data['new'])}" if data.get("new") else "taken away"
    return f"the branch {data['branch']} was {where} by {data['job']}"


def _lost(data: _Data) -> str:
    kept = f"; the work up to {commit(data['head'])} is kept" if data.get("head") else ""
    owed = ", what came after it may be lost" if data.get("work_owed") else ""
    return f"the sandbox was lost: {data.get('reason') or 'it is gone'}{kept}{owed}"


def _turn_ended(data: _Data) -> str | None:
    return None if data["end"] == "completed" else f"the turn was {data['end']}: {data['detail']}"


_SAYINGS: dict[HistoryKind, Callable[[_Data], str | None]] = {
    HistoryKind.TASK_STEP_FAILED: lambda data: f"{data['step']}: {of_attempt(data)}",
    HistoryKind.TASK_ATTACHED: _attached,
    HistoryKind.TASK_NAMED: _named,
    HistoryKind.TASK_FAILED: lambda data: (
        f"failed in {data['step']}, attempt {data['attempts']} ({data['class']}): {data['reason']}"
    ),
    HistoryKind.TASK_RENAMED: lambda data: f"renamed: {data['title']}",
    HistoryKind.TASK_RETRIED: lambda data: f"retried from {data['step']}",
    HistoryKind.SANDBOX_CREATED: lambda data: f"sandbox {data['sandbox']}",
    HistoryKind.SANDBOX_ADOPTED: lambda data: f"sandbox {data['sandbox']}, found again",
    HistoryKind.SANDBOX_LOST: _lost,
    HistoryKind.SANDBOX_REAPED: lambda data: (
        f"sandbox {data['sandbox']} was left over and is ended: {data['reason']}"
    ),
    HistoryKind.WORK_COLLECTED: _collected,
    HistoryKind.BRANCH_MOVED: _moved,
    HistoryKind.WORK_GIVEN_UP: lambda data: f"work was given up: {data['reason']}",
    HistoryKind.TAB_FAILED: lambda data: (
        f"a tab failed: {data['reason']}" if data.get("cause") == "session" else None
    ),
    HistoryKind.MESSAGE_FAILED: lambda data: f"a message failed: {data['reason']}",
    HistoryKind.TURN_ENDED: _turn_ended,
    HistoryKind.PERMISSION_ANSWERED: lambda data: (
        f"the permission was answered: {data['option']}"
        if data.get("option")
        else "the permission was not given"
    ),
}
