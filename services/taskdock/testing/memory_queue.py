"""Memory queue: the intent queue over the outbox of a store in memory.

Owns: `MemoryQueue`.
Never: a lease; it lives in one process.
Reads as: memory_store.py -> this -> memory_data.py.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import anyio.lowlevel
from attrs import evolve

from taskdock.core.codec import encode
from taskdock.core.intents import Intent
from taskdock.ports.intent_queue import Claimed, QueueReport, Taken
from taskdock.testing.memory_data import MemoryData


class MemoryQueue:
    """Implements `taskdock.ports.intent_queue.IntentQueue`; the promises stand there."""

    data: MemoryData

    def _committed(self) -> None:
        """Tell that there may be something to do."""

    async def recover(self) -> int:
        """Take back every execution: none runs any more."""
        await anyio.lowlevel.checkpoint()
        for id_ in [id_ for id_, one in self.data.outbox.items() if one.status == "cancelled"]:
            del self.data.outbox[id_]
        running = [one for one in self.data.outbox.values() if one.status == "running"]
        for one in running:
            one.status = "open"
        for one in self.data.outbox.values():
            one.text = encode(evolve(one.intent, deadline_at=None))
        self._committed()
        return len(running)

    async def claim(
        self, room: Mapping[str, int], now: datetime, deadlines: Mapping[str, float]
    ) -> Sequence[Claimed]:
        """Take due intents; workspaces take turns."""
        await anyio.lowlevel.checkpoint()
        claimed = []
        for intent in self._choose(room, now):
            seconds = deadlines.get(type(intent.body).__name__)
            deadline_at = intent.deadline_at
            if deadline_at is None and seconds is not None:
                deadline_at = now + timedelta(seconds=seconds)
            issued = evolve(intent, issue=intent.issue + 1, deadline_at=deadline_at)
            self.data.outbox[intent.id].text = encode(issued)
            self.data.outbox[intent.id].status = "running"
            claimed.append(Claimed(self.data.outbox[intent.id].intent))
        return claimed

    async def release(self, intent_id: str, issue: int) -> None:
        """Give an intent back; remove it when it was cancelled meanwhile."""
        await self._end(intent_id, issue)
        if self._has(intent_id, issue, "running"):
            self.data.outbox[intent_id].status = "open"
        self._committed()

    async def ended(self, intent_id: str, issue: int) -> None:
        """Remove a cancelled intent whose execution ended."""
        await self._end(intent_id, issue)
        self._committed()

    async def cancelled(self) -> Sequence[str]:
        """The cancelled intents that still run."""
        await anyio.lowlevel.checkpoint()
        return [id_ for id_, one in self.data.outbox.items() if one.status == "cancelled"]

    async def taken(self) -> Sequence[Taken]:
        """Every claim that has not ended."""
        await anyio.lowlevel.checkpoint()
        lying = (one.intent for one in self.data.outbox.values() if one.status != "open")
        return [Taken(intent.id, intent.issue) for intent in lying]

    async def next_due_at(self, now: datetime) -> datetime | None:
        """When the next intent comes due after `now`."""
        await anyio.lowlevel.checkpoint()
        times = (one.intent.not_before for one in self.data.outbox.values() if one.status == "open")
        return min((at for at in times if at is not None and at > now), default=None)

    async def report(self, now: datetime) -> QueueReport:
        """Count what lies in the outbox."""
        due = await self.next_due_at(now)
        lying = list(self.data.outbox.values())
        lanes = Counter(one.intent.lane for one in lying if one.status == "open")
        return QueueReport(dict(lanes), sum(one.status != "open" for one in lying), due)

    async def _end(self, intent_id: str, issue: int) -> None:
        await anyio.lowlevel.checkpoint()
        if self._has(intent_id, issue, "cancelled"):
            del self.data.outbox[intent_id]

    def _has(self, intent_id: str, issue: int, status: str) -> bool:
        one = self.data.outbox.get(intent_id)
        return one is not None and one.status == status and one.intent.issue == issue

    def _choose(self, room: Mapping[str, int], now: datetime) -> list[Intent]:
        """Fill each lane by turns; of a subject that two lanes would take only the oldest, in the order of making."""
        taken = (one.intent for one in self.data.outbox.values() if one.status != "open")
        busy = {_subject(intent) for intent in taken}
        waiting: dict[str, dict[str, list[Intent]]] = {}
        for one in self.data.outbox.values():
            intent = one.intent
            due = one.status == "open" and (intent.not_before is None or intent.not_before <= now)
            if due and _subject(intent) not in busy:
                waiting.setdefault(intent.lane, {}).setdefault(intent.workspace, []).append(intent)
        chosen: dict[str, Intent] = {}
        for lane, of_workspace in waiting.items():
            left = room.get(lane, room.get("*", 0))
            for intent in self._by_turns(lane, of_workspace, left):
                chosen[intent.id] = intent
        ordered = [chosen[id_] for id_ in self.data.outbox if id_ in chosen]
        return list({_subject(intent): intent for intent in reversed(ordered)}.values())[::-1]

    def _by_turns(self, lane: str, waiting: dict[str, list[Intent]], left: int) -> Iterator[Intent]:
        last = self.data.turns.get(lane, "")
        names = sorted(waiting)
        turns = [name for name in names if name > last] + [name for name in names if name <= last]
        subjects: set[tuple[str, str]] = set()
        while left > 0 and any(waiting.values()):
            for name in turns:
                while waiting[name] and _subject(waiting[name][0]) in subjects:
                    waiting[name].pop(0)
                if left > 0 and waiting[name]:
                    left -= 1
                    self.data.turns[lane] = name
                    subjects.add(_subject(waiting[name][0]))
                    yield waiting[name].pop(0)


def _subject(intent: Intent) -> tuple[str, str]:
    return (intent.boundary, intent.subject)
