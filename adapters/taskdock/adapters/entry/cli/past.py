"""Past: history and transcripts from their beginning, page by page.

Owns: the paging.
Never: a whole transcript in memory.
Reads as: following.py, history.py, transcript.py -> this -> dock.
"""

from collections.abc import AsyncIterator

from taskdock.ports.store import Item, StoredEvent
from taskdock.services.dock import Dock

_PAGE = 500


async def events(
    dock: Dock, boundary: str | None, workspace: str, after: int = 0
) -> AsyncIterator[tuple[StoredEvent, ...]]:
    """Every event of a boundary (None: of the workspace) after a number, in pages that are not empty."""
    while page := tuple(await dock.history(boundary, after=after, limit=_PAGE, workspace=workspace)):
        yield page
        after = page[-1].number


async def items(dock: Dock, tab_id: str, workspace: str, after: int = 0) -> AsyncIterator[tuple[Item, ...]]:
    """Every transcript item of a tab after a position, in pages that are not empty."""
    while page := tuple(await dock.transcript(tab_id, after=after, limit=_PAGE, workspace=workspace)):
        yield page
        after = page[-1].position
