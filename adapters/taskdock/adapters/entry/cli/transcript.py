"""Transcript: what was said in a tab, as text or as items.

Owns: `taskdock transcript`.
Never: a whole transcript in memory, unless as the one document that was asked for.
Reads as: app.py -> `command` -> past.py, feed -> speech.py.
"""

import sys

import anyio
import anyio.to_thread
import click
from attrs import evolve

from taskdock.adapters.entry.cli import output, past
from taskdock.adapters.entry.cli.documents import Document, item_document
from taskdock.adapters.entry.cli.invocation import Command, Invocation
from taskdock.adapters.entry.cli.names import any_tab
from taskdock.adapters.entry.cli.runner import run
from taskdock.adapters.entry.cli.speech import Speech
from taskdock.ports.store import Item
from taskdock.services.dock import Dock
from taskdock.services.feed import Spoken

_END_SECONDS_MAX = 1.0
_JOINED = ("text", "thought")


@click.command("transcript", cls=Command)
@click.argument("of", metavar="TAB|TASK")
@click.option("--follow", is_flag=True, help="Go on with what is said from now on, until interrupted.")
@click.pass_context
def command(context: click.Context, of: str, *, follow: bool) -> None:
    """Print what was said in a tab, or in a task's first open one; pieces of one text are joined."""
    invocation = Invocation.of(context)

    async def work(dock: Dock) -> int:
        tab_id = await any_tab(dock, of, invocation.workspace)
        if invocation.json and not follow:
            output.document({"items": await _documents(dock, tab_id, invocation.workspace)})
            return 0
        writer = _Writer(json=invocation.json)
        position = 0
        try:
            async for items in past.items(dock, tab_id, invocation.workspace):
                await writer.write(items)
                position = items[-1].position
            if follow:
                await _follow(dock, tab_id, position, writer, invocation)
        finally:
            await writer.end()
        return 0

    run(context, work, read_only=True)


async def _follow(dock: Dock, tab_id: str, position: int, writer: "_Writer", invocation: Invocation) -> None:
    task_id = await dock.reads.task_of(tab_id)
    async for seen in dock.watch(task=task_id, workspace=invocation.workspace):
        # What was said between the last page and the snapshot is in no later change.
        if isinstance(seen, Spoken) and seen.tab_id != tab_id:
            continue
        async for items in past.items(dock, tab_id, invocation.workspace, after=position):
            await writer.write(items)
            position = items[-1].position


async def _documents(dock: Dock, tab_id: str, workspace: str) -> list[Document]:
    """The items, with contiguous text of one kind joined: such an item has the position of its last piece."""
    joined: list[Item] = []
    async for items in past.items(dock, tab_id, workspace):
        for item in items:
            last = joined[-1] if joined else None
            if last is not None and item.kind in _JOINED and last.kind == item.kind:
                text = f"{last.body.get('text', '')}{item.body.get('text', '')}"
                joined[-1] = evolve(item, at=last.at, body={**item.body, "text": text})
            else:
                joined.append(item)
    return [item_document(item) for item in joined]


class _Writer:
    """Writes items to stdout as they come, in a thread: who reads it may be slow."""

    def __init__(self, *, json: bool) -> None:
        self._json = json
        self._speech = Speech()

    async def write(self, items: tuple[Item, ...]) -> None:
        """Write them."""
        if self._json:
            text = "".join(output.json_line(item_document(item)) for item in items)
        else:
            text = "".join(self._speech.of(item) for item in items)
        await anyio.to_thread.run_sync(_write, text, abandon_on_cancel=True)

    async def end(self) -> None:
        """End the line that was begun, also when interrupted; who stands still for a second misses it."""
        with anyio.move_on_after(_END_SECONDS_MAX, shield=True):
            await anyio.to_thread.run_sync(_write, self._speech.end(), abandon_on_cancel=True)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
