"""Promises: whether each message is what its sender was told, and reached its agent as often as it may.

Owns: `broken_promises`.
Never: the agent's word taken from the store; its own log is what counts.
Reads as: referee.py -> this -> outside.py (rows, logs of agents), ledger.py.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from e2e.ledger import Ledger
from e2e.outside import Outside
from e2e.witness import Seen
from taskdock.app import TaskView
from taskdock.core.message import DELIVERY_UNKNOWN

LOGGED_CHARACTERS = 200
"""So much of a prompt is in the agent's log."""


@frozen
class Row:
    """One message as it is stored."""

    id: str
    tab_id: str
    number: int
    status: str
    text: str
    reason: str | None


def broken_promises(outside: Outside, ledger: Ledger, view: TaskView) -> Iterator[str]:
    """Invariant 3, sentence by sentence, for the messages of one task."""
    query = (
        "SELECT id, tab_id, number, at, text, json_extract(body, '$.reason') FROM message WHERE task_id = ?"
    )
    rows = {row[0]: Row(*row) for row in outside.rows(query, view.task.id)}
    seen = [one for one in outside.seen() if one.request in rows]
    yield from _against_the_ledger(ledger, view, rows)
    yield from _against_the_agents(rows, seen)
    yield from _in_order(rows, seen)
    query = "SELECT json_extract(data, '$.message') FROM history WHERE boundary = ? AND kind = 'turn.started'"
    started = {message_id for (message_id,) in outside.rows(query, view.task.id)}
    for row in rows.values():
        if row.reason == DELIVERY_UNKNOWN and row.id not in started:
            yield f"(3) {row.id} may have been delivered, and its turn never started"


def _against_the_ledger(ledger: Ledger, view: TaskView, rows: Mapping[str, Row]) -> Iterator[str]:
    sent = {one.id: one for one in ledger.messages.values() if one.task_id == view.task.id}
    if rows.keys() != sent.keys():
        yield f"(3) accepted and stored messages differ: {sorted(rows.keys() ^ sent.keys())}"
    for message_id in rows.keys() & sent.keys():
        row, promised = rows[message_id], sent[message_id]
        if promised.withdrawn and row.status != "withdrawn":
            yield f"(3) {message_id} was withdrawn and is {row.status}"
        if row.text != promised.text:
            yield f"(3) {message_id} has the text {row.text!r}, accepted was {promised.text!r}"


def _against_the_agents(rows: Mapping[str, Row], seen: Sequence[Seen]) -> Iterator[str]:
    counts = Counter(one.request for one in seen)
    for row in rows.values():
        count = counts[row.id]
        least = 1 if row.status == "delivered" else 0
        most = 0 if row.status in ("queued", "withdrawn") else 1
        if not least <= count <= most:
            yield f"(3) {row.id} is {row.status} ({row.reason}) and was seen {count} times"
    for one in seen:
        if one.text != rows[one.request].text[:LOGGED_CHARACTERS]:
            yield f"(3) {one.request} reached the agent as {one.text!r}"


def _in_order(rows: Mapping[str, Row], seen: Sequence[Seen]) -> Iterator[str]:
    for tab_id in {row.tab_id for row in rows.values()}:
        order = [rows[one.request].number for one in seen if rows[one.request].tab_id == tab_id]
        if order != sorted(order):
            yield f"(3) messages of {tab_id} arrived in the order {order}"
