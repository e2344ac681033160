"""Triggers: the name under which an outcome reaches a table.

Owns: `trigger_of`.
Never: a meaning; the rows give it one.
Reads as: a boundary matched an outcome to its open intent -> `trigger_of` -> `fire`.
"""

import re

from taskdock.core.inputs import Failed, Outcome, Value

_WORD = re.compile(r"(?<!^)(?=[A-Z])")


def trigger_of(outcome: Outcome) -> tuple[str, Value | None, Failed | None]:
    """The trigger, with the value or the failure: `SandboxReady` fires `sandbox_ready`, every failure fires `failed`."""
    if isinstance(outcome, Failed):
        return "failed", None, outcome
    return _WORD.sub("_", type(outcome.value).__name__).lower(), outcome.value, None
