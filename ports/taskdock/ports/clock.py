"""Clock: the port to time and to fresh ids, so that nothing else in Taskdock makes either.

Owns: `Clock`.
Never: monotonic deadlines (those are anyio's); this is the time that is written down.
Reads as: services -> this Protocol -> adapters/clock.py, or a test's own.
"""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Wall-clock time and ids."""

    def now(self) -> datetime:
        """The time now, aware, in UTC."""
        ...

    def new_id(self, kind: str) -> str:
        """A fresh id `<kind>-<20 characters of 0-9 a-z>`, sortable by time of making; never the same twice."""
        ...
