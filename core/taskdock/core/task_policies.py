"""Task policies: what the status of a task means for its tabs, and of a tab for its messages.

Owns: `RULES`, the readable list, and `settle`, which applies it until nothing changes.
Never: a status; every rule fires a trigger and lets the table decide.
Reads as: task_boundary handles one input -> `settle(draft)` -> the draft is frozen.

A rule looks at statuses alone, so it holds whatever input led there, and applying it twice changes nothing more.
"""

from collections.abc import Callable

from attrs import evolve

from taskdock.core import message as messages
from taskdock.core import permission as permissions
from taskdock.core import tab as tabs
from taskdock.core import task as tasks
from taskdock.core import task_record as at
from taskdock.core.activity import activity_of
from taskdock.core.change import Draft
from taskdock.core.errors import InvariantViolated
from taskdock.core.inputs import Failed, TurnEnd
from taskdock.core.intents import CreateSession, ResumeSession, SendPrompt
from taskdock.core.machine import Fired, fire
from taskdock.core.message import MESSAGE_MACHINE, TURN_MACHINE, MessageCursor, TurnCursor
from taskdock.core.permission import PermissionCursor
from taskdock.core.tab import Tab, TabCursor
from taskdock.core.task_orders import TaskCursor
from taskdock.core.task_record import TaskStatus
from taskdock.core.turns import end_turn, messages_of, the_task

_ROUNDS_MAX = 10_000


def settle(draft: Draft) -> None:
    """Apply the rules to a fixpoint; a set of rules that never rests is a bug."""
    for _ in range(_ROUNDS_MAX):
        if not any(rule(draft) for rule in RULES):
            return
    raise InvariantViolated(f"the policies of {draft.slice.boundary} never come to rest")


def _task_goes_on_when_stopped(draft: Draft) -> bool:
    """A tab was opened or a message sent while the task was stopping: it is resumed as soon as it is stopped."""
    task = the_task(draft)
    if task.at != at.STOPPED or not task.resume_wanted:
        return False
    return fire(tasks.MACHINE, TaskCursor(draft, task.id), "resume") is Fired.MOVED


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


def _tabs_leave_with_their_task(draft: Draft) -> bool:
    """A task that is not up any more: its tabs wait for it; those with a running turn only when that is settled."""
    task = the_task(draft)
    if task.at in at.UP or task.status in (TaskStatus.ERROR, TaskStatus.KILLING, TaskStatus.KILLED):
        return False
    sources = (tabs.PENDING_SESSION,) if task.at in at.SETTLING else None
    return _fire_tabs(draft, "task_leaves", sources)


def _tabs_get_their_session(draft: Draft) -> bool:
    """The agent is ready: waiting tabs get a session; tabs whose own session failed do when it became ready just now."""
    if the_task(draft).at not in at.UP:
        return False
    just_now = at.SESSION in draft.entered
    sources = (tabs.PENDING_PROVISION, tabs.ERROR_SESSION) if just_now else (tabs.PENDING_PROVISION,)
    moved = _fire_tabs(draft, "agent_ready", sources)
    if just_now:
        draft.entered.remove(at.SESSION)
    return moved


def _sessions_wait_for_no_look(draft: Draft) -> bool:
    """The look at the sandbox is over: sessions that were not ordered because of it are ordered now."""
    if the_task(draft).at not in (at.SESSION, at.RUNNING):
        return False
    moved = False
    for tab in draft.all(Tab):
        if tab.at == tabs.PENDING_SESSION and not draft.of_tab(tab.id, CreateSession, ResumeSession):
            TabCursor(draft, tab.id).open_session()
            moved = True
    return moved


def _tries_end_where_the_task_rests(draft: Draft) -> bool:
    """A task that rests and is asked to go on later: what its tabs had tried before does not count then."""
    task = the_task(draft)
    if task.status is not TaskStatus.ERROR and task.at not in (at.STOPPED, at.ARCHIVED):
        return False
    tried = [tab for tab in draft.all(Tab) if tab.tries is not None]
    for tab in tried:
        draft.put(evolve(tab, tries=None))
    return bool(tried)


def _turns_are_cancelled(draft: Draft) -> bool:
    """A task being stopped, archived or killed, or a tab being closed: its running turn is asked to end."""
    settling = the_task(draft).at in at.SETTLING
    moved = False
    for tab in draft.all(Tab):
        if (settling or tab.at == tabs.CLOSING) and tab.turn.at == messages.RUNNING:
            moved |= fire(TURN_MACHINE, TurnCursor(draft, tab.id), "cancel") is Fired.MOVED
    return moved


def _permissions_end_with_their_turn(draft: Draft) -> bool:
    """A turn that is asked to end: what its agent still asks is cancelled, so that it can end."""
    moved = False
    for tab in draft.all(Tab):
        if tab.turn.at == messages.CANCELLING:
            for permission in tab.turn.permissions:
                if permission.at == permissions.ASKED:
                    cursor = PermissionCursor(draft, tab.id, permission.id)
                    moved |= fire(permissions.MACHINE, cursor, "cancel") is Fired.MOVED
    return moved


def _turns_end_with_their_session(draft: Draft) -> bool:
    """A turn without its session is over; only while a kill settles turns those of its closed tabs are waited for."""
    killing = the_task(draft).at == at.KILL_SETTLE
    moved = False
    for tab in draft.all(Tab):
        is_awaited = tab.at in (tabs.READY, tabs.CLOSING) or (killing and tab.at == tabs.CLOSED)
        if tab.turn.at != messages.NONE and not is_awaited:
            end_turn(draft, tab.id, TurnEnd.INTERRUPTED, _why_interrupted(draft, tab))
            moved = True
    return moved


def _why_interrupted(draft: Draft, tab: Tab) -> str:
    task = the_task(draft)
    if tab.at == tabs.CLOSED:
        return "the tab was closed"
    if task.failure is not None:
        return task.failure.reason
    if task.status is TaskStatus.INIT_CREATE_SANDBOX:
        return "the task's sandbox was lost"
    return "the agent's session was lost"


def _unsent_messages_come_back(draft: Draft) -> bool:
    """A message whose prompt has not begun goes back into the queue when it cannot be sent any more."""
    running = the_task(draft).at == at.RUNNING
    moved = False
    for tab in draft.all(Tab):
        if tab.turn.at != messages.NONE:
            continue
        for message in messages_of(draft, tab.id):
            prompts = draft.of_tab(tab.id, SendPrompt)
            is_on_its_way = running and tab.at == tabs.READY and prompts
            if message.at == messages.SENDING and not is_on_its_way:
                for prompt in prompts:
                    draft.cancel(prompt)
                cursor = MessageCursor(draft, message.id)
                moved |= fire(MESSAGE_MACHINE, cursor, "taken_back") is Fired.MOVED
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
    """A ready tab without a turn sends its next message, unless its queue is held or the sandbox is being looked at."""
    if the_task(draft).at != at.RUNNING:
        return False
    moved = False
    for tab in draft.all(Tab):
        waiting = messages_of(draft, tab.id)
        free = tab.at == tabs.READY and tab.turn.at == messages.NONE and not tab.held
        if free and waiting and waiting[0].at == messages.QUEUED:
            moved |= fire(MESSAGE_MACHINE, MessageCursor(draft, waiting[0].id), "tab_is_free") is Fired.MOVED
    return moved


def _task_runs_with_its_first_session(draft: Draft) -> bool:
    """The last step of provisioning ends with the first tab that is ready, or with the last one that failed."""
    task = the_task(draft)
    open_tabs = [tab for tab in draft.all(Tab) if tab.is_open]
    if task.at != at.SESSION:
        return False
    if not open_tabs or any(tab.at == tabs.READY for tab in open_tabs):
        return fire(tasks.MACHINE, TaskCursor(draft, task.id), "session_settled") is Fired.MOVED
    failure = open_tabs[-1].failure
    if failure is None or any(tab.at != tabs.ERROR_SESSION for tab in open_tabs):
        return False
    failed = Failed(failure.failure_class, failure.reason, log_tail=failure.log_tail)
    cursor = TaskCursor(draft, task.id, failed=failed, attempts=failure.attempts)
    return fire(tasks.MACHINE, cursor, "sessions_failed") is Fired.MOVED


def _ending_goes_on_when_turns_are_settled(draft: Draft) -> bool:
    """No turn runs any more: stop waiting."""
    task = the_task(draft)
    if task.at not in at.SETTLING or any(tab.turn.at != messages.NONE for tab in draft.all(Tab)):
        return False
    draft.cancel_wakes("settle")
    return fire(tasks.MACHINE, TaskCursor(draft, task.id), "settled") is Fired.MOVED


def _activity_follows(draft: Draft) -> bool:
    """The task's one word for lists says what its status and its tabs amount to."""
    task = the_task(draft)
    activity = activity_of(task, list(draft.all(Tab)), lambda tab_id: bool(messages_of(draft, tab_id)))
    if task.activity is activity:
        return False
    draft.put(evolve(task, activity=activity))
    return True


def _fire_tabs(draft: Draft, trigger: str, sources: tuple[str, ...] | None = None) -> bool:
    moved = False
    for tab in draft.all(Tab):
        if sources is None or tab.at in sources:
            moved |= fire(tabs.MACHINE, TabCursor(draft, tab.id), trigger) is Fired.MOVED
    return moved


RULES: tuple[Callable[[Draft], bool], ...] = (
    _task_goes_on_when_stopped,
    _tabs_fail_with_their_task,
    _tabs_close_with_their_task,
    _tabs_go_on_with_their_task,
    _tabs_leave_with_their_task,
    _tabs_get_their_session,
    _sessions_wait_for_no_look,
    _tries_end_where_the_task_rests,
    _turns_are_cancelled,
    _permissions_end_with_their_turn,
    _turns_end_with_their_session,
    _unsent_messages_come_back,
    _queues_end_with_their_tab,
    _next_message_is_sent,
    _task_runs_with_its_first_session,
    _ending_goes_on_when_turns_are_settled,
    _activity_follows,
)
