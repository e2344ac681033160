"""Tab commands: what users ask of a tab.

Owns: the handlers of open, retry, rename, set model and close.
Never: a status; a command fires its trigger, and what has no row is a Conflict or is under way already.
Reads as: task_boundary.step -> a handler here -> the tab table.
"""

from attrs import evolve

from taskdock.core import inputs
from taskdock.core import tab as tabs
from taskdock.core import task as tasks
from taskdock.core.change import Draft
from taskdock.core.errors import CapacityExceeded, NotFound
from taskdock.core.history import HistoryKind
from taskdock.core.machine import Fired, fire, must_fire
from taskdock.core.message import MESSAGE_MACHINE, Message, MessageCursor, MessageText
from taskdock.core.tab import Tab, TabCursor
from taskdock.core.task_actions import conflict, takes_messages
from taskdock.core.task_orders import TaskCursor
from taskdock.core.task_record import Task
from taskdock.core.turns import messages_of, the_task

_RETRY_AFTER_SECONDS = 60.0
"""For a queue that is full: about one turn."""


def the_tab(draft: Draft, tab_id: str) -> Tab:
    """The tab that a command names; NotFound when the task has none of this id."""
    tab = draft.find(Tab, tab_id)
    if tab is None:
        raise NotFound(f"There is no tab {tab_id!r} in {draft.slice.boundary!r}.")
    return tab


def open_tab(draft: Draft, command: inputs.OpenTab) -> str | None:
    """Open a tab, whatever the task is at; a stopped one is resumed for it."""
    task = the_task(draft)
    if task.is_leaving:
        raise conflict(draft, f"A task that is {task.status.value} gets no new tabs.", task)
    if (there := draft.find(Tab, command.tab_id)) is not None:
        raise conflict(draft, f"The tab {command.tab_id!r} exists already.", there)
    number = task.tabs_opened + 1
    draft.put(evolve(task, tabs_opened=number))
    draft.put(
        Tab(
            id=command.tab_id,
            task_id=task.id,
            number=number,
            name=command.name or f"Tab {number}",
            agent=command.agent or task.agent,
            opened_at=draft.now,
            updated_at=draft.now,
            model=command.model or task.model,
            permission_mode=task.permission_mode,
        )
    )
    draft.note(HistoryKind.TAB_OPENED, command.tab_id, number=number)
    must_fire(tabs.MACHINE, TabCursor(draft, command.tab_id), "open")
    if command.message_id is not None and command.prompt is not None:
        queue(draft, command.tab_id, command.message_id, command.prompt)
    resume_for_it(draft)
    return None


def queue(draft: Draft, tab_id: str, message_id: str, text: str) -> None:
    """Put a message at the end of the tab's queue."""
    tab = draft.get(Tab, tab_id)
    if draft.find(Message, message_id) is not None:
        raise conflict(draft, f"The message {message_id!r} exists already.", tab)
    waiting = len(messages_of(draft, tab_id))
    if waiting >= draft.figures.waiting_max:
        raise CapacityExceeded(
            f"{waiting} messages wait in this tab already: let some be sent, or withdraw some, before you send more.",
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        )
    number = tab.messages_sent + 1
    draft.put(evolve(tab, messages_sent=number))
    draft.put(MessageText(message_id, text))
    draft.put(Message(message_id, tab.task_id, tab_id, number, draft.now, draft.now))
    must_fire(MESSAGE_MACHINE, MessageCursor(draft, message_id), "send")


def resume_for_it(draft: Draft) -> None:
    """Somebody wants to work with a task that is stopped, or is being stopped: it is resumed in the same commit."""
    task = draft.get(Task, draft.slice.boundary)
    fire(tasks.MACHINE, TaskCursor(draft, task.id), "resume")


def retry(draft: Draft, command: inputs.RetryTab) -> str | None:
    """Try its session again."""
    tab = the_tab(draft, command.tab_id)
    if fire(tabs.MACHINE, TabCursor(draft, tab.id), "retry") is Fired.MOVED:
        return None
    mend = " Retry its task." if tab.at == tabs.ERROR_TASK else ""
    raise conflict(draft, f"A tab that is {tab.status.value} cannot be asked to retry.{mend}", tab)


def rename(draft: Draft, command: inputs.RenameTab) -> str | None:
    """Give it another name, whatever its status."""
    tab = the_tab(draft, command.tab_id)
    if tab.name == command.name:
        return "it has this name already"
    draft.put(evolve(tab, name=command.name, updated_at=draft.now))
    return None


def set_model(draft: Draft, command: inputs.SetModel) -> str | None:
    """Choose the model of its next prompts."""
    task, tab = the_task(draft), the_tab(draft, command.tab_id)
    if not takes_messages(task, tab):
        raise conflict(
            draft,
            f"A tab that is {tab.status.value} of a task that is {task.status.value} takes no model.",
            tab,
        )
    if tab.model == command.model:
        return "it has this model already"
    draft.put(evolve(tab, model=command.model, updated_at=draft.now))
    return None


def close(draft: Draft, command: inputs.CloseTab) -> str | None:
    """Close it; what is still queued is withdrawn, by force alone."""
    tab = the_tab(draft, command.tab_id)
    queued = [m for m in messages_of(draft, tab.id) if tab.turn.message_id != m.id]
    cursor = TabCursor(draft, tab.id, input_=command, messages_queued=len(queued))
    fired = fire(tabs.MACHINE, cursor, "close")
    if fired is Fired.GUARDED:
        raise conflict(
            draft, f"{len(queued)} messages are still queued: close with force to withdraw them.", tab
        )
    return None if fired is Fired.MOVED else "close is under way already"
