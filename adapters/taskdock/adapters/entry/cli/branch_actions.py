"""Branch actions: the commands of a repo about its branches.

Owns: `taskdock repo branches|sync|restack|restack-subtree|rebase|reparent|register`.
Never: git; each action is a job, carried out in the background.
Reads as: repo.py puts these into its group -> orders.py or a read of the dock.
"""

from datetime import UTC, datetime
from typing import Any

import click

from taskdock.adapters.entry.cli import documents, job_text, orders, output
from taskdock.adapters.entry.cli.invocation import Command, Invocation
from taskdock.adapters.entry.cli.job import given
from taskdock.adapters.entry.cli.names import named_repo
from taskdock.adapters.entry.cli.orders import Given, carry_out
from taskdock.adapters.entry.cli.runner import run
from taskdock.core.job_record import JobKind
from taskdock.services.dock import Dock

_repo = click.argument("repo", metavar="REPO")
_branch = click.argument("branch", metavar="BRANCH")
_push = click.option(
    "--push", is_flag=True, help="Push what it moves; what somebody pushed meanwhile is never overwritten."
)


@click.command(cls=Command)
@_repo
@click.pass_context
def branches(context: click.Context, repo: str) -> None:
    """Show the branches of a repo in the order of their stacks, as they were last seen."""
    invocation = Invocation.of(context)

    async def work(dock: Dock) -> int:
        view = await dock.branches(named_repo(repo), workspace=invocation.workspace)
        if invocation.json:
            output.document(documents.branches_document(view))
        elif invocation.tells_people:
            output.lines(job_text.branch_lines(view, datetime.now(UTC)))
        else:
            output.lines(branch.name for branch in view.seen.seen)
        return 0

    run(context, work, read_only=True)


@click.command(cls=Command)
@_repo
@orders.key
@orders.detach
@click.pass_context
def sync(context: click.Context, /, **asked: Any) -> None:
    """Fetch, move trunk forward, and look at every branch."""
    _queue(context, JobKind.SYNC_REPO, **asked)


@click.command(cls=Command)
@_repo
@_push
@orders.key
@orders.detach
@click.pass_context
def restack(context: click.Context, /, **asked: Any) -> None:
    """Rebase every branch onto its parent; a conflict stops only what stands on it."""
    _queue(context, JobKind.RESTACK_REPO, **asked)


@click.command("restack-subtree", cls=Command)
@_repo
@_branch
@_push
@orders.key
@orders.detach
@click.pass_context
def restack_subtree(context: click.Context, /, **asked: Any) -> None:
    """Rebase a branch and everything above it."""
    _queue(context, JobKind.RESTACK_SUBTREE, **asked)


@click.command(cls=Command)
@_repo
@_branch
@_push
@orders.key
@orders.detach
@click.pass_context
def rebase(context: click.Context, /, **asked: Any) -> None:
    """Rebase one branch onto its parent."""
    _queue(context, JobKind.REBASE_BRANCH, **asked)


@click.command(cls=Command)
@_repo
@_branch
@click.argument("parent", metavar="PARENT")
@_push
@orders.key
@orders.detach
@click.pass_context
def reparent(context: click.Context, /, **asked: Any) -> None:
    """Move a branch, and everything above it, onto another one."""
    _queue(context, JobKind.REPARENT_BRANCH, **asked)


@click.command(cls=Command)
@_repo
@_branch
@click.option("--parent", metavar="BRANCH", help="What it stands on; else the trunk.")
@orders.key
@orders.detach
@click.pass_context
def register(context: click.Context, /, **asked: Any) -> None:
    """Take a branch of the remote into the stack."""
    _queue(context, JobKind.REGISTER_EXISTING_BRANCH, **asked)


COMMANDS = (branches, sync, restack, restack_subtree, rebase, reparent, register)


def _queue(context: click.Context, kind: JobKind, *, repo: str, detach: bool, **asked: Any) -> None:
    """Queue the job, and watch it."""

    async def give(dock: Dock, invocation: Invocation) -> Given:
        receipt = await dock.request_job(named_repo(repo), kind, workspace=invocation.workspace, **asked)
        return given(receipt, invocation)

    carry_out(context, give, detach=detach)
