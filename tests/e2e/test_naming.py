"""Naming with a model: a task gets the model's names, and where the model fails the heuristic's, with the reason in its history."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.installation import Installation, see
from taskdock.adapters.naming.chat import ChatNamer, ChatNaming
from taskdock.core.history import HistoryKind
from unit.naming.chat_server import ChatServer, chat_server

pytestmark = pytest.mark.anyio

KEY = "sk-canary-0123"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """An endpoint of its own."""
    with chat_server() as told:
        yield told


async def named(place: Installation, remote: Path, server: ChatServer) -> tuple[str, str, str | None]:
    """Create a task, let it be named, and kill it: its title, its branch, and what the history notes."""
    namer = ChatNamer(ChatNaming(server.url, "m", "CHAT_KEY", timeout_seconds=5.0), {"CHAT_KEY": KEY})
    async with place.open({"namer": namer}) as dock:
        task = await dock.create_task(repo=str(remote), prompt="Please write a note in French")
        view = await see(dock, task.task_id, lambda view: view.task.branch is not None, "a branch")
        history = await dock.history(task.task_id)
        await dock.kill_task(task.task_id)
    await namer.aclose()
    (event,) = (one.event for one in history if one.event.kind is HistoryKind.TASK_NAMED)
    note = event.data["note"]
    return view.task.title, view.task.branch or "", None if note is None else str(note)


async def test_a_task_is_named_by_the_model(place: Installation, remote: Path, server: ChatServer) -> None:
    """Title and branch are the model's, the branch with its own suffix, and there is nothing to note."""
    title, branch, note = await named(place, remote, server)
    assert (title, branch.rpartition("-")[0], note) == ("Greet in French", "greet-in-french", None)


async def test_where_the_model_fails_the_heuristic_names_the_task_and_says_so(
    place: Installation, remote: Path, server: ChatServer
) -> None:
    """The task comes up all the same; the note names the namer and what went wrong, and never the key."""
    server.status = 401
    title, branch, note = await named(place, remote, server)
    assert (title, branch.rpartition("-")[0]) == ("Write a note in French", "write-a-note-in-french")
    assert note is not None
    assert note.startswith("The namer 'chat' failed (HTTP 401 Unauthorized)")
    assert KEY not in note
