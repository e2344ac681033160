"""Reader commands: what a principal has read of a tab, and what it is writing there.

Owns: the handlers of mark read and set draft.
Never: a status; both are taken in every one, and nothing is decided by them.
Reads as: task_boundary.step -> a handler here -> a record that no slice loads.
"""

from taskdock.core import inputs
from taskdock.core.change import Draft
from taskdock.core.reader import DraftText, ReadMarker, reader_id
from taskdock.core.tab_commands import the_tab


def mark_read(draft: Draft, command: inputs.MarkRead) -> str | None:
    """Remember how many of the tab's ended turns the principal has read; never more than there are."""
    tab = the_tab(draft, command.tab_id)
    turns = min(command.turns, tab.turns_ended)
    draft.put(ReadMarker(reader_id(tab.id, command.principal), tab.id, tab.task_id, command.principal, turns))
    return None


def set_draft(draft: Draft, command: inputs.SetDraft) -> str | None:
    """Keep what the principal is writing; the last one wins."""
    tab = the_tab(draft, command.tab_id)
    draft.put(
        DraftText(reader_id(tab.id, command.principal), tab.id, tab.task_id, command.principal, command.text)
    )
    return None
