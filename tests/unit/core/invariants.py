"""Invariants: what is true of a task after every step, whatever came before.

Owns: `INVARIANTS` for a boundary as it stands, `HISTORY` for one step from a boundary to the next, and `rests`.
Never: a script; the walk decides what happens.
Reads as: walk.py after each step -> `check`, `check_step`; at the end of a walk -> `rests`.
"""

from collections import Counter
from collections.abc import Callable

from taskdock.core import intents
from taskdock.core import task as tasks
from taskdock.core.change import Change
from taskdock.core.inputs import TurnEnd
from taskdock.core.intents import Body, Intent
from taskdock.core.message import DELIVERY_UNKNOWN, TRIES_MAX, Message, MessageStatus
from taskdock.core.tab import Tab, TabStatus
from taskdock.core.task import Task, TaskStatus
from taskdock.testing.boundary import FINAL, Boundary

FAILED_KILLS = tasks.KILL_FAILED
WORK: dict[str, type[Body]] = {
    "init_enqueue_provision": intents.EnsureName,
    "init_ensure_name": intents.EnsureName,
    "init_create_sandbox/create": intents.CreateSandbox,
    "init_ensure_agent": intents.EnsureAgent,
    "killing/settle": intents.Wake,
    "killing/collect": intents.CollectWork,
    "killing/destroy": intents.DestroySandbox,
}
"""What moves a task out of each step; the two that wait for something else are looked at by themselves."""


def the_task(boundary: Boundary) -> Task:
    """The task."""
    return boundary.all(Task)[0]


def is_ending(task: Task) -> bool:
    """Whether somebody has killed it."""
    return task.status in (TaskStatus.KILLING, TaskStatus.KILLED) or task.at in FAILED_KILLS


def opened(boundary: Boundary, kind: type[Body], tab: Tab | None = None) -> list[Intent]:
    """The open intents of a kind, of one tab if it is given."""
    found = [intent for intent in boundary.outbox.values() if isinstance(intent.body, kind)]
    return [intent for intent in found if tab is None or getattr(intent.body, "tab_id", None) == tab.id]


def messages_of(boundary: Boundary, tab: Tab, *statuses: MessageStatus) -> list[Message]:
    """The messages of a tab in these statuses."""
    return [m for m in boundary.all(Message) if m.tab_id == tab.id and m.status in statuses]


# As it stands


def one_turn_one_prompt(boundary: Boundary) -> None:
    """A tab has at most one open prompt; a turn has exactly one, started, for its own message."""
    for tab in boundary.all(Tab):
        prompts = opened(boundary, intents.SendPrompt, tab)
        assert len(prompts) <= 1
        assert (tab.turn.message_id is None) == (tab.turn.at == "none") == (tab.turn.started_at is None)
        if tab.turn.at != "none":
            assert isinstance(prompts[0].body, intents.SendPrompt)
            assert prompts[0].started
            assert prompts[0].body.message_id == tab.turn.message_id


def sending_has_its_prompt(boundary: Boundary) -> None:
    """Only the oldest open message of a tab is ever `sending`, and its prompt is open as long as it is."""
    for tab in boundary.all(Tab):
        open_ones = messages_of(boundary, tab, MessageStatus.QUEUED, MessageStatus.SENDING)
        assert all(m.status is MessageStatus.QUEUED for m in sorted(open_ones, key=lambda m: m.number)[1:])
        sending = [message.id for message in messages_of(boundary, tab, MessageStatus.SENDING)]
        bodies = [intent.body for intent in opened(boundary, intents.SendPrompt, tab)]
        prompted = [body.message_id for body in bodies if isinstance(body, intents.SendPrompt)]
        assert set(sending) <= set(prompted)
        assert all(boundary.get(Message, m).at in ("sending", "delivered") for m in prompted)


def messages_are_accounted_for(boundary: Boundary) -> None:
    """Every message has a known status, its number is its own, it was tried five times at most, a failure has a reason."""
    numbers = Counter((message.tab_id, message.number) for message in boundary.all(Message))
    assert max(numbers.values(), default=1) == 1
    for message in boundary.all(Message):
        assert message.status in MessageStatus
        assert message.tries <= TRIES_MAX
        assert (message.reason is not None) == (message.status is MessageStatus.FAILED)


def held_queue_sends_nothing(boundary: Boundary) -> None:
    """While its queue is held, a tab has no prompt; while it is free, ready and idle, its next message is on its way."""
    for tab in boundary.all(Tab):
        assert not (tab.held and opened(boundary, intents.SendPrompt, tab))
        idle = tab.status is TabStatus.READY and tab.turn.at == "none" and not tab.held
        if idle and messages_of(boundary, tab, MessageStatus.QUEUED):
            assert len(opened(boundary, intents.SendPrompt, tab)) == 1


def one_intent_for_one_thing(boundary: Boundary) -> None:
    """Each kind is open once per subject; only copies of the work may wait behind one that runs."""
    found = Counter((intent.subject, type(intent.body).__name__) for intent in boundary.outbox.values())
    assert {key for key, count in found.items() if count > 1} <= {("sandbox", "CollectWork")}
    copies = [
        i.body.quiesce
        for i in opened(boundary, intents.CollectWork)
        if isinstance(i.body, intents.CollectWork)
    ]
    assert len(copies) <= 1 or not any(copies)


def tabs_fit_their_task(boundary: Boundary) -> None:
    """Each status of a tab stands only beside the statuses of its task that explain it."""
    task = the_task(boundary)
    for tab in boundary.all(Tab):
        match tab.at:
            case "pending_provision":
                assert task.status.value.startswith("init_")
                assert task.at not in tasks.UP
            case "pending_session_create":
                assert task.at in tasks.UP
            case "ready" | "closing":
                assert task.at == tasks.RUNNING
            case "error/task":
                assert task.status is TaskStatus.ERROR
            case "error/session":
                assert tab.failure is not None
        assert tab.at == "closed" or not is_ending(task)
        assert (tab.failure is not None) == (tab.status is TabStatus.ERROR)
        assert (tab.closed_at is not None) == (tab.status is TabStatus.CLOSED)


def closed_tabs_are_over(boundary: Boundary) -> None:
    """A closed tab has no turn and no message on its way; only a kill lets its turn settle."""
    for tab in boundary.all(Tab):
        if tab.status is TabStatus.CLOSED and the_task(boundary).at != tasks.SETTLE:
            assert tab.turn.at == "none"
            assert not messages_of(boundary, tab, MessageStatus.QUEUED, MessageStatus.SENDING)
            assert not opened(boundary, intents.SendPrompt, tab)
            assert not opened(boundary, intents.CreateSession, tab)


def every_step_is_moved_by_something(boundary: Boundary) -> None:
    """A status that is no place to rest has an open intent that moves it, or names what it waits for."""
    task = the_task(boundary)
    if task.at in WORK:
        assert opened(boundary, WORK[task.at])
    if task.at == tasks.WAIT_REPO:
        assert task.step is not None
        assert task.step.waits_for
    if task.at == tasks.SESSION:
        assert opened(boundary, intents.CreateSession)
    for tab in boundary.all(Tab):
        if tab.status is TabStatus.PENDING_SESSION_CREATE:
            bodies = [intent.body for intent in opened(boundary, intents.CreateSession, tab)]
            assert bodies == [intents.CreateSession(task.sandbox, tab.agent, tab.id, tab.session)]
        if tab.status is TabStatus.CLOSING:
            assert any(
                intent.body == intents.Wake(f"closing:{tab.id}") for intent in opened(boundary, intents.Wake)
            )


def rest_has_no_work(boundary: Boundary) -> None:
    """Where a task rests, no step is under way, and an error says why; a killed one has nothing open at all."""
    task = the_task(boundary)
    resting = task.status in (TaskStatus.RUNNING, TaskStatus.ERROR, TaskStatus.KILLED)
    assert (task.step is None) == resting
    assert (task.failure is not None) == (task.status is TaskStatus.ERROR)
    if resting:
        assert not any(opened(boundary, kind) for kind in (intents.EnsureName, intents.CreateSandbox))
        assert not any(opened(boundary, kind) for kind in (intents.EnsureAgent, intents.DestroySandbox))
    if task.status is TaskStatus.KILLED:
        assert not boundary.outbox


def work_is_not_lost(boundary: Boundary) -> None:
    """Nothing is released while work is owed, unless the history says that it was given up by force."""
    task = the_task(boundary)
    given_up = any(event.kind.value == "work.given_up" for event in boundary.history)
    if opened(boundary, intents.DestroySandbox) or (task.status is TaskStatus.KILLED and task.work_owed):
        assert not task.work_owed or (task.force and given_up)
    if any(tab.turn.at != "none" for tab in boundary.all(Tab)):
        assert task.work_owed


def sandbox_is_remembered(boundary: Boundary) -> None:
    """As long as anything is ordered about a sandbox, the task knows that it may exist; a killed one has none."""
    task = the_task(boundary)
    if any(hasattr(intent.body, "sandbox") for intent in boundary.outbox.values()):
        assert task.box_ordered
    assert not (task.status is TaskStatus.KILLED and task.box_ordered)


def branch_is_held_until_killed(boundary: Boundary) -> None:
    """A task holds its branch from the moment it has one until it is killed."""
    task = the_task(boundary)
    held = None if task.branch is None or task.status is TaskStatus.KILLED else task.branch
    assert (boundary.hold.branch if boundary.hold else None) == held


INVARIANTS: tuple[Callable[[Boundary], None], ...] = (
    one_turn_one_prompt,
    sending_has_its_prompt,
    messages_are_accounted_for,
    held_queue_sends_nothing,
    one_intent_for_one_thing,
    tabs_fit_their_task,
    closed_tabs_are_over,
    every_step_is_moved_by_something,
    rest_has_no_work,
    work_is_not_lost,
    sandbox_is_remembered,
    branch_is_held_until_killed,
)


def check(boundary: Boundary) -> None:
    """All of them."""
    for invariant in INVARIANTS:
        invariant(boundary)


# From one step to the next


def version_rises_by_one(before: Boundary, change: Change, after: Boundary) -> None:
    """Each change raises the version by one, an ignored input does not; ids are never used again."""
    assert after.version == before.version + (change.ignored is None)
    assert (
        after.runs == before.runs + len({intent.id for intent in change.ordered}) or after.runs >= before.runs
    )
    assert not {intent.id for intent in change.ordered} & before.outbox.keys()


def final_is_final(before: Boundary, _change: Change, after: Boundary) -> None:
    """Closed tabs, killed tasks and settled messages stay what they are; who is being killed stays so."""
    for tab in before.all(Tab):
        if tab.status is TabStatus.CLOSED:
            assert after.get(Tab, tab.id).status is TabStatus.CLOSED
    for message in before.all(Message):
        if message.status in FINAL:
            assert after.get(Message, message.id) == message
    for task in before.all(Task):
        assert is_ending(the_task(after)) or not is_ending(task)
        assert task.status is not TaskStatus.KILLED or the_task(after) == task


def nothing_held_is_sent(before: Boundary, change: Change, after: Boundary) -> None:
    """A prompt is ordered for a free queue only."""
    for intent in change.ordered:
        if isinstance(intent.body, intents.SendPrompt):
            assert not after.get(Tab, intent.body.tab_id).held
    for tab in before.all(Tab):
        ordered = [
            i for i in change.ordered if isinstance(i.body, intents.SendPrompt) and i.body.tab_id == tab.id
        ]
        assert not (tab.held and ordered) or after.get(Tab, tab.id).messages_sent > tab.messages_sent


def unfinished_turn_holds_the_queue(before: Boundary, _change: Change, after: Boundary) -> None:
    """A turn that ended without completing holds the queue, unless its message is proven not to have been sent."""
    for tab in before.all(Tab):
        now = after.get(Tab, tab.id)
        if (
            tab.turn.message_id is not None
            and now.turn.at == "none"
            and now.last_end is not TurnEnd.COMPLETED
        ):
            message = after.get(Message, tab.turn.message_id)
            may_have_arrived = message.status is MessageStatus.DELIVERED or message.reason == DELIVERY_UNKNOWN
            assert now.held or not may_have_arrived
            assert not now.held or message.status in (MessageStatus.DELIVERED, MessageStatus.FAILED)


def next_run_waits(_before: Boundary, change: Change, after: Boundary) -> None:
    """A run after a failed one comes after a pause, within the deadline of the first, and not more often than allowed."""
    for intent in change.ordered:
        if intent.attempt > 1:
            assert intent.not_before is not None
            assert intent.not_before > intent.created_at
            assert intent.deadline_at is not None
            assert intent.not_before < intent.deadline_at
            assert intent.attempt <= after.figures.of(intent.body).attempts_max


HISTORY: tuple[Callable[[Boundary, Change, Boundary], None], ...] = (
    version_rises_by_one,
    final_is_final,
    nothing_held_is_sent,
    unfinished_turn_holds_the_queue,
    next_run_waits,
)


def check_step(before: Boundary, change: Change, after: Boundary) -> None:
    """All of them."""
    for rule in HISTORY:
        rule(before, change, after)


# When nothing is left to happen


def rests(boundary: Boundary) -> None:
    """With an empty outbox every record rests, and every message is settled or queued for a reason."""
    task = the_task(boundary)
    assert not boundary.outbox
    assert (
        task.status in (TaskStatus.RUNNING, TaskStatus.ERROR, TaskStatus.KILLED) or task.at == tasks.WAIT_REPO
    )
    for tab in boundary.all(Tab):
        assert tab.turn.at == "none"
        assert not messages_of(boundary, tab, MessageStatus.SENDING)
        if task.at != tasks.WAIT_REPO:
            assert tab.status in (TabStatus.READY, TabStatus.ERROR, TabStatus.CLOSED)
        if messages_of(boundary, tab, MessageStatus.QUEUED):
            assert tab.held or tab.status is not TabStatus.READY
