"""Task policies: what the status of a task means for its tabs, and of a tab for its messages.

Owns: `RULES`, the readable list, and `settle`, which applies it until nothing changes.
Never: a status; every rule fires a trigger and lets the table decide.
Reads as: task_boundary handles one input -> `settle(draft)` -> the draft is frozen.

A rule looks at statuses alone, so it holds whatever input led there, and applying it twice changes nothing more.
"""

from collections.abc import Callable

from taskdock.core import message as messages
from taskdock.core import tab as tabs
from taskdock.core import task as tasks
from taskdock.core.change import Draft, Place
from taskdock.core.errors import InvariantViolated
from taskdock.core.inputs import Failed, TurnEnd
from taskdock.core.intents import CollectWork, SendPrompt, Wake
from taskdock.core.machine import Fired, fire
from taskdock.core.message import MESSAGE_MACHINE, TURN_MACHINE, Message, MessageCursor, TurnCursor
from taskdock.core.tab import Tab, TabCursor
from taskdock.core.task import Task, TaskCursor, TaskStatus

_ROUNDS_MAX = 10_000


def settle(draft: Draft) -> None:
    """Apply the rules to a fixpoint; a set of rules that never rests is a bug."""
    for _ in range(_ROUNDS_MAX):
        if not any(rule(draft) for rule in RULES):
            return
    raise InvariantViolated(f"the policies of {draft.slice.boundary} never come to rest")


def the_task(draft: Draft) -> Task:
    """The task of the boundary."""
    return next(draft.all(Task))


def messages_of(draft: Draft, tab_id: str) -> list[Message]:
    """The messages of a tab that are not final, in order."""
    open_ones = (
        m for m in draft.all(Message) if m.tab_id == tab_id and m.at in (messages.QUEUED, messages.SENDING)
    )
    return sorted(open_ones, key=lambda message: message.number)


def end_turn(draft: Draft, tab_id: str, end: TurnEnd, detail: str) -> None:
    """End the running turn: its message is settled, its prompt is taken back, and a copy of the work is collected."""
    turn = draft.get(Tab, tab_id).turn
    message = draft.find(Message, turn.message_id) if turn.message_id else None
    if message is not None and message.at == messages.SENDING:
        trigger = "lost" if end is TurnEnd.INTERRUPTED else "delivered"
        fire(MESSAGE_MACHINE, MessageCursor(draft, message.id, reason=messages.DELIVERY_UNKNOWN), trigger)
    _take_back_prompts(draft, tab_id)
    if fire(TURN_MACHINE, TurnCursor(draft, tab_id, end=end, detail=detail), "end") is Fired.MOVED:
        _collect_copy(draft)


def _take_back_prompts(draft: Draft, tab_id: str) -> None:
    for intent in draft.intents(SendPrompt):
        if isinstance(intent.body, SendPrompt) and intent.body.tab_id == tab_id:
            draft.cancel(intent)


def _collect_copy(draft: Draft) -> None:
    """Order a copy of the work, unless one is waiting to be taken that will see this turn's work as well."""
    task = the_task(draft)
    waiting = any(intent.issue == 0 for intent in draft.intents(CollectWork))
    if task.at in tasks.UP and task.branch is not None and not waiting:
        body = CollectWork(task.sandbox, task.repo_id, task.branch, quiesce=False)
        draft.order(body, Place("sandbox", "collect"))


def _tabs_fail_with_their_task(draft: Draft) -> bool:
    """A task in error: its open tabs are told in the same commit."""
    if the_task(draft).status is not TaskStatus.ERROR:
        return False
    return _fire_tabs(draft, "task_failed")


def _tabs_close_with_their_task(draft: Draft) -> bool:
    """A task being killed: every tab closes."""
    if the_task(draft).status not in (TaskStatus.KILLING, TaskStatus.KILLED):
        return False
    return _fire_tabs(draft, "task_killing")


def _tabs_go_on_with_their_task(draft: Draft) -> bool:
    """A task that left error: the tabs that failed with it wait again."""
    if the_task(draft).status in (TaskStatus.ERROR, TaskStatus.KILLING, TaskStatus.KILLED):
        return False
    return _fire_tabs(draft, "task_goes_on")


def _tabs_get_their_session(draft: Draft) -> bool:
    """The agent is ready: waiting tabs get a session; tabs whose own session failed do when it became ready just now."""
    if the_task(draft).at not in tasks.UP:
        return False
    just_now = tasks.SESSION in draft.entered
    sources = (tabs.PENDING_PROVISION, tabs.ERROR_SESSION) if just_now else (tabs.PENDING_PROVISION,)
    moved = _fire_tabs(draft, "agent_ready", sources)
    if just_now:
        draft.entered.remove(tasks.SESSION)
    return moved


def _task_runs_with_its_first_session(draft: Draft) -> bool:
    """The last step of provisioning ends with the first tab that is ready, or with the last one that failed."""
    task = the_task(draft)
    open_tabs = [tab for tab in draft.all(Tab) if tab.is_open]
    if task.at != tasks.SESSION:
        return False
    if not open_tabs or any(tab.at == tabs.READY for tab in open_tabs):
        return fire(tasks.MACHINE, TaskCursor(draft, task.id), "session_settled") is Fired.MOVED
    failure = open_tabs[-1].failure
    if failure is None or any(tab.at != tabs.ERROR_SESSION for tab in open_tabs):
        return False
    failed = Failed(failure.failure_class, failure.reason, log_tail=failure.log_tail)
    cursor = TaskCursor(draft, task.id, failed=failed, attempts=failure.attempts)
    return fire(tasks.MACHINE, cursor, "sessions_failed") is Fired.MOVED


def _turns_are_cancelled(draft: Draft) -> bool:
    """A task being killed or a tab being closed: its running turn is asked to end."""
    settling = the_task(draft).at == tasks.SETTLE
    moved = False
    for tab in draft.all(Tab):
        if (settling or tab.at == tabs.CLOSING) and tab.turn.at == messages.RUNNING:
            moved |= fire(TURN_MACHINE, TurnCursor(draft, tab.id), "cancel") is Fired.MOVED
    return moved


def _turns_end_with_their_session(draft: Draft) -> bool:
    """A turn without its session is over; only a kill waits a little for the turns of tabs that it closed."""
    settling = the_task(draft).at == tasks.SETTLE
    moved = False
    for tab in draft.all(Tab):
        if tab.turn.at != messages.NONE and tab.at not in (tabs.READY, tabs.CLOSING) and not settling:
            end_turn(draft, tab.id, TurnEnd.INTERRUPTED, _why_interrupted(draft, tab))
            moved = True
    return moved


def _why_interrupted(draft: Draft, tab: Tab) -> str:
    failure = the_task(draft).failure
    if tab.at == tabs.CLOSED:
        return "the tab was closed"
    return failure.reason if failure else "the agent's session was lost"


def _unsent_messages_come_back(draft: Draft) -> bool:
    """A message whose prompt never started goes back into the queue when its tab is not ready any more."""
    moved = False
    for tab in draft.all(Tab):
        if tab.at == tabs.READY or tab.turn.at != messages.NONE:
            continue
        for message in messages_of(draft, tab.id):
            if message.at == messages.SENDING:
                _take_back_prompts(draft, tab.id)
                reason = f"it could not be sent in {messages.TRIES_MAX} tries"
                moved |= (
                    fire(MESSAGE_MACHINE, MessageCursor(draft, message.id, reason=reason), "not_sent")
                    is Fired.MOVED
                )
    return moved


def _queues_end_with_their_tab(draft: Draft) -> bool:
    """A closed or closing tab: what is still queued is withdrawn."""
    moved = False
    for tab in draft.all(Tab):
        if tab.is_open:
            continue
        for message in messages_of(draft, tab.id):
            if message.at == messages.QUEUED:
                moved |= fire(MESSAGE_MACHINE, MessageCursor(draft, message.id), "tab_closed") is Fired.MOVED
    return moved


def _next_message_is_sent(draft: Draft) -> bool:
    """A ready tab without a turn sends its next message, unless its queue is held."""
    moved = False
    for tab in draft.all(Tab):
        waiting = messages_of(draft, tab.id)
        free = tab.at == tabs.READY and tab.turn.at == messages.NONE and not tab.held
        if free and waiting and waiting[0].at == messages.QUEUED:
            moved |= fire(MESSAGE_MACHINE, MessageCursor(draft, waiting[0].id), "tab_is_free") is Fired.MOVED
    return moved


def _kill_goes_on_when_turns_are_settled(draft: Draft) -> bool:
    """No turn runs any more: stop waiting."""
    task = the_task(draft)
    if task.at != tasks.SETTLE or any(tab.turn.at != messages.NONE for tab in draft.all(Tab)):
        return False
    for intent in draft.intents(Wake):
        if intent.body == Wake("settle"):
            draft.cancel(intent)
    return fire(tasks.MACHINE, TaskCursor(draft, task.id), "settled") is Fired.MOVED


def _fire_tabs(draft: Draft, trigger: str, sources: tuple[str, ...] | None = None) -> bool:
    moved = False
    for tab in draft.all(Tab):
        if sources is None or tab.at in sources:
            moved |= fire(tabs.MACHINE, TabCursor(draft, tab.id), trigger) is Fired.MOVED
    return moved


RULES: tuple[Callable[[Draft], bool], ...] = (
    _tabs_fail_with_their_task,
    _tabs_close_with_their_task,
    _tabs_go_on_with_their_task,
    _tabs_get_their_session,
    _turns_are_cancelled,
    _turns_end_with_their_session,
    _unsent_messages_come_back,
    _queues_end_with_their_tab,
    _next_message_is_sent,
    _task_runs_with_its_first_session,
    _kill_goes_on_when_turns_are_settled,
)
