"""Rows: how times, plain values and intents stand in columns, and how they come back.

Owns: the whole microseconds that times are kept as, and the columns of an intent.
Never: SQL; statements stand beside what they are for.
Reads as: commits, claims, transcripts, slices, reads -> these -> documents.py -> core.codec.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from taskdock.adapters.store.sqlite.documents import decode_body
from taskdock.core.codec import plain_json
from taskdock.core.intents import Intent

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

INTENT_COLUMNS = "id, boundary, workspace, subject, lane, body, attempt, created_at, not_before, deadline_at, issue, started"


def to_microseconds(at: datetime) -> int:
    """Count the microseconds since 1970 in UTC, exactly; TypeError for a time without a zone."""
    return (at - _EPOCH) // _MICROSECOND


def to_microseconds_or_none(at: datetime | None) -> int | None:
    """Keep None, count the rest."""
    return None if at is None else to_microseconds(at)


def to_time(microseconds: int) -> datetime:
    """Give the time back, in UTC."""
    return _EPOCH + microseconds * _MICROSECOND


def _to_time_or_none(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else to_time(microseconds)


def write_json(values: Mapping[str, object]) -> str:
    """Write plain values that have no version of their own (history data, transcript items)."""
    return plain_json(dict(values))


def read_json(text: str) -> dict[str, Any]:
    """Read plain values back."""
    values: dict[str, Any] = json.loads(text)
    return values


def read_intent(columns: Iterable[Any]) -> Intent:
    """Make an intent of the values of `INTENT_COLUMNS`; SchemaMismatch when its body is of a kind that is not known here."""
    id_, boundary, workspace, subject, lane, body, attempt, created, not_before, deadline, issue, started = (
        columns
    )
    return Intent(
        id=id_,
        boundary=boundary,
        workspace=workspace,
        subject=subject,
        lane=lane,
        body=decode_body(body),
        attempt=attempt,
        created_at=to_time(created),
        not_before=_to_time_or_none(not_before),
        deadline_at=_to_time_or_none(deadline),
        issue=issue,
        started=bool(started),
    )
