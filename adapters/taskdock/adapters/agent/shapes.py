"""Shapes: parts of messages that agents wrote, read without trust.

Owns: the three ways to read a value of a shape that may be another.
Never: an exception; what has another shape counts as absent.
Reads as: acp.py, items.py, settings.py -> this.
"""

from collections.abc import Mapping
from typing import Any

Message = Mapping[str, Any]


def mapping(value: object) -> Message:
    """Read an object; what is none counts as an empty one."""
    return value if isinstance(value, Mapping) else {}


def objects(value: object) -> list[Message]:
    """Read a list of objects, without what is none."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def text(value: object) -> str | None:
    """Read a text; None for anything else."""
    return value if isinstance(value, str) else None
