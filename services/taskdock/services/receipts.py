"""Receipts: what a request returns once it is durable.

Owns: `TaskReceipt`, `TabReceipt`, `RepoReceipt`.
Never: anything that had to be waited for; identity, status, version and where to subscribe from.
Reads as: workbench -> receipt -> client reads or subscribes with it.
"""

from attrs import frozen


@frozen
class TaskReceipt:
    """A command on a task: `position` is where a subscription goes on so that it misses nothing of it."""

    task_id: str
    status: str
    version: int
    position: int
    tab_id: str | None = None
    """The first tab, for a create."""
    message_id: str | None = None
    repo_id: str | None = None
    replayed: bool = False
    """Whether this answer was given before, to the same key."""


@frozen
class TabReceipt:
    """A command on a tab."""

    tab_id: str
    task_id: str
    status: str
    version: int
    position: int
    message_id: str | None = None
    replayed: bool = False


@frozen
class JobReceipt:
    """A command on a job of a repo."""

    job_id: str
    repo_id: str
    status: str
    version: int
    position: int
    replayed: bool = False


@frozen
class RepoReceipt:
    """A command on a repo."""

    repo_id: str
    status: str
    version: int
    position: int
    replayed: bool = False
