"""Tab: the commands about tabs.

Owns: `taskdock tab open|list|close|retry`.
Never: a wait before the receipt is printed.
Reads as: app.py -> `command` -> orders.py or a read of the dock.
"""

from datetime import UTC, datetime

import click

from taskdock.adapters.entry.cli import documents, orders, output, rests
from taskdock.adapters.entry.cli.following import Wanted
from taskdock.adapters.entry.cli.invocation import Group, Invocation
from taskdock.adapters.entry.cli.names import text_of
from taskdock.adapters.entry.cli.orders import Given, carry_out, watched_task
from taskdock.adapters.entry.cli.runner import run
from taskdock.adapters.entry.cli.task_text import tab_lines
from taskdock.services.dock import Dock
from taskdock.services.receipts import TabReceipt

command = Group("tab", help="Tabs: each is one conversation with an agent of a task.")


@command.command("open")
@click.argument("task_id", metavar="TASK")
@click.argument("prompt", required=False)
@click.option("--name", metavar="TEXT", help="Else 'Tab' and its number.")
@click.option("--agent", metavar="NAME", help="Else the task's.")
@orders.key
@orders.detach
@click.pass_context
def open_(
    context: click.Context, /, *, task_id: str, prompt: str | None, detach: bool, **wanted: str | None
) -> None:
    """Open one more tab, with a first message (- reads it from stdin) or without, and watch until it rests."""
    text = None if prompt is None else text_of(prompt)

    async def give(dock: Dock, invocation: Invocation) -> Given:
        since = dock.clock.now()
        receipt = await dock.open_tab(task_id, prompt=text, workspace=invocation.workspace, **wanted)
        message_id = receipt.message_id
        if message_id is None:
            wants = Wanted(
                task_id, rests.of_tab(receipt.tab_id), invocation.workspace, since=since, silent=True
            )
        else:
            wants = Wanted(
                task_id,
                rests.of_message(message_id, receipt.tab_id),
                invocation.workspace,
                since=since,
                from_message=message_id,
                until_collected=True,
            )
        return _given(receipt, "opened", wants)

    carry_out(context, give, detach=detach)


@command.command("list")
@click.argument("task_id", metavar="TASK")
@click.pass_context
def list_(context: click.Context, task_id: str) -> None:
    """List the tabs of a task."""
    invocation = Invocation.of(context)

    async def work(dock: Dock) -> int:
        view = await dock.task(task_id, workspace=invocation.workspace)
        if invocation.json:
            tabs = [documents.shown_tab_document(view, tab) for tab in view.tabs]
            output.document({"tabs": tabs})
        elif invocation.tells_people:
            output.lines(tab_lines(view.tabs, datetime.now(UTC), output.terminal_columns()))
        else:
            output.lines(tab.id for tab in sorted(view.tabs, key=lambda tab: tab.number))
        return 0

    run(context, work, read_only=True)


@command.command()
@click.argument("tab_id", metavar="TAB")
@orders.force
@orders.key
@orders.detach
@click.pass_context
def close(context: click.Context, /, *, tab_id: str, force: bool, key: str | None, detach: bool) -> None:
    """Close a tab. With --force messages that are still queued are withdrawn."""

    async def give(dock: Dock, invocation: Invocation) -> Given:
        since = dock.clock.now()
        receipt = await dock.close_tab(tab_id, force=force, key=key, workspace=invocation.workspace)
        wants = Wanted(
            receipt.task_id, rests.of_closing(tab_id), invocation.workspace, since=since, silent=True
        )
        return _given(receipt, "is being closed", wants)

    carry_out(context, give, detach=detach)


@command.command()
@click.argument("tab_id", metavar="TAB")
@orders.key
@orders.detach
@click.pass_context
def retry(context: click.Context, /, *, tab_id: str, key: str | None, detach: bool) -> None:
    """Open a tab's session again after it failed."""

    async def give(dock: Dock, invocation: Invocation) -> Given:
        since = dock.clock.now()
        receipt = await dock.retry_tab(tab_id, key=key, workspace=invocation.workspace)
        wants = Wanted(receipt.task_id, rests.of_tab(tab_id), invocation.workspace, since=since, silent=True)
        return _given(receipt, "is tried again", wants)

    carry_out(context, give, detach=detach)


def _given(receipt: TabReceipt, done: str, wanted: Wanted) -> Given:
    again = ("task", "watch", receipt.task_id)
    return Given(receipt, receipt.tab_id, f"{receipt.tab_id} {done}", again, watched_task(wanted))
