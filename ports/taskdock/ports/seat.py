"""Seat: the port through which the processes of one store agree who schedules, and wake each other.

Owns: `Seat`.
Never: truth; every wake-up is a hint, and what it hints at is read from the store.
Reads as: services/scheduler.py and services/feed.py -> this Protocol -> adapters/seat/unix.py.

The seat guards the *scheduler*, not the store: any process may submit and read. Its holder dies with its process, and
whoever follows it learns that by end of file.
"""

from collections.abc import Callable
from typing import Protocol


class Seat(Protocol):
    """One per process and store."""

    async def take(self) -> bool:
        """Try to become the scheduler's process, now; True also when this process already is. Never waits."""
        ...

    async def serve(self, on_poke: Callable[[int], None]) -> None:
        """As the holder: take pokes (each with a feed position) and followers, until cancelled."""
        ...

    def publish(self, position: int) -> None:
        """As the holder: tell followers that the feed has reached a position. Never blocks; newer replaces older."""
        ...

    def poke(self, position: int) -> None:
        """As anybody: tell the holder that something was committed. Never blocks, never raises; nobody there is fine."""
        ...

    async def follow(self, on_position: Callable[[int], None]) -> None:
        """As anybody else: be told positions until the holder is gone, then return. Raises Unreachable when there is none."""
        ...

    async def leave(self) -> None:
        """Give the seat up; idempotent."""
        ...
