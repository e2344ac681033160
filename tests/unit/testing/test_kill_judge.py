"""The judge of the kill matrix: each promise, broken alone in what was seen of an otherwise sound task."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve

from taskdock.app import TaskView
from taskdock.core.history import HistoryEvent, HistoryKind
from taskdock.core.inputs import FailureClass
from taskdock.core.job import Job
from taskdock.core.job_record import JobKind, JobResult, Moved
from taskdock.core.message import DELIVERY_UNKNOWN, Message
from taskdock.core.step import Failure
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from taskdock.core.values import sandbox_name
from taskdock.ports.sandbox import Observation, Phase, SandboxRef
from taskdock.ports.store import FeedEntry, StoredEvent
from taskdock.testing.kill_matrix.judge import judge
from taskdock.testing.kill_matrix.promises import Promise
from taskdock.testing.kill_matrix.sight import Boxes, Kept, Sight

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEAD = "a" * 40
OWNER = "owner-1"
NAMES = [sandbox_name(OWNER, "task-1", generation) for generation in (1, 2)]
RESTACKED = "d" * 40
MOVES = {"a-note": Moved(HEAD, RESTACKED), "main": Moved("c" * 40, "e" * 40)}
FAILURE = Failure("init_ensure_agent", FailureClass.PERMANENT, "it is broken", 1, "try again")


def seen(name: str, phase: Phase = Phase.RUNNING, **labels: str) -> Observation:
    """What a provider says of one box of the task."""
    wanted = {"owner": OWNER, "task": "task-1", "generation": name[-1], "colour": "its own", **labels}
    return Observation(SandboxRef("yours", name), phase, NOW, labels=wanted)


def sound() -> Sight:
    """A running task in its second sandbox, whose agent has committed once."""
    task = Task(
        id="task-1",
        workspace="default",
        owner=OWNER,
        repo_id="repo-1",
        provider="yours",
        agent="demo",
        first_message_id="message-1",
        title="A note",
        created_at=NOW,
        updated_at=NOW,
        at="running",
        branch="a-note",
        generation=2,
        head=HEAD,
    )
    tab = Tab("tab-1", "task-1", 1, "Tab 1", "demo", NOW, NOW, at="ready", generation=2, session=2)
    message = Message("message-1", "task-1", "tab-1", 1, NOW, NOW, at="delivered")
    created = StoredEvent(1, "task-1", HistoryEvent(HistoryKind.TASK_CREATED, NOW))
    return Sight(
        view=TaskView(task, (tab,), version=3, available_actions={}, waits_for=None),
        boxes=Boxes(
            {NAMES[0]: seen(NAMES[0], Phase.ABSENT), NAMES[1]: seen(NAMES[1])}, [seen(NAMES[1])], True
        ),
        has_mark=True,
        serves=True,
        sessions={"tab-1": [2]},
        messages=[message],
        accepted=["message-1"],
        prompts=["message-1"],
        kept=Kept(HEAD[:7], HEAD, ["b" * 40, HEAD], HEAD),
        jobs=[],
        ended_jobs=(),
        heads={"a-note": HEAD},
        disorder=[],
        history=[created],
        feed=[
            FeedEntry(4, "task", "task-1", 1, "default", "task-1"),
            FeedEntry(5, "history", "1", 1, "default", "task-1"),
            FeedEntry(9, "task", "task-1", 3, "default", "task-1"),
        ],
        versions={("task", "task-1"): 3},
    )


def with_task(sight: Sight, **changes: Any) -> Sight:
    """The same with a task that differs."""
    return evolve(sight, view=evolve(sight.view, task=evolve(sight.view.task, **changes)))


def with_tab(sight: Sight, **changes: Any) -> Sight:
    """The same with a tab that differs."""
    return evolve(sight, view=evolve(sight.view, tabs=(evolve(sight.view.tabs[0], **changes),)))


def with_boxes(sight: Sight, *observed: Observation, listed: list[Observation]) -> Sight:
    """The same with boxes that differ."""
    by_name = {one.ref.name: one for one in observed}
    return evolve(
        sight, boxes=evolve(sight.boxes, observed={**sight.boxes.observed, **by_name}, listed=listed)
    )


def with_message(sight: Sight, status: str, reason: str | None = None, prompts: int = 1) -> Sight:
    """The same with a message that differs, and was seen so often."""
    message = evolve(sight.messages[0], at=status, reason=reason)
    return evolve(sight, messages=[message], prompts=["message-1"] * prompts)


def with_history(*events: tuple[int, HistoryKind]) -> Sight:
    """The same with another history, and a feed that tells of it."""
    history = [StoredEvent(number, "task-1", HistoryEvent(kind, NOW)) for number, kind in events]
    told = [
        FeedEntry(10 + place, "history", str(one.number), 1, "default", "task-1")
        for place, one in enumerate(history)
    ]
    return evolve(sound(), history=history, feed=[sound().feed[0], sound().feed[2], *told])


def with_job(*, at: str = "completed", changed: Mapping[str, Moved] = MOVES, **sight: Any) -> Sight:
    """The same after a restack that moved the task's branch, from where the task stands."""
    job = Job(
        "job-1", "repo-1", "default", 1, JobKind.RESTACK_REPO, NOW, NOW, at=at, result=JobResult(changed)
    )
    kept = evolve(sound().kept, branch_head=RESTACKED)
    heads = {"a-note": RESTACKED, "main": "e" * 40}
    return evolve(sound(), **{"jobs": [job], "kept": kept, "heads": heads, **sight})


def at_rest(state: str, phase: Phase, *, listed: bool) -> Sight:
    """The same task, stopped or gone, with nothing that runs."""
    box = seen(NAMES[1], phase)
    resting = with_boxes(
        with_task(with_tab(sound(), at="pending_provision"), at=state), box, listed=[box] * listed
    )
    return evolve(resting, serves=False, sessions={"tab-1": []})


SOUND: dict[str, Callable[[], Sight]] = {
    "running": sound,
    "stopped": lambda: at_rest("stopped", Phase.STOPPED, listed=True),
    "archived": lambda: at_rest("archived", Phase.ABSENT, listed=False),
    "delivery unknown, and not seen": lambda: with_message(sound(), "failed", DELIVERY_UNKNOWN, prompts=0),
    "delivery unknown, and seen": lambda: with_message(sound(), "failed", DELIVERY_UNKNOWN),
    "a job restacked the branch": with_job,
    "a job ended as asked": lambda: with_job(at="cancelled", ended_jobs=["job-1"]),
    "nothing was committed": lambda: with_task(evolve(sound(), kept=Kept(None, None, [], HEAD)), head=None),
    "the branch was moved by others": lambda: with_task(
        evolve(sound(), kept=evolve(sound().kept, branch_head="c" * 40)), moved=True
    ),
}

BROKEN: dict[str, tuple[Callable[[], Sight], Promise]] = {
    "a job failed": (lambda: with_job(at="error"), Promise.JOBS),
    "a cancelled job counts as done": (lambda: with_job(ended_jobs=["job-1"]), Promise.JOBS),
    "a job tells of nothing": (
        lambda: with_job(changed={}, kept=sound().kept, heads={"a-note": HEAD}),
        Promise.JOBS,
    ),
    "a branch is not where its job says": (
        lambda: with_job(heads={"a-note": RESTACKED, "main": "f" * 40}),
        Promise.JOBS,
    ),
    "a rebase was left": (lambda: with_job(disorder=["rebase-merge"]), Promise.JOBS),
    "a job moved the branch from elsewhere": (
        lambda: with_job(changed={"a-note": Moved("c" * 40, RESTACKED)}),
        Promise.KEPT,
    ),
    "the task failed": (lambda: with_task(sound(), failure=FAILURE), Promise.GOES_ON),
    "the session failed": (lambda: with_tab(sound(), at="error/session", failure=FAILURE), Promise.GOES_ON),
    "an older generation is there": (
        lambda: with_boxes(sound(), seen(NAMES[0]), listed=[seen(NAMES[0]), seen(NAMES[1])]),
        Promise.NOTHING_LEFT,
    ),
    "a box of an archived task": (
        lambda: at_rest("archived", Phase.DESTROYING, listed=True),
        Promise.NOTHING_LEFT,
    ),
    "a box that nobody named": (
        lambda: with_boxes(sound(), listed=[seen(NAMES[1]), seen("td-other-2")]),
        Promise.ONE_SANDBOX,
    ),
    "two boxes of one name": (
        lambda: with_boxes(sound(), listed=[seen(NAMES[1]), seen(NAMES[1])]),
        Promise.ONE_SANDBOX,
    ),
    "the box of a running task is stopped": (
        lambda: with_boxes(sound(), seen(NAMES[1], Phase.STOPPED), listed=[seen(NAMES[1], Phase.STOPPED)]),
        Promise.THERE,
    ),
    "the box of a stopped task runs": (
        lambda: at_rest("stopped", Phase.RUNNING, listed=True),
        Promise.STOPPED,
    ),
    "the box of a stopped task is gone": (
        lambda: at_rest("stopped", Phase.ABSENT, listed=False),
        Promise.STOPPED,
    ),
    "a server in a stopped box": (
        lambda: evolve(at_rest("stopped", Phase.STOPPED, listed=True), serves=True),
        Promise.STOPPED,
    ),
    "a file in the box is gone": (lambda: evolve(sound(), has_mark=False), Promise.FILES_STAY),
    "a box that is not listed": (lambda: with_boxes(sound(), listed=[]), Promise.LISTED),
    "a box that is listed and gone": (
        lambda: with_boxes(sound(), listed=[seen(NAMES[0], Phase.ABSENT), seen(NAMES[1])]),
        Promise.LISTED,
    ),
    "another generation on the label": (
        lambda: with_boxes(sound(), seen(NAMES[1], generation="1"), listed=[seen(NAMES[1])]),
        Promise.LABELLED,
    ),
    "no server in a running box": (lambda: evolve(sound(), serves=False), Promise.ONE_SESSION),
    "an earlier session beside": (lambda: evolve(sound(), sessions={"tab-1": [1, 2]}), Promise.ONE_SESSION),
    "no session of a ready tab": (lambda: evolve(sound(), sessions={"tab-1": []}), Promise.ONE_SESSION),
    "a session of a closed tab": (lambda: with_tab(sound(), at="closed"), Promise.ONE_SESSION),
    "a message is lost": (lambda: evolve(sound(), messages=[], prompts=[]), Promise.ONCE),
    "a prompt was seen twice": (lambda: with_message(sound(), "delivered", prompts=2), Promise.ONCE),
    "a delivered prompt was never seen": (
        lambda: with_message(sound(), "delivered", prompts=0),
        Promise.ONCE,
    ),
    "an unknown delivery was seen twice": (
        lambda: with_message(sound(), "failed", DELIVERY_UNKNOWN, prompts=2),
        Promise.ONCE,
    ),
    "a message failed otherwise": (lambda: with_message(sound(), "failed", "it was refused"), Promise.ONCE),
    "a prompt that nobody sent": (
        lambda: evolve(sound(), prompts=["message-1", "message-2"]),
        Promise.ONCE,
    ),
    "a commit is nowhere": (lambda: with_task(sound(), head="c" * 40), Promise.KEPT),
    "the branch stays behind": (
        lambda: evolve(sound(), kept=evolve(sound().kept, branch_head="b" * 40)),
        Promise.KEPT,
    ),
    "the clone does not know the head": (
        lambda: evolve(sound(), kept=evolve(sound().kept, known=["b" * 40])),
        Promise.KEPT,
    ),
    "the next sandbox is older": (
        lambda: evolve(sound(), kept=evolve(sound().kept, checkout_head="b" * 40)),
        Promise.KEPT,
    ),
    "the history goes back": (
        lambda: with_history((2, HistoryKind.TASK_RUNNING), (1, HistoryKind.TASK_CREATED)),
        Promise.TOLD,
    ),
    "never created": (lambda: with_history((1, HistoryKind.TASK_RUNNING)), Promise.TOLD),
    "killed, and it is not told": (
        lambda: with_task(at_rest("archived", Phase.ABSENT, listed=False), at="killed"),
        Promise.TOLD,
    ),
    "created twice": (lambda: evolve(sound(), history=[*sound().history, *sound().history]), Promise.TOLD),
    "an event is not told": (lambda: evolve(sound(), feed=[sound().feed[0], sound().feed[2]]), Promise.TOLD),
    "the feed repeats itself": (lambda: evolve(sound(), feed=[*sound().feed, sound().feed[2]]), Promise.TOLD),
    "the feed goes back": (
        lambda: evolve(
            sound(),
            feed=[
                *sound().feed,
                evolve(sound().feed[0], position=10),
                evolve(sound().feed[2], position=11),
            ],
        ),
        Promise.TOLD,
    ),
    "a change is not told": (lambda: evolve(sound(), feed=sound().feed[:2]), Promise.TOLD),
    "an executor broke": (
        lambda: evolve(
            sound(),
            history=[
                evolve(
                    sound().history[0],
                    event=HistoryEvent(HistoryKind.TASK_CREATED, NOW, data={"reason": "bug: KeyError"}),
                )
            ],
        ),
        Promise.KEEPS_FAITH,
    ),
}


@pytest.mark.parametrize("sight", SOUND.values(), ids=SOUND.keys())
def test_what_is_sound_is_not_blamed(sight: Callable[[], Sight]) -> None:
    """A task that is as promised gives no finding."""
    assert judge(sight()) == []


@pytest.mark.parametrize(("sight", "promise"), BROKEN.values(), ids=BROKEN.keys())
def test_each_break_is_told_by_its_promise(sight: Callable[[], Sight], promise: Promise) -> None:
    """What is not as promised gives findings, and the first names the promise that is broken."""
    found = judge(sight())
    assert found
    assert found[0].promise is promise, found


def test_a_provider_that_keeps_no_files_may_lose_a_stopped_box() -> None:
    """Absent is as good as stopped where the provider says that a stop keeps nothing."""
    stopped = at_rest("stopped", Phase.ABSENT, listed=False)
    assert judge(evolve(stopped, boxes=evolve(stopped.boxes, keeps_files=False))) == []
    resumed = evolve(sound(), boxes=evolve(sound().boxes, keeps_files=False), has_mark=False)
    assert judge(resumed) == []
