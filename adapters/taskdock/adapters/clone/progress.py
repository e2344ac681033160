"""Progress: git's repainted percentages as sentences for people, a few per second.

Owns: the reading of `--progress` output.
Never: a word of the remote's own; only numbers and the names of git's stages pass.
Reads as: process.py feeds what git writes -> this -> the caller's Progress.
"""

import re

import anyio

from taskdock.ports.clone import Progress

PAUSE_SECONDS = 0.25
"""The least time between two sentences."""

_LINE = re.compile(
    r"(?:remote: )?(?P<stage>[A-Z][a-z]+ [a-z]+): +(?P<percent>\d{1,3})% \((?P<done>\d{1,15})/(?P<all>\d{1,15})\)"
    r"(?P<rate>, [\d.]+ [KMGT]?i?B(?:ytes)? \| [\d.]+ [KMGT]?i?B(?:ytes)?/s)?"
)
_PIECE_CHARACTERS_MAX = 1_000


class CloneProgress:
    """Takes git's standard error piece by piece and tells `progress` at most four times a second where it stands."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._rest = ""
        self._told_at = -PAUSE_SECONDS

    async def __call__(self, text: str) -> None:
        """Take the next piece; only the newest sentence in it counts."""
        *lines, self._rest = re.split(r"[\r\n]", self._rest[-_PIECE_CHARACTERS_MAX:] + text)
        sentences = [told for line in lines if (told := sentence(line))]
        now = anyio.current_time()
        if not sentences or now - self._told_at < PAUSE_SECONDS:
            return
        self._told_at = now
        await self._progress(sentences[-1])


def sentence(line: str) -> str | None:
    """Turn one line into 'Receiving objects: 43 % (3,210 of 7,400)'; None when it holds no percentage."""
    match = _LINE.match(line)
    if match is None:
        return None
    done, total = int(match["done"]), int(match["all"])
    return f"{match['stage']}: {int(match['percent'])} % ({done:,} of {total:,}){match['rate'] or ''}"
