"""Names: what people may write for a repo, a tab or a text, and what is meant by it.

Owns: paths as remotes, a task for its first open tab, `-` for stdin.
Never: a question back; what is not clear is an error.
Reads as: task.py, tab.py, repo.py -> this.
"""

import sys
from pathlib import Path

import click

from taskdock.core.errors import Conflict, NotFound
from taskdock.core.values import PROMPT_BYTES_MAX, is_remote
from taskdock.services.dock import Dock


def remote(text: str) -> str:
    """A remote: a folder that exists is meant by its absolute path, everything else as it is."""
    return text if is_remote(text) or not Path(text).is_dir() else str(Path(text).resolve())


def named_repo(text: str) -> str:
    """A repo by id, name or remote; a path that could be a name is one only with a `.` or `~` before it."""
    return remote(str(Path(text).expanduser())) if text.startswith((".", "~")) else text


def text_of(argument: str) -> str:
    """The text itself, or for `-` what stdin holds. UsageError when that is not UTF-8."""
    if argument != "-":
        return argument
    try:
        # One character more than can fit, so that what is too long is refused as such and not read to its end.
        return sys.stdin.read(PROMPT_BYTES_MAX + 1)
    except UnicodeDecodeError as error:
        raise click.UsageError(f"stdin is not text: {error}") from error


async def first_open_tab(dock: Dock, named: str, workspace: str) -> str:
    """The tab itself, or of a task its first open tab. Conflict when it has none."""
    if named.startswith("tab-"):
        return named
    view = await dock.task(named, workspace=workspace)
    for tab in sorted(view.tabs, key=lambda tab: tab.number):
        if tab.is_open:
            return tab.id
    raise Conflict(
        f"The task {named!r} has no open tab: open one with `taskdock tab open`.",
        status=view.task.status.value,
        available_actions=view.available_actions[view.task.id],
        record_id=view.task.id,
    )


async def any_tab(dock: Dock, named: str, workspace: str) -> str:
    """The tab itself, or of a task its first one, an open one before a closed one."""
    if named.startswith("tab-"):
        if await dock.reads.task_of(named) is None:
            raise NotFound(f"There is no tab {named!r}.")
        return named
    view = await dock.task(named, workspace=workspace)
    tabs = sorted(view.tabs, key=lambda tab: (not tab.is_open, tab.number))
    if not tabs:
        raise NotFound(f"The task {named!r} has no tab.")
    return tabs[0].id
