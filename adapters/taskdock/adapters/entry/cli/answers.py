"""Answers: what an agent asks before it goes on with its turn, allowed or rejected.

Owns: `taskdock task allow|reject`.
Never: more allowed than was said: for good only with --always, and never a choice between several questions.
Reads as: task.py puts these into its group -> orders.py -> dock.
"""

from collections.abc import Callable
from typing import Any

import click

from taskdock.adapters.entry.cli import orders, rests
from taskdock.adapters.entry.cli.following import Wanted
from taskdock.adapters.entry.cli.invocation import Command, Invocation
from taskdock.adapters.entry.cli.orders import Given, carry_out, watched_task
from taskdock.core.errors import Conflict, InvalidCommand, NotFound
from taskdock.core.tab import Permission
from taskdock.services.dock import Dock, TaskView

_of = click.argument("of", metavar="TAB|TASK")
_permission = click.option("--permission", metavar="ID", help="Which question, where several are asked.")
_always = click.option("--always", is_flag=True, help="Also every later time, where the agent offers that.")


@click.command(cls=Command)
@_of
@_permission
@_always
@click.option("--option", metavar="ID", help="One of the agent's own options, instead of its plain yes.")
@orders.key
@orders.detach
@click.pass_context
def allow(context: click.Context, /, *, of: str, always: bool, option: str | None, **sent: Any) -> None:
    """Allow what the agent of a tab, or of a task's only asking tab, asks for; then watch its turn to the end."""

    def chosen(asked: Permission) -> str:
        return option or _option(asked, "allow_always" if always else "allow_once")

    _answer(context, of, chosen, **sent)


@click.command(cls=Command)
@_of
@_permission
@_always
@orders.key
@orders.detach
@click.pass_context
def reject(context: click.Context, /, *, of: str, always: bool, **sent: Any) -> None:
    """Reject what the agent of a tab, or of a task's only asking tab, asks for; then watch its turn to the end."""

    def chosen(asked: Permission) -> str | None:
        if always:
            return _option(asked, "reject_always")
        # An agent that offers no plain no is told that nobody answers, which allows nothing either.
        return next((one.id for one in asked.options if one.kind == "reject_once"), None)

    _answer(context, of, chosen, **sent)


def _answer(
    context: click.Context,
    of: str,
    chosen: Callable[[Permission], str | None],
    *,
    permission: str | None,
    key: str | None,
    detach: bool,
) -> None:
    async def give(dock: Dock, invocation: Invocation) -> Given:
        since = dock.clock.now()
        view, tab_id = await _asking(dock, of, invocation.workspace)
        asked = _asked(view, tab_id, permission)
        message_id = next(tab.turn.message_id for tab in view.tabs if tab.id == asked.tab_id) or ""
        receipt = await dock.answer_permission(
            asked.tab_id, asked.id, chosen(asked), key=key, workspace=invocation.workspace
        )
        wanted = Wanted(
            view.task.id,
            rests.of_message(message_id, asked.tab_id),
            invocation.workspace,
            since=since,
            until_collected=True,
        )
        again = ("task", "watch", view.task.id)
        return Given(receipt, asked.id, f"{asked.title}: answered", again, watched_task(wanted))

    carry_out(context, give, detach=detach)


async def _asking(dock: Dock, named: str, workspace: str) -> tuple[TaskView, str | None]:
    """The task that is meant, and the tab where one was named."""
    if not named.startswith("tab-"):
        return await dock.task(named, workspace=workspace), None
    task_id = await dock.reads.task_of(named)
    if task_id is None:
        raise NotFound(f"There is no tab {named!r} in the workspace {workspace!r}.")
    return await dock.task(task_id, workspace=workspace), named


def _asked(view: TaskView, tab_id: str | None, permission_id: str | None) -> Permission:
    """The one question that is meant; Conflict where there is none, InvalidCommand where it is not clear which."""
    asked = [one for one in view.permissions if tab_id in (None, one.tab_id)]
    if permission_id is not None:
        asked = [one for one in asked if one.id == permission_id]
    if not asked:
        record = tab_id or view.task.id
        raise Conflict(
            "No agent asks for a permission here now.",
            status=view.task.status.value,
            available_actions=view.available_actions.get(record, ()),
            record_id=record,
        )
    if len(asked) > 1:
        told = "; ".join(f"{one.id} ({one.title})" for one in asked)
        raise InvalidCommand(f"Several are asked, so say which with --permission: {told}", field="permission")
    return asked[0]


def _option(asked: Permission, kind: str) -> str:
    """The agent's option of this kind; InvalidCommand with what it offers where it has none."""
    found = next((one.id for one in asked.options if one.kind == kind), None)
    if found is None:
        offered = ", ".join(f"{one.id} ({one.name}: {one.kind})" for one in asked.options)
        raise InvalidCommand(f"The agent offers no {kind}: it offers {offered}.", field="option")
    return found
