"""Rests: when a command has seen what it waited for, and whether it ended well.

Owns: `Rest`, and one rule per kind of command.
Never: a wait; each is a question about one Live.
Reads as: following.py asks after each change -> None: go on watching.
"""

from collections.abc import Callable

from attrs import frozen

from taskdock.adapters.entry.cli.live import Live
from taskdock.core.message import MessageStatus
from taskdock.core.tab import Tab, TabStatus
from taskdock.core.task import TaskStatus

_SENT_LATER = (MessageStatus.QUEUED, MessageStatus.SENDING)
_COMPLETED = "completed"
_AT_REST = (TaskStatus.STOPPED, TaskStatus.ARCHIVED, TaskStatus.KILLED)
"""Where nothing goes on until somebody asks for it."""


@frozen
class Rest:
    """What was waited for is over: `ok`, or with the `reason` why not."""

    ok: bool
    reason: str | None = None


Rule = Callable[[Live], Rest | None]


def of_message(message_id: str, tab_id: str) -> Rule:
    """The turn of one message has ended, or will never begin."""

    def rule(live: Live) -> Rest | None:
        message = live.messages.get(message_id)
        if message is not None and message.status is MessageStatus.FAILED:
            return Rest(ok=False, reason=f"the message failed: {message.reason}")
        if message is not None and message.status is MessageStatus.WITHDRAWN:
            return Rest(ok=False, reason="the message was withdrawn")
        is_open = message is not None and message.status in _SENT_LATER
        if message_id in live.ends and not is_open:
            end = live.ends[message_id]
            return Rest(ok=end == _COMPLETED, reason=None if end == _COMPLETED else f"the turn was {end}")
        tab = live.tabs.get(tab_id)
        if (
            message is not None
            and message.status is MessageStatus.QUEUED
            and tab is not None
            and _is_stuck(tab)
        ):
            return Rest(
                ok=False, reason="the message waits: a turn before it did not complete, so the queue is held"
            )
        return _of_failure(live, tab)

    return rule


def of_tab(tab_id: str) -> Rule:
    """The tab is ready, or will not become so by itself."""

    def rule(live: Live) -> Rest | None:
        tab = live.tabs.get(tab_id)
        if tab is not None and tab.status is TabStatus.READY:
            return Rest(ok=True)
        return _of_failure(live, tab)

    return rule


def of_closing(tab_id: str) -> Rule:
    """The tab is closed."""

    def rule(live: Live) -> Rest | None:
        tab = live.tabs.get(tab_id)
        return Rest(ok=True) if tab is not None and tab.status is TabStatus.CLOSED else None

    return rule


def of_turn(message_id: str, tab_id: str) -> Rule:
    """The turn that was asked to end has ended, however."""

    def rule(live: Live) -> Rest | None:
        tab = live.tabs.get(tab_id)
        over = tab is not None and tab.turn.message_id != message_id
        return Rest(ok=True) if over or message_id in live.ends else _of_failure(live, tab)

    return rule


def of_leaving(wanted: TaskStatus, way: TaskStatus) -> Rule:
    """The task has come to this status, by way of that one, or somebody has asked for something else meanwhile."""

    def rule(live: Live) -> Rest | None:
        task = live.task
        if task is None or task.status is way:
            return None
        if task.status is wanted:
            return Rest(ok=True)
        return _of_failure(live, None) or Rest(ok=False, reason=f"the task is {task.status.value} instead")

    return rule


of_stop = of_leaving(TaskStatus.STOPPED, TaskStatus.STOPPING)
of_archive = of_leaving(TaskStatus.ARCHIVED, TaskStatus.ARCHIVING)
of_kill = of_leaving(TaskStatus.KILLED, TaskStatus.KILLING)


def of_task(live: Live) -> Rest | None:
    """Nothing of the task is under way: it waits for a user, or is over."""
    if live.task is None:
        return None
    if live.task.status in _AT_REST:
        return Rest(ok=True)
    failed = _of_failure(live, None)
    if failed is not None or live.task.status is not TaskStatus.RUNNING:
        return failed
    return None if any(_is_busy(live, tab) for tab in live.tabs.values()) else Rest(ok=True)


def _is_stuck(tab: Tab) -> bool:
    """Whether its queue waits for the user."""
    return tab.held and tab.turn.at == "none"


def _is_busy(live: Live, tab: Tab) -> bool:
    """Whether the tab will go on by itself."""
    if tab.status in (TabStatus.CLOSED, TabStatus.ERROR):
        return False
    if tab.status is not TabStatus.READY or tab.turn.at != "none":
        return True
    waiting = [m for m in live.messages.values() if m.tab_id == tab.id and m.status in _SENT_LATER]
    return bool(waiting) and not tab.held


def _of_failure(live: Live, tab: Tab | None) -> Rest | None:
    """What nothing gets over by itself: the task in error or gone, the tab in error or closed."""
    task = live.task
    if task is not None and task.status is TaskStatus.ERROR:
        return Rest(ok=False, reason=task.failure.reason if task.failure else "the task is in error")
    if task is not None and task.status in _AT_REST:
        return Rest(ok=False, reason=f"the task was {task.status.value}")
    if tab is not None and tab.status is TabStatus.ERROR:
        return Rest(ok=False, reason=tab.failure.reason if tab.failure else "the tab is in error")
    if tab is not None and tab.status is TabStatus.CLOSED:
        return Rest(ok=False, reason="the tab was closed")
    return None
