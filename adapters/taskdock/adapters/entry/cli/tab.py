"""Tab: the commands about tabs.

Owns: `taskdock tab open|list|close|retry|rename|model|read|draft|resume-queue|cancel-turn`.
Never: a wait before the receipt is printed.
Reads as: app.py -> `command` -> orders.py or a read of the dock.
"""

from datetime import UTC, datetime

import click

from taskdock.adapters.entry.cli import documents, orders, output, rests
from taskdock.adapters.entry.cli.following import Wanted
from taskdock.adapters.entry.cli.invocation import Group, Invocation
from taskdock.adapters.entry.cli.names import text_of
from taskdock.adapters.entry.cli.orders import Done, Given, carry_out, settle, watched_task
from taskdock.adapters.entry.cli.runner import run
from taskdock.adapters.entry.cli.task_text import tab_lines
from taskdock.core.tab import Tab
from taskdock.services.dock import Dock
from taskdock.services.receipts import TabReceipt

command = Group("tab", help="Tabs: each is one conversation with an agent of a task.")
_principal = click.option(
    "--principal", metavar="NAME", default="default", show_default=True, help="Who reads or writes."
)


@command.command("open")
@click.argument("task_id", metavar="TASK")
@click.argument("prompt", required=False)
@click.option("--name", metavar="TEXT", help="Else 'Tab' and its number.")
@click.option("--agent", metavar="NAME", help="Else the task's.")
@orders.model
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


@command.command()
@click.argument("tab_id", metavar="TAB")
@click.argument("name")
@orders.key
@click.pass_context
def rename(context: click.Context, /, *, tab_id: str, name: str, key: str | None) -> None:
    """Give a tab another name."""

    async def give(dock: Dock, invocation: Invocation) -> Done:
        receipt = await dock.rename_tab(tab_id, name, key=key, workspace=invocation.workspace)
        return Done(receipt, tab_id, f"{tab_id} is renamed")

    settle(context, give)


@command.command()
@click.argument("tab_id", metavar="TAB")
@click.argument("model", metavar="MODEL")
@orders.key
@click.pass_context
def model(context: click.Context, /, *, tab_id: str, model: str, key: str | None) -> None:
    """Choose the model of a tab's next prompts, in the agent's words."""

    async def give(dock: Dock, invocation: Invocation) -> Done:
        receipt = await dock.set_model(tab_id, model, key=key, workspace=invocation.workspace)
        return Done(receipt, tab_id, f"{tab_id} uses {model} from its next prompt on")

    settle(context, give)


@command.command()
@click.argument("tab_id", metavar="TAB")
@_principal
@click.option("--turns", type=click.IntRange(0), help="How many ended turns; else all that have ended.")
@orders.key
@click.pass_context
def read(
    context: click.Context, /, *, tab_id: str, principal: str, turns: int | None, key: str | None
) -> None:
    """Mark a tab as read."""

    async def give(dock: Dock, invocation: Invocation) -> Done:
        receipt = await dock.mark_read(
            tab_id, principal, turns=turns, key=key, workspace=invocation.workspace
        )
        return Done(receipt, tab_id, f"{tab_id} is read")

    settle(context, give)


@command.command()
@click.argument("tab_id", metavar="TAB")
@click.argument("text")
@_principal
@orders.key
@click.pass_context
def draft(context: click.Context, /, *, tab_id: str, text: str, principal: str, key: str | None) -> None:
    """Keep TEXT (- reads it from stdin) as what is being written in a tab; an empty one drops it."""
    written = text_of(text)

    async def give(dock: Dock, invocation: Invocation) -> Done:
        receipt = await dock.set_draft(tab_id, principal, written, key=key, workspace=invocation.workspace)
        return Done(receipt, tab_id, f"the draft in {tab_id} is kept")

    settle(context, give)


@command.command("resume-queue")
@click.argument("tab_id", metavar="TAB")
@orders.key
@orders.detach
@click.pass_context
def resume_queue(context: click.Context, /, *, tab_id: str, key: str | None, detach: bool) -> None:
    """Let a queue go on that is held since a turn did not complete, and watch the task until it rests."""

    async def give(dock: Dock, invocation: Invocation) -> Given:
        since = dock.clock.now()
        receipt = await dock.resume_queue(tab_id, key=key, workspace=invocation.workspace)
        wants = Wanted(
            receipt.task_id, rests.of_task, invocation.workspace, since=since, until_collected=True
        )
        return _given(receipt, "goes on with its queue", wants)

    carry_out(context, give, detach=detach)


@command.command("cancel-turn")
@click.argument("tab_id", metavar="TAB")
@orders.key
@orders.detach
@click.pass_context
def cancel_turn(context: click.Context, /, *, tab_id: str, key: str | None, detach: bool) -> None:
    """Ask the agent to end the turn that runs in a tab, and watch until it has ended."""

    async def give(dock: Dock, invocation: Invocation) -> Given:
        since = dock.clock.now()
        found = await dock.reads.record("tab", tab_id)
        running = found.record.turn.message_id if found and isinstance(found.record, Tab) else None
        receipt = await dock.cancel_turn(tab_id, key=key, workspace=invocation.workspace)
        rule = rests.of_turn(running or "", tab_id)
        wants = Wanted(receipt.task_id, rule, invocation.workspace, since=since, until_collected=True)
        return _given(receipt, "is asked to end its turn", wants)

    carry_out(context, give, detach=detach)


def _given(receipt: TabReceipt, done: str, wanted: Wanted) -> Given:
    again = ("task", "watch", receipt.task_id)
    return Given(receipt, receipt.tab_id, f"{receipt.tab_id} {done}", again, watched_task(wanted))
