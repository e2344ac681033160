"""Ledger: what a client was told, to hold Taskdock to it.

Owns: `Ledger`, `Sent`.
Never: what is only in the store; who was not answered was promised nothing.
Reads as: client.py writes -> invariants read.
"""

from attrs import field, mutable


@mutable
class Sent:
    """A message that was accepted."""

    id: str
    task_id: str
    tab_id: str
    text: str
    withdrawn: bool = False
    may_be: set[str] = field(factory=set)
    """Texts of edits that were not answered."""


@mutable
class Ledger:
    """One client's notes."""

    tasks: list[str] = field(factory=list)
    """In the order of making; those whose answer was lost are found and added when everything rests."""
    messages: dict[str, Sent] = field(factory=dict)
    jobs: list[str] = field(factory=list)
    """In the order of asking; a job that was joined stands here once."""
    cancelled_jobs: set[str] = field(factory=set)
    """Those whose end was asked for, and accepted."""
    killed: set[str] = field(factory=set)
    lifted: dict[str, int] = field(factory=dict)
    """By tab: the last moment at which somebody may have asked its queue to go on."""
    given_up: set[str] = field(factory=set)
    """Messages that were asked to be withdrawn, and tabs that were asked to close with what they had queued."""
    closed: set[str] = field(factory=set)
    """Tabs that were asked to close, by force or not."""
    unanswered: int = 0
    """How many requests ended without an answer, and were not sent again."""
    rejected: dict[str, int] = field(factory=dict)
