"""Message: the commands about messages that were sent to a tab.

Owns: `taskdock message list|edit|withdraw`.
Never: the text of a message in a list; it is in the transcript once it was sent.
Reads as: app.py -> `command` -> orders.py or a read of the dock.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from taskdock.adapters.entry.cli import documents, orders, output
from taskdock.adapters.entry.cli.invocation import Group, Invocation
from taskdock.adapters.entry.cli.names import any_tab, text_of
from taskdock.adapters.entry.cli.orders import Done, settle
from taskdock.adapters.entry.cli.runner import run
from taskdock.core.message import Message
from taskdock.services.dock import Dock

command = Group("message", help="Messages: what was sent to a tab, waiting or done.")
_id = click.argument("message_id", metavar="ID")


@command.command("list")
@click.argument("of", metavar="TAB|TASK")
@click.pass_context
def list_(context: click.Context, of: str) -> None:
    """List the messages of a tab, or of a task's first open one, in order."""
    invocation = Invocation.of(context)

    async def work(dock: Dock) -> int:
        tab_id = await any_tab(dock, of, invocation.workspace)
        found = await dock.messages(tab_id, workspace=invocation.workspace)
        if invocation.json:
            output.document({"messages": [documents.message_document(message) for message in found]})
        elif invocation.tells_people:
            output.lines(_lines(found, datetime.now(UTC)))
        else:
            output.lines(message.id for message in found)
        return 0

    run(context, work, read_only=True)


@command.command()
@_id
@click.argument("text")
@orders.key
@click.pass_context
def edit(context: click.Context, /, *, message_id: str, text: str, key: str | None) -> None:
    """Change the text of a message that still waits (- reads it from stdin); its place stays."""
    said = text_of(text)

    async def give(dock: Dock, invocation: Invocation) -> Done:
        receipt = await dock.edit_message(message_id, said, key=key, workspace=invocation.workspace)
        return Done(receipt, message_id, f"{message_id} is changed")

    settle(context, give)


@command.command()
@_id
@orders.key
@click.pass_context
def withdraw(context: click.Context, /, *, message_id: str, key: str | None) -> None:
    """Take a message back that still waits."""

    async def give(dock: Dock, invocation: Invocation) -> Done:
        receipt = await dock.withdraw_message(message_id, key=key, workspace=invocation.workspace)
        return Done(receipt, message_id, f"{message_id} is withdrawn")

    settle(context, give)


def _lines(messages: Sequence[Message], now: datetime) -> list[str]:
    rows = [
        (one.id, one.number, one.status.value, output.age(one.created_at, now), one.reason or "-")
        for one in messages
    ]
    return output.table(("ID", "NO", "STATUS", "AGE", "WHY"), rows, output.terminal_columns()) if rows else []
