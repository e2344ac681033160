"""Timeline: the story of one task for a reader: what was asked, what happened behind its back, what its history says.

Owns: `story`.
Never: a judgement.
Reads as: referee.py finds something -> this.
"""

import json
from datetime import UTC, datetime

from e2e.ledger import Ledger
from e2e.outside import Outside

LINES_MAX = 400


def story(outside: Outside, ledger: Ledger, task_id: str) -> str:
    """One line for each event, in the order of time: `client` is the script, `history` what the store keeps."""
    lines = [(entry.at, f"client   {entry.words}") for entry in ledger.of(task_id)]
    query = "SELECT at, kind, tab_id, data FROM history WHERE boundary = ? ORDER BY number"
    for at, kind, tab_id, data in outside.rows(query, task_id):
        words = " ".join(f"{name}={value}" for name, value in json.loads(data).items())
        lines.append((datetime.fromtimestamp(at / 1e6, UTC), f"history  {kind} {tab_id or ''} {words}"))
    told = [f"{at:%H:%M:%S.%f} {words}" for at, words in sorted(lines, key=lambda line: line[0])]
    return "\n".join([f"--- {task_id}", *told[-LINES_MAX:], *_as_it_stands(outside, task_id)])


def _as_it_stands(outside: Outside, task_id: str) -> list[str]:
    """The rows and the sandbox of the task as they are."""
    found = [f"task     {body}" for (body,) in outside.rows("SELECT body FROM task WHERE id = ?", task_id)]
    found += [
        f"tab      {body}" for (body,) in outside.rows("SELECT body FROM tab WHERE task_id = ?", task_id)
    ]
    messages = outside.rows("SELECT id, tab_id, number, at, text FROM message WHERE task_id = ?", task_id)
    found += [f"message  {row}" for row in messages]
    intents = outside.rows(
        "SELECT id, kind, status, attempt, issue, body FROM intent WHERE boundary = ?", task_id
    )
    found += [f"intent   {row}" for row in intents]
    boxes = [box for box in outside.boxes() if box.task_id == task_id]
    return found + [f"sandbox  {box.path.name} {dict(box.processes)} {box.tabs()}" for box in boxes]
