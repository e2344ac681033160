"""Branches: how a repo's branches stood when its clone was last looked at.

Owns: the record `Branches`.
Never: part of a slice: no step needs to know every branch; the last look that worked stays when a later one fails.
Reads as: job.py's end -> repo_boundary -> `Change.records` -> the store -> `Reads`.
"""

from datetime import datetime

from attrs import frozen

from taskdock.core.job_record import BranchSeen


@frozen
class Branches:
    """The branches of one repo; `id` is the repo's."""

    id: str
    seen: tuple[BranchSeen, ...] = ()
    trunk_head: str | None = None
    read_at: datetime | None = None
    """When the clone was read; a row is as fresh as this."""
