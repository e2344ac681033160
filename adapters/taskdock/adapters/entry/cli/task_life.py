"""Task life: the commands that move a task as a whole: stop, resume, archive, unarchive, retry, kill, and its names.

Owns: `taskdock task stop|resume|archive|unarchive|retry|kill|rename|set-branch`.
Never: a wait before the receipt is printed.
Reads as: task.py puts these into its group -> orders.py -> dock.
"""

from collections.abc import Awaitable, Callable

import click

from taskdock.adapters.entry.cli import orders, rests
from taskdock.adapters.entry.cli.following import Wanted
from taskdock.adapters.entry.cli.invocation import Command, Invocation
from taskdock.adapters.entry.cli.orders import Done, Given, carry_out, settle, watched_task
from taskdock.services.dock import Dock
from taskdock.services.receipts import TaskReceipt

_id = click.argument("task_id", metavar="ID")

Ask = Callable[[Dock, str], Awaitable[TaskReceipt]]
"""Gives the command in a workspace."""


@click.command(cls=Command)
@_id
@orders.key
@orders.detach
@click.pass_context
def stop(context: click.Context, /, *, task_id: str, key: str | None, detach: bool) -> None:
    """Bring a task's work out and stop its sandbox; its files stay. Sending a message resumes it."""

    async def ask(dock: Dock, workspace: str) -> TaskReceipt:
        return await dock.stop_task(task_id, key=key, workspace=workspace)

    _leave(context, ask, "is being stopped", rests.of_stop, detach=detach)


@click.command(cls=Command)
@_id
@orders.key
@orders.detach
@click.pass_context
def resume(context: click.Context, /, *, task_id: str, key: str | None, detach: bool) -> None:
    """Start a stopped task again, and watch it until it rests."""

    async def ask(dock: Dock, workspace: str) -> TaskReceipt:
        return await dock.resume_task(task_id, key=key, workspace=workspace)

    _come_up(context, ask, "is resumed", detach=detach)


@click.command(cls=Command)
@_id
@orders.force
@orders.key
@orders.detach
@click.pass_context
def archive(context: click.Context, /, *, task_id: str, force: bool, key: str | None, detach: bool) -> None:
    """Bring a task's work out and release its sandbox; unarchive brings it back.

    With --force also where work cannot be brought out; it is lost then.
    """

    async def ask(dock: Dock, workspace: str) -> TaskReceipt:
        return await dock.archive_task(task_id, force=force, key=key, workspace=workspace)

    _leave(context, ask, "is being archived", rests.of_archive, detach=detach)


@click.command(cls=Command)
@_id
@orders.key
@orders.detach
@click.pass_context
def unarchive(context: click.Context, /, *, task_id: str, key: str | None, detach: bool) -> None:
    """Provision an archived task again, on its branch and with its work, and watch it until it rests."""

    async def ask(dock: Dock, workspace: str) -> TaskReceipt:
        return await dock.unarchive_task(task_id, key=key, workspace=workspace)

    _come_up(context, ask, "is unarchived", detach=detach)


@click.command(cls=Command)
@_id
@click.option("--discard", is_flag=True, help="Give up work that a broken sandbox does not give back.")
@orders.key
@orders.detach
@click.pass_context
def retry(context: click.Context, /, *, task_id: str, discard: bool, key: str | None, detach: bool) -> None:
    """Go on from where a task failed, and watch it until it rests."""

    async def ask(dock: Dock, workspace: str) -> TaskReceipt:
        return await dock.retry_task(task_id, discard=discard, key=key, workspace=workspace)

    _come_up(context, ask, "is tried again", detach=detach)


@click.command(cls=Command)
@_id
@orders.force
@orders.key
@orders.detach
@click.pass_context
def kill(context: click.Context, /, *, task_id: str, force: bool, key: str | None, detach: bool) -> None:
    """End a task for good, once its work is brought out.

    With --force also where work cannot be brought out; it is lost then.
    """

    async def ask(dock: Dock, workspace: str) -> TaskReceipt:
        return await dock.kill_task(task_id, force=force, key=key, workspace=workspace)

    _leave(context, ask, "is being killed", rests.of_kill, detach=detach)


@click.command(cls=Command)
@_id
@click.argument("title")
@orders.key
@click.pass_context
def rename(context: click.Context, /, *, task_id: str, title: str, key: str | None) -> None:
    """Give a task another title; its branch stays."""

    async def give(dock: Dock, invocation: Invocation) -> Done:
        receipt = await dock.rename_task(task_id, title, key=key, workspace=invocation.workspace)
        return Done(receipt, task_id, f"{task_id} is renamed")

    settle(context, give)


@click.command("set-branch", cls=Command)
@_id
@click.argument("branch")
@orders.key
@click.pass_context
def set_branch(context: click.Context, /, *, task_id: str, branch: str, key: str | None) -> None:
    """Give a task another branch name, before its sandbox was begun."""

    async def give(dock: Dock, invocation: Invocation) -> Done:
        receipt = await dock.set_branch(task_id, branch, key=key, workspace=invocation.workspace)
        return Done(receipt, task_id, f"{task_id} gets the branch {branch}")

    settle(context, give)


def _leave(context: click.Context, ask: Ask, done: str, rule: rests.Rule, *, detach: bool) -> None:
    """Give a command that ends what the task does, and watch it there, without what is still said."""
    _order(context, ask, done, rule, silent=True, detach=detach)


def _come_up(context: click.Context, ask: Ask, done: str, *, detach: bool) -> None:
    """Give a command that lets the task go on, and watch until nothing of it is under way."""
    _order(context, ask, done, rests.of_task, silent=False, detach=detach)


def _order(
    context: click.Context, ask: Ask, done: str, rule: rests.Rule, *, silent: bool, detach: bool
) -> None:
    async def give(dock: Dock, invocation: Invocation) -> Given:
        since = dock.clock.now()
        receipt = await ask(dock, invocation.workspace)
        wanted = Wanted(
            receipt.task_id,
            rule,
            invocation.workspace,
            since=since,
            silent=silent,
            until_collected=not silent,
        )
        again = ("task", "watch", receipt.task_id)
        return Given(receipt, receipt.task_id, f"{receipt.task_id} {done}", again, watched_task(wanted))

    carry_out(context, give, detach=detach)
