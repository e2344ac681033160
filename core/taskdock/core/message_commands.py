"""Message commands: what users ask of a tab's queue and of its turn.

Owns: the handlers of send, edit, withdraw, resume queue, cancel turn and answer permission.
Never: a status; a command fires its trigger, and what has no row is a Conflict or is under way already.
Reads as: task_boundary.step -> a handler here -> the message, turn and permission tables.
"""

from attrs import evolve

from taskdock.core import inputs
from taskdock.core import message as messages
from taskdock.core import permission as permissions
from taskdock.core.change import Draft
from taskdock.core.errors import InvalidCommand, NotFound
from taskdock.core.machine import Fired, fire, must_fire
from taskdock.core.message import (
    MESSAGE_MACHINE,
    TURN_MACHINE,
    Message,
    MessageCursor,
    MessageText,
    TurnCursor,
)
from taskdock.core.permission import PermissionCursor
from taskdock.core.tab import Permission, Tab
from taskdock.core.tab_commands import queue, resume_for_it, the_tab
from taskdock.core.task_actions import conflict, takes_messages
from taskdock.core.turns import the_task


def send(draft: Draft, command: inputs.SendMessage) -> str | None:
    """Queue a message and lift the hold; a stopped task is resumed for it."""
    tab = _open_tab(draft, command.tab_id)
    queue(draft, tab.id, command.message_id, command.text)
    draft.put(evolve(draft.get(Tab, tab.id), held=False))
    resume_for_it(draft)
    return None


def edit(draft: Draft, command: inputs.EditMessage) -> str | None:
    """Change the text of a queued message; its place in the queue stays."""
    message = _queued(draft, command.tab_id, command.message_id, "edit")
    draft.put(MessageText(message.id, command.text))
    must_fire(MESSAGE_MACHINE, MessageCursor(draft, message.id), "edit")
    return None


def withdraw(draft: Draft, command: inputs.WithdrawMessage) -> str | None:
    """Take a queued message back."""
    message = _queued(draft, command.tab_id, command.message_id, "withdraw")
    must_fire(MESSAGE_MACHINE, MessageCursor(draft, message.id), "withdraw")
    return None


def resume_queue(draft: Draft, command: inputs.ResumeQueue) -> str | None:
    """Lift the hold; what is queued is sent in its order, by a stopped task too."""
    tab = _open_tab(draft, command.tab_id)
    if not tab.held:
        return "its queue is not held"
    draft.put(evolve(tab, held=False, updated_at=draft.now))
    resume_for_it(draft)
    return None


def cancel_turn(draft: Draft, command: inputs.CancelTurn) -> str | None:
    """Ask the agent to end the running turn."""
    tab = the_tab(draft, command.tab_id)
    fired = fire(TURN_MACHINE, TurnCursor(draft, tab.id), "cancel")
    if fired is Fired.MOVED:
        return None
    if tab.turn.at == messages.CANCELLING:
        return "cancel is under way already"
    raise conflict(draft, "No turn is running in this tab.", tab)


def answer_permission(draft: Draft, command: inputs.AnswerPermission) -> str | None:
    """Answer what the agent asked, once; the same answer again succeeds."""
    tab = the_tab(draft, command.tab_id)
    permission = next((one for one in tab.turn.permissions if one.id == command.permission_id), None)
    if permission is None:
        raise NotFound(
            f"The turn of tab {tab.id!r} has no permission {command.permission_id!r}; it ends with its turn."
        )
    _check_option(permission, command.option_id)
    trigger = "cancel" if command.option_id is None else "answer"
    cursor = PermissionCursor(draft, tab.id, permission.id, option_id=command.option_id)
    if fire(permissions.MACHINE, cursor, trigger) is Fired.MOVED:
        return None
    if permission.option_id == command.option_id:
        return "it was answered so already"
    answer = permission.option_id or "cancelled"
    raise conflict(draft, f"The permission was answered already: {answer}.", tab)


def _check_option(permission: Permission, option_id: str | None) -> None:
    offered = [option.id for option in permission.options]
    if option_id is not None and option_id not in offered:
        raise InvalidCommand(
            f"The agent does not offer {option_id!r}: it offers {', '.join(offered)}.", field="option"
        )


def _open_tab(draft: Draft, tab_id: str) -> Tab:
    task, tab = the_task(draft), the_tab(draft, tab_id)
    if not takes_messages(task, tab):
        raise conflict(
            draft,
            f"A tab that is {tab.status.value} of a task that is {task.status.value} takes no messages.",
            tab,
        )
    return tab


def _queued(draft: Draft, tab_id: str, message_id: str, asked: str) -> Message:
    """The message, still queued; one that is not part of the slice any more is final, if it was ever there."""
    tab = _open_tab(draft, tab_id)
    message = draft.find(Message, message_id)
    if message is None or message.tab_id != tab.id:
        raise NotFound(
            f"No message {message_id!r} is queued in tab {tab.id!r}: it is settled, or it never was there."
        )
    if message.at != messages.QUEUED:
        raise conflict(
            draft, f"A message that is {message.status.value} cannot be asked to {asked}.", message
        )
    return message
