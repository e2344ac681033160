"""Task actions: what may be asked of a task and of its tabs right now.

Owns: `available_actions`, and `conflict`, which tells them with a refusal.
Never: a rule of its own; it asks the guards that the machines ask.
Reads as: clients show `available_actions`; a command handler without a row raises `conflict`.
"""

from datetime import UTC, datetime

from taskdock.core import message as messages
from taskdock.core import permission as permissions
from taskdock.core import tab as tabs
from taskdock.core import task as tasks
from taskdock.core.change import Draft, Slice
from taskdock.core.errors import Conflict
from taskdock.core.intents import Figures
from taskdock.core.machine import may
from taskdock.core.message import Message
from taskdock.core.tab import Tab, TabCursor
from taskdock.core.task_orders import TaskCursor
from taskdock.core.task_record import Task
from taskdock.core.turns import messages_of, the_task

_FIGURES = Figures()
_NO_TIME = datetime.min.replace(tzinfo=UTC)
"""For drafts that only ask guards about the past of no record."""

_TASK_ACTIONS = ("retry", "stop", "resume", "archive", "unarchive", "kill")
_TAB_ACTIONS = ("retry", "close")


def available_actions(slice_: Slice) -> dict[str, tuple[str, ...]]:
    """What may be asked of the task and of each tab right now, by record id; the same guards as the machine's."""
    draft = Draft(slice_, _NO_TIME, _FIGURES)
    task = the_task(draft)
    actions = {task.id: _of_task(draft, task)}
    for tab in draft.all(Tab):
        actions[tab.id] = _of_tab(draft, task, tab)
    return actions


def branch_may_change(task: Task) -> bool:
    """Whether nothing outside has the task's branch name yet, and the task is not on its way out."""
    return not task.is_outside and not task.is_leaving and not task.on_branch


def takes_messages(task: Task, tab: Tab) -> bool:
    """Whether the queue of a tab may be changed."""
    return tab.is_open and not task.is_leaving


def _of_task(draft: Draft, task: Task) -> tuple[str, ...]:
    cursor = TaskCursor(draft, task.id)
    fired = [name for name in _TASK_ACTIONS if may(tasks.MACHINE, cursor, name)]
    if not task.is_leaving:
        fired.append("open_tab")
    if branch_may_change(task):
        fired.append("set_branch")
    return (*fired, "rename")


def _of_tab(draft: Draft, task: Task, tab: Tab) -> tuple[str, ...]:
    cursor = TabCursor(draft, tab.id)
    fired = [name for name in _TAB_ACTIONS if may(tabs.MACHINE, cursor, name)]
    if takes_messages(task, tab):
        fired += ["send", "set_model"]
        waiting = messages_of(draft, tab.id)
        if any(message.at == messages.QUEUED for message in waiting):
            fired += ["edit", "withdraw"]
        if tab.held:
            fired.append("resume_queue")
    if tab.turn.at == messages.RUNNING:
        fired.append("cancel_turn")
    if any(permission.at == permissions.ASKED for permission in tab.turn.permissions):
        fired.append("answer_permission")
    return (*fired, "rename")


def conflict(draft: Draft, sentence: str, record: Task | Tab | Message) -> Conflict:
    """The refusal of a command that does not fit: the status of its record, and what fits it now."""
    actions = available_actions(draft.slice)
    owner = record.tab_id if isinstance(record, Message) else record.id
    return Conflict(
        sentence, status=record.status.value, available_actions=actions.get(owner, ()), record_id=owner
    )
