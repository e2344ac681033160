"""Heuristic: a title and a slug read off the prompt itself, without asking anybody.

Owns: `HeuristicNamer`, the namer that cannot fail and so the one that every other falls back to.
Never: a network call, a random choice, or a text it cannot name; the same prompt always gives the same name.
Reads as: services/executors/ensure_name.py -> the naming port -> this.

The title is the first line that says something once its markup is gone: fenced code is skipped, links keep their text,
addresses go, and so does what politeness puts before the verb. The slug is that title in plain ASCII.
"""

import re
import unicodedata
from collections.abc import Iterator

from taskdock.ports.naming import NameProposal, NameRequest

TITLE_CHARACTERS_MAX = 80
SLUG_CHARACTERS_MAX = 50

_FALLBACK_TITLE = "Task"
_FALLBACK_SLUG = "task"
_PROMPT_CHARACTERS_MAX = 4_000

_FENCE = re.compile(r"\s*(?:```|~~~)")
_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()\s]*\)|\[[^\[\]]*\])")
_ADDRESS = re.compile(r"<?\b(?:https?|ssh|git|ftp|file)://[^\s>]*>?|\bwww\.\S+", re.IGNORECASE)
# A word right before it makes `<` part of a type, as in List<int>.
_TAG = re.compile(r"(?<!\w)<[a-zA-Z][^<>]*>|</[a-zA-Z][^<>]*>|<!--.*?(?:-->|$)")
_BLOCK_MARK = re.compile(r"\s*(?:#{1,6}\s|>|[-*+]\s+(?:\[[ xX]\]\s)?|\d{1,3}[.)]\s|[-=_*]{3,}\s*$|\|)")
_INLINE_MARK = re.compile(r"\*\*|__|~~|`+|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)")
_POLITENESS = re.compile(
    r"(?:(?:hi|hello|hey)(?: there)?[,!.]?\s+|please,?\s+|(?:can|could|would|will) you (?:please )?)+",
    re.IGNORECASE,
)
_EDGES = " \t.,;:!-–—·•|"  # noqa: RUF001 - both dashes are meant
_WORD = re.compile(r"[a-z0-9]+")


class HeuristicNamer:
    """Implements `Namer` without help: never raises, for no text at all."""

    id = "heuristic"

    async def propose(self, request: NameRequest) -> NameProposal:
        """Name the prompt; the same answer every time."""
        title = title_of(request.prompt)
        return NameProposal(title=title or _FALLBACK_TITLE, slug=slug_of(title) or _FALLBACK_SLUG)


def title_of(prompt: str) -> str:
    """The first line of the prompt that has words, without markup, at most 80 characters; '' when none has."""
    for line in _prose(prompt[:_PROMPT_CHARACTERS_MAX]):
        title = _shortened(_plain(line))
        if any(character.isalnum() for character in title):
            return title
    return ""


def slug_of(title: str) -> str:
    """The title as words of a-z and 0-9 with single dashes between, at most 50 characters; '' when none is left."""
    ascii_only = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    slug = ""
    # An apostrophe belongs to its word: "don't" is dont, not don-t.
    for word in _WORD.findall(ascii_only.replace("'", "")):
        longer = f"{slug}-{word}" if slug else word[:SLUG_CHARACTERS_MAX]
        if len(longer) > SLUG_CHARACTERS_MAX:
            break
        slug = longer
    return slug


def _prose(text: str) -> Iterator[str]:
    """Every line that is not inside a fence of code."""
    is_code = False
    for line in text.splitlines():
        if _FENCE.match(line):
            is_code = not is_code
        elif not is_code:
            yield line


def _plain(line: str) -> str:
    """The line as it would be read out: no markup, no address, single spaces, nothing invisible."""
    while mark := _BLOCK_MARK.match(line):
        line = line[mark.end() :]
    for pattern, kept in ((_LINK, r"\1"), (_ADDRESS, " "), (_TAG, " "), (_INLINE_MARK, "")):
        line = pattern.sub(kept, line)
    # Category C is what cannot be seen: controls, marks that turn the writing direction, halves of surrogate pairs.
    visible = "".join(c if not unicodedata.category(c).startswith("C") else " " for c in line)
    return _asked(" ".join(visible.split()).strip(_EDGES))


def _asked(text: str) -> str:
    """What is asked for, with a capital where a polite beginning was taken off; otherwise as it was written."""
    polite = _POLITENESS.match(text)
    asked = text[polite.end() :].rstrip("?" + _EDGES) if polite else ""
    return asked[0].upper() + asked[1:] if asked else text


def _shortened(text: str) -> str:
    """At most 80 characters, cut between words where there are words."""
    if len(text) <= TITLE_CHARACTERS_MAX:
        return text
    cut = text[: TITLE_CHARACTERS_MAX + 1]
    head, space, _ = cut.rpartition(" ")
    return (head if space else cut[:TITLE_CHARACTERS_MAX]).rstrip(_EDGES)
