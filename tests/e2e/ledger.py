"""Ledger: what a client of one world asked for, and what it was told.

Owns: `Ledger` with every command and its answer, and what was promised about each message.
Never: a look at the store; this is the client's own memory, which the referee holds against what is really there.
Reads as: script.py and chaos.py write -> referee.py reads, timeline.py prints.
"""

from collections import Counter
from datetime import UTC, datetime

from attrs import field, frozen, mutable


@frozen
class Entry:
    """One line: a command with its answer, or something done behind the back of all."""

    at: datetime
    task_id: str | None
    """None for what concerns all of them."""
    words: str


@mutable
class Sent:
    """One message that was accepted: its text as last accepted, and whether it was taken back."""

    id: str
    tab_id: str
    task_id: str
    text: str
    withdrawn: bool = False


@mutable
class Ledger:
    """The memory of one client."""

    entries: list[Entry] = field(factory=list)
    tasks: list[str] = field(factory=list)
    messages: dict[str, Sent] = field(factory=dict)
    asked: Counter[str] = field(factory=Counter)
    """By command: how often it was given."""
    accepted: Counter[str] = field(factory=Counter)
    killed: set[str] = field(factory=set)
    """Tasks whose kill was accepted."""

    def note(self, words: str, task_id: str | None = None) -> None:
        """Write a line."""
        self.entries.append(Entry(datetime.now(UTC), task_id, words))

    def take(self, message_id: str | None, tab_id: str, task_id: str, text: str) -> None:
        """Remember an accepted message."""
        if message_id is not None:
            self.messages[message_id] = Sent(message_id, tab_id, task_id, text)

    def of(self, task_id: str) -> list[Entry]:
        """The lines that concern a task, in order."""
        return [entry for entry in self.entries if entry.task_id in (task_id, None)]
