"""Feed: who follows it knows what is there, in the order in which it happened.

Owns: `FeedReplays`, the fourth invariant.
Never: a second way of reading it; it is followed by the product's own `Watch`.
Reads as: World -> this -> the stored feed, a dock's watch.
"""

from typing import TYPE_CHECKING

import anyio

from taskdock.ports.store import Commit, Versioned
from taskdock.services.feed import Happened, RecordChanged, Seen, Spoken
from taskdock.testing.memory_data import KINDS
from taskdock.testing.simulation.client import READER
from taskdock.testing.simulation.invariant import Invariant

if TYPE_CHECKING:
    from taskdock.testing.simulation.world import World

_QUIET_SECONDS = 1.0
"""So long nothing came before all counts as read."""


class FeedReplays(Invariant):
    """Positions and versions grow; the feed leads to what is there."""

    number = 4

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self._position = 0
        self._versions: dict[tuple[str, str], int] = {}
        self._followed: dict[tuple[str, str], Versioned] = {}
        self._happened: list[int] = []
        self._spoken: dict[str, list[int]] = {}

    def on_commit(self, commit: Commit) -> None:
        """Follow the feed."""
        del commit
        if self.data.position < self._position:
            self.broken(f"the feed is at {self.data.position} after {self._position}")
        for position in range(self._position + 1, self.data.position + 1):
            entry = self.data.feed.get(position)
            if entry is None or entry.kind in ("history", "transcript"):
                continue
            key = (entry.kind, entry.id)
            if entry.version < self._versions.get(key, 0):
                self.broken(f"{key} goes back to version {entry.version}")
            self._versions[key] = entry.version
        self._position = self.data.position

    async def look(self) -> None:
        """Follow it once more from its beginning, as a client does."""
        dock = await self.world.dock()
        watch = dock.watch(after=0, principal=READER)
        with anyio.move_on_after(_QUIET_SECONDS) as quiet:
            async for seen in watch:
                quiet.deadline = anyio.current_time() + _QUIET_SECONDS
                self._follow(seen)

    def _follow(self, seen: Seen) -> None:
        if isinstance(seen, RecordChanged):
            self._followed[seen.kind, seen.changed.record.id] = seen.changed
        elif isinstance(seen, Happened):
            self._happened.append(seen.happened.number)
        elif isinstance(seen, Spoken):
            self._spoken.setdefault(seen.tab_id, []).extend(item.position for item in seen.items)

    def at_rest(self) -> None:
        """Who followed the feed knows what is there."""
        self._compare_what_was_followed()
        for kind in KINDS:
            for record_id, row in self.data.rows[kind].items():
                if self._versions.get((kind, record_id)) != row.version:
                    self.broken(f"the feed did not tell of {record_id} at version {row.version}")

    def _compare_what_was_followed(self) -> None:
        """What a client was told is what a snapshot says, in the order in which it happened."""
        for kind in KINDS:
            for record_id, row in self.data.rows[kind].items():
                told = self._followed.get((kind, record_id))
                if told is None or (told.record, told.version) != (row.record, row.version):
                    self.broken(
                        f"who follows the feed knows {told}, and {record_id} is at version {row.version}"
                    )
        if self._happened != sorted(self.data.history):
            missing = sorted(self.data.history.keys() - set(self._happened))
            self.broken(f"who follows the feed hears of the history in another order, or never of {missing}")
        for tab_id, items in self.data.transcripts.items():
            if self._spoken.get(tab_id, []) != [item.position for _, item in items]:
                self.broken(f"who follows the feed does not read all that was said in {tab_id}")
