"""Job: the commands about jobs of repos.

Owns: `taskdock job list|show|watch|cancel|undo`.
Never: git; a job is carried out in the background.
Reads as: app.py -> `command` -> orders.py or a read of the dock.
"""

from datetime import UTC, datetime

import click

from taskdock.adapters.entry.cli import documents, job_text, orders, output
from taskdock.adapters.entry.cli.following import View
from taskdock.adapters.entry.cli.invocation import Group, Invocation
from taskdock.adapters.entry.cli.job_following import follow_job
from taskdock.adapters.entry.cli.names import named_repo
from taskdock.adapters.entry.cli.orders import Done, Given, carry_out, code_of, settle, view_of
from taskdock.adapters.entry.cli.rests import Rest
from taskdock.adapters.entry.cli.runner import run
from taskdock.services.dock import Dock
from taskdock.services.receipts import JobReceipt

command = Group("job", help="Jobs: what is done to the branches of a repo, one after the other.")
_id = click.argument("job_id", metavar="ID")


@command.command("list")
@click.argument("repo", metavar="REPO")
@click.option("--limit", default=50, show_default=True, help="How many, the newest first.")
@click.pass_context
def list_(context: click.Context, /, *, repo: str, limit: int) -> None:
    """List the jobs of a repo, the newest first."""
    invocation = Invocation.of(context)

    async def work(dock: Dock) -> int:
        jobs = await dock.jobs(named_repo(repo), limit=limit, workspace=invocation.workspace)
        if invocation.json:
            output.document({"jobs": [documents.job_document(job) for job in jobs]})
        elif invocation.tells_people:
            output.lines(job_text.list_lines(jobs, datetime.now(UTC)))
        else:
            output.lines(job.id for job in jobs)
        return 0

    run(context, work, read_only=True)


@command.command()
@_id
@click.pass_context
def show(context: click.Context, job_id: str) -> None:
    """Show a job, and branch by branch what it did."""
    invocation = Invocation.of(context)

    async def work(dock: Dock) -> int:
        job = await dock.job(job_id, workspace=invocation.workspace)
        if invocation.json:
            output.document(documents.job_document(job))
        else:
            output.lines(job_text.job_lines(job, datetime.now(UTC)))
        return 0

    run(context, work, read_only=True)


@command.command()
@_id
@click.pass_context
def watch(context: click.Context, job_id: str) -> None:
    """Watch a job until it is over; it is carried out here unless another process schedules."""
    invocation = Invocation.of(context)

    async def work(dock: Dock) -> int:
        job = await dock.job(job_id, workspace=invocation.workspace)
        return code_of(await follow_job(dock, job, job.repo_id, invocation.workspace, view_of(invocation)))

    run(context, work, schedule=True)


@command.command()
@_id
@click.option("--force", is_flag=True, help="Also when tasks wait for it; they fail then.")
@orders.key
@click.pass_context
def cancel(context: click.Context, /, *, job_id: str, force: bool, key: str | None) -> None:
    """End a job: a queued one at once, a running one when its clone is clean again. What it moved can be undone."""

    async def give(dock: Dock, invocation: Invocation) -> Done:
        receipt = await dock.cancel_job(job_id, force=force, key=key, workspace=invocation.workspace)
        return Done(receipt, job_id, f"{job_id} is being cancelled")

    settle(context, give)


@command.command()
@_id
@click.option("--push", is_flag=True, help="Also put back what the job pushed.")
@orders.key
@orders.detach
@click.pass_context
def undo(context: click.Context, /, *, job_id: str, push: bool, key: str | None, detach: bool) -> None:
    """Put back what a job moved, heads and stacks, and watch; nothing is touched when anything moved since."""

    async def give(dock: Dock, invocation: Invocation) -> Given:
        receipt = await dock.undo_job(job_id, push=push, key=key, workspace=invocation.workspace)
        return given(receipt, invocation)

    carry_out(context, give, detach=detach)


def given(receipt: JobReceipt, invocation: Invocation) -> Given:
    """A job that was queued, and how it is watched."""

    async def watch_it(dock: Dock, view: View) -> Rest:
        return await follow_job(dock, receipt.job_id, receipt.repo_id, invocation.workspace, view)

    again = ("job", "watch", receipt.job_id)
    return Given(receipt, receipt.job_id, f"{receipt.job_id} is {receipt.status}", again, watch_it)
