"""Sayings: what an event of the history is in words for people."""

from datetime import UTC, datetime

import pytest

from taskdock.adapters.entry.cli.sayings import of_event
from taskdock.core.history import HistoryEvent, HistoryKind


@pytest.mark.parametrize(
    ("head", "uncommitted", "said"),
    [
        ("1a2b3c4d5e", 0, "commit 1a2b3c4 on fix-it"),
        ("1a2b3c4d5e", 2, "commit 1a2b3c4 on fix-it, and 2 files with uncommitted changes are kept"),
        (None, 2, "2 files with uncommitted changes are kept"),
        (None, 0, None),
    ],
)
def test_collected_work_is_told_by_what_there_is_of_it(
    head: str | None, uncommitted: int, said: str | None
) -> None:
    """A commit, files that are in none, or both; an agent that took everything back is no news."""
    data = {"head": head, "branch": "fix-it", "moved": False, "uncommitted": uncommitted}
    event = HistoryEvent(HistoryKind.WORK_COLLECTED, datetime(2026, 1, 1, tzinfo=UTC), data=data)
    assert of_event(event) == said
