"""Task retry: what a retry of each step will do, in words.

Owns: `on_retry`.
Never: a row; that the words are true is what the cases of the rows show.
Reads as: a task fails in a step -> `on_retry(step)` -> its failure tells people.
"""

from taskdock.core import task_record as at

_LOOKS = "looks at the sandbox, then goes on from what it finds"
_COLLECTS = "tries to bring the work out again"

_ON_RETRY = {
    at.ATTACH: "looks for the branch again",
    at.WAIT_REPO: "starts the clone again and waits for it",
    at.QUEUED: "asks for a name again",
    at.NAMING: "asks for a name again",
    at.CREATE: _LOOKS,
    at.OBSERVE: _LOOKS,
    at.RESCUE: f"{_COLLECTS}; `retry --discard` gives it up",
    at.REPLACE: "tries to release the sandbox again, then makes a new one",
    at.AGENT: _LOOKS,
    at.SESSION: _LOOKS,
    at.LOOKING: _LOOKS,
    at.STOP_WAKE: f"{_COLLECTS}; `retry --discard` stops without",
    at.STOP_COLLECT: f"{_COLLECTS}; `retry --discard` stops without",
    at.STOP: "tries to stop the sandbox again",
    at.ARCHIVE_WAKE: f"{_COLLECTS}; `archive --force` gives it up",
    at.ARCHIVE_COLLECT: f"{_COLLECTS}; `archive --force` gives it up",
    at.ARCHIVE: "tries to release the sandbox again",
    at.KILL_WAKE: f"{_COLLECTS}; `kill --force` gives it up",
    at.KILL_COLLECT: f"{_COLLECTS}; `kill --force` gives it up",
    at.KILL: "tries to release the sandbox again",
}


def on_retry(step: str) -> str:
    """What a retry of this step will do, as the end of a sentence that begins with "retry"."""
    return _ON_RETRY[step]
