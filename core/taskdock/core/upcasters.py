"""Upcasters: documents of earlier versions, made into documents of the next.

Owns: `UPCASTERS`, one function per version that is over.
Never: a change to one that was released; stores of that version are still out there (tests/stores).
Reads as: codec.py reads a document -> one upcaster after the other -> the version of this code.
"""

from collections.abc import Callable
from typing import Any

Document = dict[str, Any]
Upcaster = Callable[[str, Document], Document]
"""Makes a document of one version a document of the next; the first argument is the name of its kind."""

_UNNAMED = ("init_enqueue_provision", "init_enqueue_provision/wait_repo", "init_ensure_name")
_HAD_SANDBOX = ("init_ensure_agent", "init_create_session", "running", "running/observe")
_ACTIVITY = {"running": "idle", "error": "failed", "killing": "archived", "killed": "archived"}


def _from_first(kind: str, document: Document) -> Document:
    """Version 1 knew no looks: a lost sandbox ended its task in `error/running`; what was done so far stood in `at` alone."""
    if kind != "Task":
        return document
    state = document["at"].removeprefix("error/")
    failed = state != document["at"]
    if failed and state == "running":
        state = "running/observe"
        document = {**document, "at": f"error/{state}", "failure": {**document["failure"], "step": state}}
    return {
        **document,
        "is_named": document["branch"] is not None and state not in _UNNAMED,
        "box_ready": state in _HAD_SANDBOX,
        # When its create began was not kept; that it did must not be forgotten.
        "create_began": document["updated_at"] if document["box_ordered"] else None,
        "destroy_ordered": state == "killing/destroy",
        "activity": _ACTIVITY.get(document["at"].partition("/")[0], "provisioning"),
    }


UPCASTERS: dict[int, Upcaster] = {1: _from_first}
"""By the version that an upcaster takes. A field that is new and has a default needs none: it is read as the default."""
