"""History: what happened to a task, a repo or the workspace, as lines or as documents.

Owns: `taskdock history`.
Never: a whole history in memory, unless as the one document that was asked for.
Reads as: app.py -> `command` -> past.py, feed.
"""

import json
import sys

import anyio.to_thread
import click

from taskdock.adapters.entry.cli import output, past
from taskdock.adapters.entry.cli.documents import event_document
from taskdock.adapters.entry.cli.invocation import Command, Invocation
from taskdock.adapters.entry.cli.names import named_repo
from taskdock.adapters.entry.cli.output import one_line
from taskdock.adapters.entry.cli.runner import run
from taskdock.ports.store import StoredEvent
from taskdock.services.dock import Dock
from taskdock.services.feed import Happened


@click.command("history", cls=Command)
@click.argument("of", metavar="[TASK|REPO]", required=False)
@click.option("--follow", is_flag=True, help="Go on with what happens from now on, until interrupted.")
@click.pass_context
def command(context: click.Context, of: str | None, *, follow: bool) -> None:
    """Print what happened: to a task, to a repo, or to everything."""
    invocation = Invocation.of(context)

    async def work(dock: Dock) -> int:
        boundary = None if of is None else await _boundary(dock, of, invocation.workspace)
        pages = past.events(dock, boundary, invocation.workspace)
        if invocation.json and not follow:
            found = [event_document(event) async for page in pages for event in page]
            output.document({"events": found})
            return 0
        number = 0
        async for page in pages:
            await _write(page, json=invocation.json, named=boundary is None)
            number = page[-1].number
        if follow:
            await _follow(dock, boundary, number, invocation)
        return 0

    run(context, work, read_only=True)


async def _follow(dock: Dock, boundary: str | None, number: int, invocation: Invocation) -> None:
    is_repo = boundary is not None and boundary.startswith("repo-")
    task, repo = (None, boundary) if is_repo else (boundary, None)
    async for seen in dock.watch(task=task, repo=repo, workspace=invocation.workspace):
        # A snapshot brings no events: what happened between the last page and it is read as well.
        if isinstance(seen, Happened) and seen.happened.number <= number:
            continue
        async for page in past.events(dock, boundary, invocation.workspace, after=number):
            await _write(page, json=invocation.json, named=boundary is None)
            number = page[-1].number


async def _boundary(dock: Dock, named: str, workspace: str) -> str:
    """The id of the task or repo that is named; NotFound when there is neither."""
    if named.startswith("task-"):
        return (await dock.task(named, workspace=workspace)).task.id
    return (await dock.repo(named_repo(named), workspace=workspace)).id


async def _write(page: tuple[StoredEvent, ...], *, json: bool, named: bool) -> None:
    """Write events to stdout in a thread: who reads it may be slow."""
    if json:
        text = "".join(output.json_line(event_document(event)) for event in page)
    else:
        text = "".join(f"{_line(event, named=named)}\n" for event in page)
    await anyio.to_thread.run_sync(_put, text, abandon_on_cancel=True)


def _put(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _line(stored: StoredEvent, *, named: bool) -> str:
    event = stored.event
    words = [event.at.astimezone().strftime("%Y-%m-%d %H:%M:%S"), f"{event.kind.value:<22}"]
    words += [stored.boundary] if named else []
    words += [event.tab_id] if event.tab_id else []
    words += [f"{name}={_value(value)}" for name, value in event.data.items() if value is not None]
    return "  ".join(words).rstrip()


def _value(value: object) -> str:
    """A value that ends where it is seen to end."""
    text = one_line(str(value))
    return json.dumps(text, ensure_ascii=False) if " " in text or not text else text
