"""Invariants: what is true of a task after every step, whatever came before.

Owns: `INVARIANTS` for a boundary as it stands, and `rests` for one in which nothing is left to happen.
Never: a script (walk.py) and no look outside (world.py); what holds from one step to the next is in invariants_step.py.
Reads as: walk.py after each step -> `check`; at the end of a walk -> `rests`.
"""

from collections import Counter
from collections.abc import Callable

from taskdock.core import intents
from taskdock.core import task_record as at
from taskdock.core.intents import Body, Intent
from taskdock.core.message import TRIES_MAX, Message, MessageStatus
from taskdock.core.tab import Tab, TabStatus
from taskdock.core.task import Task, TaskStatus
from taskdock.core.task_asks import is_for_others
from taskdock.testing.boundary import Boundary

WORK: dict[str, type[Body]] = {
    at.QUEUED: intents.EnsureName,
    at.NAMING: intents.EnsureName,
    at.CREATE: intents.CreateSandbox,
    at.OBSERVE: intents.ObserveSandbox,
    at.LOOKING: intents.ObserveSandbox,
    at.RESCUE: intents.CollectWork,
    at.REPLACE: intents.DestroySandbox,
    at.AGENT: intents.EnsureAgent,
    at.STOP: intents.StopSandbox,
    **dict.fromkeys(at.SETTLING, intents.Wake),
    **dict.fromkeys((at.STOP_WAKE, at.ARCHIVE_WAKE, at.KILL_WAKE), intents.CreateSandbox),
    **dict.fromkeys((at.STOP_COLLECT, at.ARCHIVE_COLLECT, at.KILL_COLLECT), intents.CollectWork),
    **dict.fromkeys((at.ARCHIVE, at.KILL), intents.DestroySandbox),
}
"""What moves a task out of each step; the two that wait for something else are looked at by themselves."""

STEPS_OF_THE_SANDBOX = (
    intents.EnsureName, intents.CreateSandbox, intents.ObserveSandbox, intents.EnsureAgent, intents.StopSandbox,
    intents.DestroySandbox,
)  # fmt: skip
RESTING = (TaskStatus.RUNNING, TaskStatus.STOPPED, TaskStatus.ARCHIVED, TaskStatus.ERROR, TaskStatus.KILLED)
PROVISIONING = (at.ATTACH, at.WAIT_REPO, at.QUEUED, at.NAMING, at.CREATE, *at.HEALING, at.AGENT)
SETTLED = (
    *(state for state in (*at.STOPPED_BY, *at.ARCHIVED_BY) if state not in at.SETTLING), at.STOPPED, at.ARCHIVED,
)  # fmt: skip


def the_task(boundary: Boundary) -> Task:
    """The task."""
    return boundary.all(Task)[0]


def opened(boundary: Boundary, *kinds: type[Body]) -> list[Intent]:
    """The open intents of these kinds."""
    return [intent for intent in boundary.outbox.values() if isinstance(intent.body, kinds)]


def opened_of(boundary: Boundary, tab: Tab, *kinds: type[Body]) -> list[Intent]:
    """The same of one tab."""
    return [i for i in opened(boundary, *kinds) if getattr(i.body, "tab_id", None) == tab.id]


def messages_of(boundary: Boundary, tab: Tab, *statuses: MessageStatus) -> list[Message]:
    """The messages of a tab in these statuses."""
    return [m for m in boundary.all(Message) if m.tab_id == tab.id and m.status in statuses]


# Messages and turns


def one_turn_one_prompt(boundary: Boundary) -> None:
    """A tab has at most one open prompt; a turn has exactly one, started, for its own message."""
    for tab in boundary.all(Tab):
        prompts = opened_of(boundary, tab, intents.SendPrompt)
        assert len(prompts) <= 1
        assert (tab.turn.message_id is None) == (tab.turn.at == "none") == (tab.turn.started_at is None)
        if tab.turn.at != "none":
            assert isinstance(prompts[0].body, intents.SendPrompt)
            assert prompts[0].started
            assert prompts[0].body.message_id == tab.turn.message_id


def nothing_of_a_turn_outlives_it(boundary: Boundary) -> None:
    """A cancel, an answer and their clocks are open for the turn that runs, so none reaches the next one."""
    for tab in boundary.all(Tab):
        if tab.turn.at == "none":
            assert not opened_of(boundary, tab, intents.CancelTurn, intents.AnswerPermission)
            assert not tab.turn.permissions
            assert not _clocks(boundary, f"cancelling:{tab.id}:", f"permission:{tab.id}:")
        if tab.turn.at == "cancelling":
            assert all(permission.at != "asked" for permission in tab.turn.permissions)
        if tab.turn.at == "cancelling" and tab.at == "ready" and the_task(boundary).at not in at.SETTLING:
            assert len(_clocks(boundary, f"cancelling:{tab.id}:{tab.turn.message_id}")) == 1
        for permission in tab.turn.permissions:
            clock = intents.Wake(f"permission:{tab.id}:{permission.id}")
            asked = [intent for intent in opened(boundary, intents.Wake) if intent.body == clock]
            assert len(asked) == (permission.at == "asked")
            assert permission.at == "answered" or permission.option_id is None


def _clocks(boundary: Boundary, *reasons: str) -> list[Intent]:
    return [
        intent
        for intent in opened(boundary, intents.Wake)
        if isinstance(intent.body, intents.Wake) and intent.body.reason.startswith(reasons)
    ]


def sending_has_its_prompt(boundary: Boundary) -> None:
    """Only the oldest open message of a tab is ever `sending`, and its prompt is open as long as it is."""
    for tab in boundary.all(Tab):
        open_ones = messages_of(boundary, tab, MessageStatus.QUEUED, MessageStatus.SENDING)
        assert all(m.status is MessageStatus.QUEUED for m in sorted(open_ones, key=lambda m: m.number)[1:])
        sending = [message.id for message in messages_of(boundary, tab, MessageStatus.SENDING)]
        bodies = [intent.body for intent in opened_of(boundary, tab, intents.SendPrompt)]
        prompted = [body.message_id for body in bodies if isinstance(body, intents.SendPrompt)]
        assert set(sending) <= set(prompted)
        assert all(boundary.get(Message, m).at in ("sending", "delivered") for m in prompted)


def messages_are_accounted_for(boundary: Boundary) -> None:
    """Every message has a known status, its number is its own, it was tried five times at most, a failure has a reason."""
    numbers = Counter((message.tab_id, message.number) for message in boundary.all(Message))
    assert max(numbers.values(), default=1) == 1
    for message in boundary.all(Message):
        assert message.status in MessageStatus
        assert 0 <= message.tries <= TRIES_MAX
        assert (message.reason is not None) == (message.status is MessageStatus.FAILED)


def prompts_go_to_running_tasks(boundary: Boundary) -> None:
    """What has not begun to be sent is on its way only from a ready tab of a running task whose queue is free."""
    for tab in boundary.all(Tab):
        assert not (tab.held and opened_of(boundary, tab, intents.SendPrompt))
        if any(not intent.started for intent in opened_of(boundary, tab, intents.SendPrompt)):
            assert (the_task(boundary).at, tab.at) == (at.RUNNING, "ready")


def free_queue_moves(boundary: Boundary) -> None:
    """A ready, idle tab of a running task whose queue is not held has its next message on its way."""
    for tab in boundary.all(Tab):
        is_free = tab.at == "ready" and tab.turn.at == "none" and not tab.held
        if (
            the_task(boundary).at == at.RUNNING
            and is_free
            and messages_of(boundary, tab, MessageStatus.QUEUED)
        ):
            assert len(opened_of(boundary, tab, intents.SendPrompt)) == 1


# Tabs


def tabs_fit_their_task(boundary: Boundary) -> None:
    """Each status of a tab stands only beside the statuses of its task that explain it."""
    task = the_task(boundary)
    for tab in boundary.all(Tab):
        match tab.at:
            case "pending_provision":
                assert task.at in (*PROVISIONING, *SETTLED, *at.SETTLING)
            case "pending_session_create":
                assert task.at in at.UP
            case "ready" | "closing":
                assert task.at in (at.RUNNING, at.LOOKING, *at.SETTLING)
            case "error/task":
                assert task.status is TaskStatus.ERROR
            case "error/session":
                assert tab.failure is not None
        assert tab.at == "closed" or not task.is_ending
        assert (tab.failure is not None) == (tab.status is TabStatus.ERROR)
        assert (tab.closed_at is not None) == (tab.status is TabStatus.CLOSED)
        assert tab.agent_process is None or tab.at in ("ready", "closing")
        assert tab.generation <= task.generation


def closed_tabs_are_over(boundary: Boundary) -> None:
    """A closed tab has no turn and no message on its way; only a kill lets its turn settle."""
    for tab in boundary.all(Tab):
        if tab.status is TabStatus.CLOSED and the_task(boundary).at != at.KILL_SETTLE:
            assert tab.turn.at == "none"
            assert not messages_of(boundary, tab, MessageStatus.QUEUED, MessageStatus.SENDING)
            assert not opened_of(
                boundary, tab, intents.SendPrompt, intents.CreateSession, intents.ResumeSession
            )


def turns_need_a_session(boundary: Boundary) -> None:
    """Only a ready or closing tab has a turn; a killed task lets those of its closed tabs settle."""
    for tab in boundary.all(Tab):
        if tab.turn.at != "none":
            settles = tab.at == "closed" and the_task(boundary).at == at.KILL_SETTLE
            assert tab.at in ("ready", "closing") or settles


def pending_sessions_are_being_made(boundary: Boundary) -> None:
    """A tab has one session at a time: the one that is being made is its current one, and waits only for a look."""
    task = the_task(boundary)
    for tab in boundary.all(Tab):
        bodies = [i.body for i in opened_of(boundary, tab, intents.CreateSession, intents.ResumeSession)]
        if tab.status is TabStatus.PENDING_SESSION_CREATE:
            assert len(bodies) <= 1
            assert bodies or task.at == at.LOOKING
            assert tab.generation == task.generation
        else:
            assert not bodies
        for body in bodies:
            assert isinstance(body, intents.CreateSession | intents.ResumeSession)
            assert (body.sandbox, body.session) == (task.sandbox, tab.session)
            assert getattr(body, "session_id", None) == tab.session_id
        if tab.status is TabStatus.CLOSING:
            assert _clocks(boundary, f"closing:{tab.id}") or task.at in at.SETTLING


# The task


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


def every_step_is_moved_by_something(boundary: Boundary) -> None:
    """A status that is no place to rest has an open intent that moves it, or names what it waits for."""
    task = the_task(boundary)
    if task.at in WORK:
        assert opened(boundary, WORK[task.at])
    if task.at in (at.WAIT_REPO, at.ATTACH):
        assert task.step is not None
        assert task.step.waits_for
    if task.at == at.SESSION:
        assert opened(boundary, intents.CreateSession, intents.ResumeSession)


def one_step_at_a_time(boundary: Boundary) -> None:
    """Of what makes, looks at and ends a sandbox, only what the step asks for is open."""
    task = the_task(boundary)
    kinds = {type(intent.body) for intent in opened(boundary, *STEPS_OF_THE_SANDBOX)}
    assert kinds <= {WORK.get(task.at)}
    quiesced = [i for i in opened(boundary, intents.CollectWork) if getattr(i.body, "quiesce", False)]
    assert bool(quiesced) == (WORK.get(task.at) is intents.CollectWork)


def rest_has_no_work(boundary: Boundary) -> None:
    """Where a task rests, no step is under way, and an error says why; one that is stopped has nothing open that is its own."""
    task = the_task(boundary)
    resting = task.status in RESTING and task.at != at.LOOKING
    assert (task.step is None) == resting
    assert (task.failure is not None) == (task.status is TaskStatus.ERROR)
    if task.at in (at.STOPPED, at.ARCHIVED, at.KILLED):
        assert not [intent for intent in boundary.outbox.values() if not is_for_others(intent)]


def sandbox_is_remembered(boundary: Boundary) -> None:
    """As long as anything is ordered about a sandbox, the task knows that it may exist; archived, it has none."""
    task = the_task(boundary)
    if any(hasattr(intent.body, "sandbox") for intent in boundary.outbox.values()):
        assert task.box_ordered
    assert all(
        getattr(intent.body, "sandbox", task.sandbox) == task.sandbox for intent in boundary.outbox.values()
    )
    assert not (task.at in (at.ARCHIVED, at.KILLED) and task.box_ordered)
    assert task.box_ordered or not (task.destroy_ordered or task.box_ready or task.mark or task.work_owed)
    if opened(boundary, intents.DestroySandbox):
        assert task.destroy_ordered


def destroyed_is_over(boundary: Boundary) -> None:
    """A sandbox whose end was ordered is neither started, looked at nor emptied again, and owes nothing."""
    task = the_task(boundary)
    if task.destroy_ordered:
        assert not task.work_owed
        assert not opened(boundary, intents.CreateSandbox, intents.ObserveSandbox, intents.CollectWork)
        assert not opened(boundary, intents.CreateSession, intents.ResumeSession, intents.SendPrompt)


def turns_owe_work(boundary: Boundary) -> None:
    """While a turn runs, work is owed."""
    assert the_task(boundary).work_owed or all(tab.turn.at == "none" for tab in boundary.all(Tab))


def branch_is_held_while_it_lives(boundary: Boundary) -> None:
    """A task holds its branch from the moment it has one until it is archived or killed."""
    task = the_task(boundary)
    held = None if task.at in (at.ARCHIVED, at.KILLED) else task.branch
    assert (boundary.hold.branch if boundary.hold else None) == held


def wishes_end_with_what_they_are_for(boundary: Boundary) -> None:
    """Force, discard and the wish to go on stand only while what they were said of is under way, or failed."""
    task = the_task(boundary)
    assert not task.resume_wanted or task.at in (*at.STOPPED_BY, *at.STOP_FAILED)
    assert not task.force or task.is_leaving
    assert not task.discard or task.at not in (at.AGENT, *at.UP, at.STOPPED)


INVARIANTS: tuple[Callable[[Boundary], None], ...] = (
    one_turn_one_prompt,
    nothing_of_a_turn_outlives_it,
    sending_has_its_prompt,
    messages_are_accounted_for,
    prompts_go_to_running_tasks,
    free_queue_moves,
    tabs_fit_their_task,
    closed_tabs_are_over,
    turns_need_a_session,
    pending_sessions_are_being_made,
    one_intent_for_one_thing,
    every_step_is_moved_by_something,
    one_step_at_a_time,
    rest_has_no_work,
    sandbox_is_remembered,
    destroyed_is_over,
    turns_owe_work,
    branch_is_held_while_it_lives,
    wishes_end_with_what_they_are_for,
)


def check(boundary: Boundary) -> None:
    """All of them."""
    for invariant in INVARIANTS:
        invariant(boundary)


# When nothing is left to happen


def rests(boundary: Boundary) -> None:
    """With an empty outbox every record rests, and every message is settled or queued for a reason."""
    task = the_task(boundary)
    assert not boundary.outbox
    assert task.at != at.LOOKING
    assert task.status in RESTING or task.at in (at.WAIT_REPO, at.ATTACH)
    for tab in boundary.all(Tab):
        assert tab.turn.at == "none"
        assert not messages_of(boundary, tab, MessageStatus.SENDING)
        if task.at in (at.STOPPED, at.ARCHIVED, at.WAIT_REPO, at.ATTACH):
            assert tab.at in ("pending_provision", "error/session", "closed")
        else:
            assert tab.status in (TabStatus.READY, TabStatus.ERROR, TabStatus.CLOSED)
        if messages_of(boundary, tab, MessageStatus.QUEUED):
            assert tab.held or tab.status is not TabStatus.READY
