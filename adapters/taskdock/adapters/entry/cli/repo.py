"""Repo: the commands about repos.

Owns: `taskdock repo add|list|show|retry|remove`; those about branches stand in branch_actions.py.
Never: git; the clone is made in the background, here or in the process that schedules.
Reads as: app.py -> `command` -> orders.py or a read of the dock.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import click

from taskdock.adapters.entry.cli import documents, orders, output, sayings
from taskdock.adapters.entry.cli.branch_actions import COMMANDS
from taskdock.adapters.entry.cli.cloning import follow_clone
from taskdock.adapters.entry.cli.following import View
from taskdock.adapters.entry.cli.invocation import Group, Invocation
from taskdock.adapters.entry.cli.names import named_repo, remote
from taskdock.adapters.entry.cli.orders import Given, carry_out
from taskdock.adapters.entry.cli.rests import Rest
from taskdock.adapters.entry.cli.runner import run
from taskdock.adapters.entry.cli.task_text import failure_lines
from taskdock.core.repo import Repo
from taskdock.services.dock import Dock
from taskdock.services.receipts import RepoReceipt

command = Group("repo", help="Repos: each has a remote, and a clone that belongs to Taskdock.")


@command.command()
@click.argument("where", metavar="REMOTE")
@click.option("--name", metavar="TEXT", help="Else made from the remote.")
@orders.key
@orders.detach
@click.pass_context
def add(context: click.Context, /, *, where: str, name: str | None, key: str | None, detach: bool) -> None:
    """Register REMOTE (a URL, user@host:path, or a path) and watch its clone until it is ready.

    Adding it again starts a failed clone again.
    """

    async def give(dock: Dock, invocation: Invocation) -> Given:
        since = dock.clock.now()
        receipt = await dock.add_repo(remote(where), name=name, key=key, workspace=invocation.workspace)
        return _given(receipt, ("repo", "add", remote(where)), "added", _watched(receipt, invocation, since))

    carry_out(context, give, detach=detach)


@command.command("list")
@click.option("--removed", is_flag=True, help="Also those that were removed.")
@click.pass_context
def list_(context: click.Context, /, *, removed: bool) -> None:
    """List repos by name."""
    invocation = Invocation.of(context)

    async def work(dock: Dock) -> int:
        found = await dock.repos(removed=removed, workspace=invocation.workspace)
        if invocation.json:
            output.document({"repos": [documents.repo_document(repo) for repo in found]})
        elif invocation.tells_people:
            output.lines(_list_lines(found, datetime.now(UTC)))
        else:
            output.lines(repo.id for repo in found)
        return 0

    run(context, work, read_only=True)


@command.command()
@click.argument("named", metavar="REPO")
@click.pass_context
def show(context: click.Context, named: str) -> None:
    """Show a repo, by its id, name or remote."""
    invocation = Invocation.of(context)

    async def work(dock: Dock) -> int:
        repo = await dock.repo(named_repo(named), workspace=invocation.workspace)
        if invocation.json:
            output.document(documents.repo_document(repo))
        else:
            output.lines(_show_lines(invocation, repo, datetime.now(UTC)))
        return 0

    run(context, work, read_only=True)


@command.command()
@click.argument("named", metavar="REPO")
@orders.key
@orders.detach
@click.pass_context
def retry(context: click.Context, /, *, named: str, key: str | None, detach: bool) -> None:
    """Start a failed clone again, and watch it until it is ready."""

    async def give(dock: Dock, invocation: Invocation) -> Given:
        since = dock.clock.now()
        receipt = await dock.retry_repo(named_repo(named), key=key, workspace=invocation.workspace)
        again = ("repo", "retry", receipt.repo_id)
        return _given(receipt, again, "is tried again", _watched(receipt, invocation, since))

    carry_out(context, give, detach=detach)


@command.command()
@click.argument("named", metavar="REPO")
@orders.key
@orders.detach
@click.pass_context
def remove(context: click.Context, /, *, named: str, key: str | None, detach: bool) -> None:
    """Let go of a repo, and watch until its clone is gone or has to stay.

    Refused while a task of it is live or a job of it is not over. The clone stays when something in it is nowhere else;
    then it says what and where, and the same command looks again. Adding the remote again brings the repo back.
    """

    async def give(dock: Dock, invocation: Invocation) -> Given:
        since = dock.clock.now()
        receipt = await dock.remove_repo(named_repo(named), key=key, workspace=invocation.workspace)
        again = ("repo", "remove", receipt.repo_id)
        return _given(receipt, again, "is removed", _watched(receipt, invocation, since))

    carry_out(context, give, detach=detach)


for _action in COMMANDS:
    command.add_command(_action)

Watch = Callable[[Dock, View], Awaitable[Rest]]


def _watched(receipt: RepoReceipt, invocation: Invocation, since: datetime) -> Watch:
    async def watch(dock: Dock, view: View) -> Rest:
        return await follow_clone(dock, receipt.repo_id, invocation.workspace, view, since)

    return watch


def _given(receipt: RepoReceipt, again: tuple[str, ...], done: str, watch: Watch) -> Given:
    return Given(receipt, receipt.repo_id, f"{receipt.repo_id} {done}", again, watch)


def _list_lines(repos: Sequence[Repo], now: datetime) -> list[str]:
    rows = [
        (
            repo.id,
            repo.status.value,
            repo.trunk or "-",
            output.age(repo.created_at, now),
            repo.name,
            repo.remote,
        )
        for repo in repos
    ]
    return (
        output.table(("ID", "STATUS", "TRUNK", "AGE", "NAME", "REMOTE"), rows, output.terminal_columns())
        if rows
        else []
    )


def _show_lines(invocation: Invocation, repo: Repo, now: datetime) -> list[str]:
    clone = invocation.installation.clone_path
    step = repo.step
    pairs = [
        ("id", repo.id),
        ("name", repo.name),
        ("remote", repo.remote),
        ("status", repo.status.value),
        ("step", f"{step.name}, attempt {step.attempt}: {step.progress or 'begun'}" if step else None),
        ("trunk", f"{repo.trunk} at {sayings.commit(repo.head)}" if repo.head else None),
        ("clone", clone(invocation.home, repo.id) if clone else None),
        ("added", f"{output.age(repo.created_at, now)} ago"),
    ]
    return [*output.fields(pairs), *failure_lines(repo.failure)]
