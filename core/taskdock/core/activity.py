"""Activity: what a task is about, in one word for lists.

Owns: `activity_of`.
Never: a status; it is a projection of the task and its tabs, and nothing is decided by it.
Reads as: task_policies -> `activity_of` -> `Task.activity` -> lists and filters.
"""

from collections.abc import Callable, Sequence

from taskdock.core import message as messages
from taskdock.core import permission as permissions
from taskdock.core import tab as tabs
from taskdock.core.tab import Tab
from taskdock.core.task_record import Activity, Task, TaskStatus

_BY_STATUS = {
    TaskStatus.STOPPING: Activity.STOPPED,
    TaskStatus.STOPPED: Activity.STOPPED,
    TaskStatus.ARCHIVING: Activity.ARCHIVED,
    TaskStatus.ARCHIVED: Activity.ARCHIVED,
    TaskStatus.KILLING: Activity.ARCHIVED,
    TaskStatus.KILLED: Activity.ARCHIVED,
    TaskStatus.ERROR: Activity.FAILED,
}


def activity_of(task: Task, of: Sequence[Tab], has_waiting: Callable[[str], bool]) -> Activity:
    """The first word that fits; `has_waiting` tells whether a tab has messages that were not delivered yet."""
    if task.status is not TaskStatus.RUNNING:
        return _BY_STATUS.get(task.status, Activity.PROVISIONING)
    open_tabs = [tab for tab in of if tab.is_open]
    if any(_needs_somebody(tab, has_waiting) for tab in open_tabs):
        return Activity.NEEDS_YOU
    is_working = any(tab.turn.at != messages.NONE or has_waiting(tab.id) for tab in open_tabs)
    return Activity.WORKING if is_working else Activity.IDLE


def _needs_somebody(tab: Tab, has_waiting: Callable[[str], bool]) -> bool:
    """The agent asks, the session failed, or messages wait behind a turn that did not complete."""
    is_asking = any(permission.at == permissions.ASKED for permission in tab.turn.permissions)
    return is_asking or tab.at == tabs.ERROR_SESSION or (tab.held and has_waiting(tab.id))
