"""Reader: what one principal has read of a tab, and what it is writing there.

Owns: the records `ReadMarker` and `DraftText`, and the id that both have.
Never: part of a slice; no step needs to know what others have read or are writing.
Reads as: task_boundary (mark_read, set_draft) -> `Change.records` -> the store -> `Reads`.
"""

from attrs import frozen


@frozen
class ReadMarker:
    """`principal` has read the tab up to `turns` ended turns."""

    id: str
    tab_id: str
    task_id: str
    principal: str
    turns: int


@frozen
class DraftText:
    """What `principal` is writing in the tab; an empty text drops it."""

    id: str
    tab_id: str
    task_id: str
    principal: str
    text: str


def reader_id(tab_id: str, principal: str) -> str:
    """The id of a principal's marker, and of its draft, in a tab."""
    return f"{tab_id}/{principal}"
