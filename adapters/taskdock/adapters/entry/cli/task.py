"""Task: the commands about tasks.

Owns: `taskdock task create|list|show|watch|send`, and the group with its other verbs.
Never: a wait before the receipt is printed.
Reads as: app.py -> `command` -> task_life.py, answers.py, orders.py or a read of the dock.
"""

import json
import sys
from datetime import UTC, datetime

import click

from taskdock.adapters.entry.cli import documents, orders, output, rests
from taskdock.adapters.entry.cli.answers import allow, reject
from taskdock.adapters.entry.cli.following import Wanted, follow
from taskdock.adapters.entry.cli.invocation import Group, Invocation
from taskdock.adapters.entry.cli.names import first_open_tab, named_repo, text_of
from taskdock.adapters.entry.cli.orders import Given, carry_out, watched_task
from taskdock.adapters.entry.cli.runner import run
from taskdock.adapters.entry.cli.task_life import (
    archive,
    kill,
    rename,
    resume,
    retry,
    set_branch,
    stop,
    unarchive,
)
from taskdock.adapters.entry.cli.task_text import list_lines, show_lines
from taskdock.adapters.entry.cli.views import JsonLines, view_for
from taskdock.services.dock import Dock

command = Group("task", help="Tasks: each has a branch, a sandbox and tabs.")


@command.command()
@click.argument("prompt")
@click.option("--repo", required=True, metavar="REPO", help="Its id, its name, or a remote.")
@click.option("--title", metavar="TEXT", help="Else made from the prompt.")
@click.option("--branch", metavar="NAME", help="Name of the new branch; else made from the prompt.")
@click.option("--base", metavar="BRANCH", help="Branch or commit it starts from; else the trunk.")
@click.option(
    "--on-branch", metavar="NAME", help="Work on this branch, which is there already, instead of a new one."
)
@click.option("--provider", metavar="NAME", help="Where its sandbox is made.")
@click.option("--agent", metavar="NAME", help="Who works in it.")
@orders.model
@click.option("--permission-mode", metavar="NAME", help="What the agent may do unasked, in its own words.")
@orders.key
@orders.detach
@click.pass_context
def create(context: click.Context, /, *, prompt: str, repo: str, detach: bool, **wanted: str | None) -> None:
    """Create a task from PROMPT (- reads it from stdin), and watch its first turn to the end."""
    text = text_of(prompt)

    async def give(dock: Dock, invocation: Invocation) -> Given:
        receipt = await dock.create_task(
            prompt=text, repo=named_repo(repo), workspace=invocation.workspace, **wanted
        )
        tab_id, message_id = receipt.tab_id or "", receipt.message_id or ""
        wants = Wanted(
            receipt.task_id,
            rests.of_message(message_id, tab_id),
            invocation.workspace,
            until_collected=True,
        )
        again = "was created before, with this key" if receipt.replayed else "created"
        return Given(
            receipt,
            receipt.task_id,
            f"{receipt.task_id} {again}",
            ("task", "watch", receipt.task_id),
            watched_task(wants),
        )

    carry_out(context, give, detach=detach)


@command.command("list")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many."
)
@click.option("--before", metavar="ID", help="Only older ones than this.")
@click.pass_context
def list_(context: click.Context, limit: int, before: str | None) -> None:
    """List tasks, the newest first."""
    invocation = Invocation.of(context)

    async def work(dock: Dock) -> int:
        found = await dock.tasks(limit=limit, before=before, workspace=invocation.workspace)
        if invocation.json:
            output.document({"tasks": [documents.task_document(task) for task in found]})
        elif invocation.tells_people:
            repos = {
                repo.id: repo.name for repo in await dock.repos(removed=True, workspace=invocation.workspace)
            }
            output.lines(list_lines(found, repos, datetime.now(UTC), output.terminal_columns()))
        else:
            output.lines(task.id for task in found)
        return 0

    run(context, work, read_only=True)


@command.command()
@click.argument("task_id", metavar="ID")
@click.pass_context
def show(context: click.Context, task_id: str) -> None:
    """Show a task with its tabs, and what may be asked of them."""
    invocation = Invocation.of(context)

    async def work(dock: Dock) -> int:
        view = await dock.task(task_id, workspace=invocation.workspace)
        if invocation.json:
            output.document(documents.view_document(view))
            return 0
        repo = await dock.repo(view.task.repo_id, workspace=view.task.workspace)
        output.lines(show_lines(view, repo, datetime.now(UTC), output.terminal_columns()))
        return 0

    run(context, work, read_only=True)


@command.command()
@click.argument("task_id", metavar="ID")
@click.pass_context
def watch(context: click.Context, task_id: str) -> None:
    """Watch a task, with what was before, until nothing of it is under way.

    Drives the background work as long, unless another process does.
    """
    invocation = Invocation.of(context)
    wanted = Wanted(task_id, rests.of_task, invocation.workspace, until_collected=True)

    async def work(dock: Dock) -> int:
        view = JsonLines(sys.stdout) if invocation.json else view_for(sys.stdout)
        rest = await follow(dock, wanted, view)
        if invocation.json:
            await output.say(json.dumps({"type": "rest", "rest": {"ok": rest.ok, "reason": rest.reason}}))
        return orders.code_of(rest)

    run(context, work, schedule=True)


@command.command()
@click.argument("to", metavar="TAB|TASK")
@click.argument("text")
@orders.key
@orders.detach
@click.pass_context
def send(context: click.Context, /, *, to: str, text: str, key: str | None, detach: bool) -> None:
    """Send TEXT (- reads it from stdin) to a tab, or to a task's first open one, and watch its turn to the end."""
    said = text_of(text)

    async def give(dock: Dock, invocation: Invocation) -> Given:
        since = dock.clock.now()
        tab_id = await first_open_tab(dock, to, invocation.workspace)
        receipt = await dock.send(tab_id, said, key=key, workspace=invocation.workspace)
        message_id = receipt.message_id or ""
        wants = Wanted(
            receipt.task_id,
            rests.of_message(message_id, tab_id),
            invocation.workspace,
            since=since,
            from_message=message_id,
            until_collected=True,
        )
        return Given(
            receipt,
            message_id,
            f"{message_id} queued in {tab_id}",
            ("task", "watch", receipt.task_id),
            watched_task(wants),
        )

    carry_out(context, give, detach=detach)


for _verb in (stop, resume, archive, unarchive, retry, kill, rename, set_branch, allow, reject):
    command.add_command(_verb)
