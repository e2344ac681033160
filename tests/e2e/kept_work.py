"""Kept work: whether what agents did is still there: in a sandbox, in the service's clone, or given up on the record.

Owns: `lost_work`.
Never: trust in what a record says of work; files and git are asked.
Reads as: referee.py -> this -> outside.py.

The witness is what the user was told: the agent's own words in the transcript, `I wrote PATH and committed it as ID`, or
`... and left it uncommitted`. Every prompt has a path of its own.
"""

import json
import re
from collections.abc import Iterator, Sequence

from e2e.ledger import Ledger, Sent
from e2e.outside import Box, Outside, git_says, refs_of
from taskdock.app import TaskView
from taskdock.core import task_record as at

_WROTE = re.compile(
    r"I wrote (?P<path>notes/[\w-]+\.md) and (?:left it uncommitted|committed it as (?P<commit>\w+))"
)


def lost_work(outside: Outside, ledger: Ledger, view: TaskView, boxes: Sequence[Box]) -> Iterator[str]:
    """What the user was told of and is nowhere, and not given up on the record either."""
    inside = {
        path.relative_to(box.checkout).as_posix() for box in boxes for path in box.checkout.glob("notes/*.md")
    }
    clone = outside.clone(view.task.repo_id)
    kept = _paths_in_refs(outside, view)
    for sent, commit in _told(outside, ledger, view):
        path = _path(sent)
        if _may_be_lost(outside, sent):
            continue
        if path not in inside | kept:
            yield f"(7) {path} of {sent.id} is nowhere"
        elif view.task.at == at.RUNNING and path not in inside:
            yield f"(7) {path} of {sent.id} is in the clone, and was not brought back into the sandbox"
        if commit is not None and not any(
            git_says(folder, "cat-file", "-e", f"{commit}^{{commit}}") is not None
            for folder in (clone, *(box.checkout for box in boxes))
        ):
            yield f"(7) the commit {commit} of {sent.id} is nowhere"


def _told(outside: Outside, ledger: Ledger, view: TaskView) -> Iterator[tuple[Sent, str | None]]:
    """The messages whose work the user was told of, each with its commit if it has one."""
    by_path = {_path(one): one for one in ledger.messages.values() if one.task_id == view.task.id}
    for tab in view.tabs:
        query = "SELECT kind, body FROM transcript WHERE tab_id = ? ORDER BY position"
        rows = outside.rows(query, tab.id)
        words = "".join(json.loads(body).get("text", "") if kind == "text" else "\n" for kind, body in rows)
        for match in _WROTE.finditer(words):
            yield by_path[match["path"]], match["commit"]


def _path(sent: Sent) -> str:
    title = sent.text.splitlines()[0] if sent.text else "none"
    return f"notes/{title.lower().replace(' ', '-')}.md"


def _paths_in_refs(outside: Outside, view: TaskView) -> set[str]:
    """Every note in any ref that the clone keeps for this task."""
    clone = outside.clone(view.task.repo_id)
    found: set[str] = set()
    for ref in refs_of(clone, [f"refs/taskdock/{view.task.id}/"]):
        found.update((git_says(clone, "ls-tree", "-r", "--name-only", ref, "notes/") or "").split())
    return found


def _may_be_lost(outside: Outside, sent: Sent) -> bool:
    """Whether the history tells, after its turn began, that work was given up, or lost while it was owed."""
    query = """
        SELECT COUNT(*) FROM history AS loss WHERE loss.boundary = ?
        AND (loss.kind = 'work.given_up' OR (loss.kind = 'sandbox.lost' AND json_extract(loss.data, '$.work_owed')))
        AND loss.number > (SELECT MAX(number) FROM history WHERE boundary = ? AND kind = 'turn.started'
            AND json_extract(data, '$.message') = ?)
    """
    ((count,),) = outside.rows(query, sent.task_id, sent.task_id, sent.id)
    return bool(count)
