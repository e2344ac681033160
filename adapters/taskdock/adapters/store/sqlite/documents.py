"""Documents: the codec, with a memory of what went through it lately.

Owns: `encode`, `decode`, `encode_body`, `decode_body` for this folder, and how much is remembered.
Never: a document that is not what its text says; a text says all there is to say, and records never change.
Reads as: records, commits (write), slices, reads, rows (read) -> these -> core.codec.

The next step of a boundary, the next page of a list and every watcher of a feed read the same texts again, most of them
written here a moment ago. Remembering them takes two thirds off a load.
"""

from typing import Any, TypeVar

from taskdock.core import codec
from taskdock.core.intents import Body

_DOCUMENTS_MAX = 4_096
_CHARACTERS_MAX = 4_096
"""Together the bound: twice so many documents, some 10 MiB of usual ones and 40 MiB of the longest."""

_T = TypeVar("_T")


class Memory:
    """The latest documents by kind and text, in two halves: a full one takes the place of the one before.

    Threads share it without a lock: two that turn the halves at once lose memories, never the truth.
    """

    def __init__(self, documents_max: int = _DOCUMENTS_MAX) -> None:
        self._documents_max = documents_max
        self._young: dict[tuple[object, str], Any] = {}
        self._old: dict[tuple[object, str], Any] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def keep(self, kind: object, text: str, document: object) -> None:
        """Remember a document, unless it is a long one."""
        if len(text) > _CHARACTERS_MAX:
            return
        if len(self._young) >= self._documents_max:
            self._young, self._old = {}, self._young
        self._young[kind, text] = document

    def find(self, kind: object, text: str) -> Any:  # noqa: ANN401 - what the kind says
        """The document of this text; None when it is not remembered."""
        found = self._young.get((kind, text))
        return self._old.get((kind, text)) if found is None else found


_MEMORY = Memory()


def encode(record: object) -> str:
    """Write a record down, and remember it."""
    text = codec.encode(record)
    _MEMORY.keep(type(record), text, record)
    return text


def decode(kind: type[_T], text: str) -> _T:
    """Read a record back, from memory where that has it; raises as `core.codec.decode` does."""
    record: _T | None = _MEMORY.find(kind, text)
    if record is None:
        record = codec.decode(kind, text)
        _MEMORY.keep(kind, text, record)
    return record


def encode_body(body: Body) -> str:
    """Write the body of an intent down, and remember it."""
    text = codec.encode_body(body)
    _MEMORY.keep(Body, text, body)
    return text


def decode_body(text: str) -> Body:
    """Read the body of an intent back, from memory where that has it."""
    body: Body | None = _MEMORY.find(Body, text)
    if body is None:
        body = codec.decode_body(text)
        _MEMORY.keep(Body, text, body)
    return body
