"""Judge: holds what was seen of a task at rest against what was promised.

Owns: `judge`.
Never: a look of its own; a rule of the machines told again.
Reads as: trial.py -> `judge(sight)` -> findings.
"""

from collections import Counter
from collections.abc import Iterator

from taskdock.core import task_record as at
from taskdock.core.history import HistoryKind
from taskdock.core.job import CANCELLED, COMPLETED
from taskdock.core.message import DELIVERY_UNKNOWN, MessageStatus
from taskdock.core.task import TaskStatus
from taskdock.ports.sandbox import Phase
from taskdock.testing.kill_matrix.promises import Finding, Promise
from taskdock.testing.kill_matrix.sight import Sight

_GONE = (at.ARCHIVED, at.KILLED)


def judge(sight: Sight) -> list[Finding]:
    """Every promise that is broken."""
    rules = (
        _comes_about,
        _one_sandbox,
        _phase,
        _files,
        _list,
        _labels,
        _sessions,
        _messages,
        _work,
        _jobs,
        _history,
        _feed,
    )
    return [finding for rule in rules for finding in rule(sight)]


def _comes_about(sight: Sight) -> Iterator[Finding]:
    task = sight.view.task
    if task.failure is not None:
        yield Finding(Promise.GOES_ON, f"the task is {task.at}: {task.failure.reason}")
    for tab in sight.view.tabs:
        if tab.failure is not None and tab.at == "error/session":
            yield Finding(Promise.GOES_ON, f"the tab {tab.name} is {tab.at}: {tab.failure.reason}")


def _one_sandbox(sight: Sight) -> Iterator[Finding]:
    """Only the current generation, and none of a task that is gone."""
    task, boxes = sight.view.task, sight.boxes
    for name, seen in boxes.there.items():
        if task.at in _GONE or name != task.sandbox.name:
            words = f"{name} is {seen.phase.value}, and its task is {task.at} at generation {task.generation}"
            yield Finding(Promise.NOTHING_LEFT, words)
    strangers = {one.ref.name for one in boxes.listed} - boxes.observed.keys()
    if strangers:
        yield Finding(Promise.ONE_SANDBOX, f"the provider lists {sorted(strangers)}, a name that nobody gave")
    for name, count in Counter(one.ref.name for one in boxes.listed).items():
        if count > 1:
            yield Finding(Promise.ONE_SANDBOX, f"the provider lists {count} sandboxes of the name {name}")


def _phase(sight: Sight) -> Iterator[Finding]:
    task, boxes = sight.view.task, sight.boxes
    phase = boxes.observed[task.sandbox.name].phase
    if task.at == at.RUNNING and phase is not Phase.RUNNING:
        yield Finding(Promise.THERE, f"{task.sandbox.name} of a running task is {phase.value}")
    if task.at != at.STOPPED:
        return
    if phase is not Phase.STOPPED and not (phase is Phase.ABSENT and not boxes.keeps_files):
        yield Finding(Promise.STOPPED, f"{task.sandbox.name} of a stopped task is {phase.value}")
    if sight.serves:
        yield Finding(Promise.STOPPED, f"an agent's server answers in {task.sandbox.name}")


def _files(sight: Sight) -> Iterator[Finding]:
    if sight.has_mark is False and sight.boxes.keeps_files:
        words = (
            f"a file that was left in {sight.view.task.sandbox.name} before the kill is not there any more"
        )
        yield Finding(Promise.FILES_STAY, words)


def _list(sight: Sight) -> Iterator[Finding]:
    boxes = sight.boxes
    listed = {one.ref.name for one in boxes.listed}
    for name, seen in boxes.observed.items():
        if name in boxes.there and name not in listed:
            yield Finding(Promise.LISTED, f"{name} is {seen.phase.value} when it is observed, and not listed")
        if name not in boxes.there and name in listed:
            yield Finding(Promise.LISTED, f"{name} is absent when it is observed, and still listed")


def _labels(sight: Sight) -> Iterator[Finding]:
    task = sight.view.task
    wanted = {"owner": task.owner, "task": task.id, "generation": str(task.generation)}
    seen = sight.boxes.there.get(task.sandbox.name)
    if seen is not None and {**seen.labels, **wanted} != seen.labels:
        yield Finding(
            Promise.LABELLED, f"{seen.ref.name} carries {dict(seen.labels)}, and should carry {wanted}"
        )


def _sessions(sight: Sight) -> Iterator[Finding]:
    task = sight.view.task
    if task.at == at.RUNNING and not sight.serves:
        yield Finding(Promise.ONE_SESSION, f"no agent's server answers in {task.sandbox.name}")
    for tab in sight.view.tabs:
        found = list(sight.sessions[tab.id])
        wanted = [tab.session] if tab.at == "ready" else []
        if found != wanted and tab.at != "error/session":
            words = f"the tab {tab.name} is {tab.at} and has the sessions {found}, it should have {wanted}"
            yield Finding(Promise.ONE_SESSION, words)


def _messages(sight: Sight) -> Iterator[Finding]:
    counts = Counter(sight.prompts)
    stored = {message.id for message in sight.messages}
    if stored != set(sight.accepted):
        yield Finding(
            Promise.ONCE, f"accepted and stored messages differ: {sorted(stored ^ set(sight.accepted))}"
        )
    for message in sight.messages:
        status, count = message.status, counts[message.id]
        is_known = status is MessageStatus.DELIVERED or message.reason == DELIVERY_UNKNOWN
        least = 1 if status is MessageStatus.DELIVERED else 0
        if not is_known:
            yield Finding(Promise.ONCE, f"{message.id} is {status.value}: {message.reason}")
        if not least <= count <= 1:
            yield Finding(
                Promise.ONCE, f"{message.id} is {status.value} and was seen {count} times by its agent"
            )
    for request in counts.keys() - stored:
        yield Finding(Promise.ONCE, f"an agent saw {request}, which nobody sent")


def _work(sight: Sight) -> Iterator[Finding]:
    task, kept = sight.view.task, sight.kept
    if kept.told is None:
        return
    if task.head is None or not task.head.startswith(kept.told):
        yield Finding(Promise.KEPT, f"the agent told of {kept.told}, the task stands at {task.head}")
        return
    if kept.branch_head != task.head and not task.moved and not _is_moved_by_a_job(sight):
        yield Finding(Promise.KEPT, f"{task.branch} in the clone is {kept.branch_head}, the task {task.head}")
    if task.head not in kept.known:
        yield Finding(Promise.KEPT, f"the clone does not know {task.head}, it knows {sorted(kept.known)}")
    if task.status is TaskStatus.RUNNING and kept.checkout_head != task.head:
        yield Finding(
            Promise.KEPT, f"{task.sandbox.name} has {kept.checkout_head} checked out, not {task.head}"
        )


def _is_moved_by_a_job(sight: Sight) -> bool:
    """Whether a job tells that it moved the task's branch from where the task stands to where it is."""
    task = sight.view.task
    moves = [job.result.changed.get(task.branch or "") for job in sight.jobs if job.result is not None]
    return any(one is not None and (one.old, one.new) == (task.head, sight.kept.branch_head) for one in moves)


def _jobs(sight: Sight) -> Iterator[Finding]:
    """Each as it was asked for; what the newest moved is where it says."""
    for job in sight.jobs:
        wanted = CANCELLED if job.id in sight.ended_jobs else COMPLETED
        if job.at != wanted:
            reason = "" if job.failure is None else f": {job.failure.reason}"
            yield Finding(Promise.JOBS, f"a {job.kind.value} is {job.at}, not {wanted}{reason}")
    for job in sight.jobs[-1:]:
        changed = {} if job.result is None else job.result.changed
        if not changed:
            yield Finding(Promise.JOBS, f"a {job.kind.value} tells of no change, and trunk had moved")
        away = [name for name, one in changed.items() if sight.heads.get(name) != one.new]
        if away:
            yield Finding(Promise.JOBS, f"a {job.kind.value} tells of {away}, which stand elsewhere")
    if sight.disorder:
        yield Finding(Promise.JOBS, f"the clone holds {list(sight.disorder)}")


def _history(sight: Sight) -> Iterator[Finding]:
    numbers = [one.number for one in sight.history]
    if numbers != sorted(set(numbers)):
        yield Finding(Promise.TOLD, f"the numbers of the history are {numbers}")
    kinds = Counter(one.event.kind for one in sight.history)
    wanted = {HistoryKind.TASK_CREATED: 1, HistoryKind.TASK_KILLED: int(sight.view.task.at == at.KILLED)}
    for kind, count in wanted.items():
        if kinds[kind] != count:
            yield Finding(Promise.TOLD, f"{kind.value} stands {kinds[kind]} times in the history")
    for one in sight.history:
        broken = [value for value in one.event.data.values() if isinstance(value, str) and "bug:" in value]
        if broken:
            yield Finding(Promise.KEEPS_FAITH, f"{one.event.kind.value}: {broken[0]}")


def _feed(sight: Sight) -> Iterator[Finding]:
    positions = [entry.position for entry in sight.feed]
    if positions != sorted(set(positions)):
        yield Finding(Promise.TOLD, f"the positions of the feed are {positions}")
    told = [int(entry.id) for entry in sight.feed if entry.kind == "history"]
    if told != [one.number for one in sight.history]:
        yield Finding(Promise.TOLD, f"the feed tells of the events {told}, the history has others")
    newest: dict[tuple[str, str], int] = {}
    for entry in sight.feed:
        if (entry.kind, entry.id) in sight.versions:
            if entry.version < newest.get((entry.kind, entry.id), 0):
                yield Finding(Promise.TOLD, f"the feed goes back to version {entry.version} of {entry.id}")
            newest[entry.kind, entry.id] = entry.version
    for place, version in sight.versions.items():
        if newest.get(place) != version:
            yield Finding(Promise.TOLD, f"the feed has {place[1]} at {newest.get(place)}, it is at {version}")
