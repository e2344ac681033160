"""Documents: what is remembered is what was written, and no more than fits."""

import pytest

from taskdock.adapters.store.sqlite import documents
from taskdock.adapters.store.sqlite.documents import Memory
from taskdock.core import codec
from taskdock.core.errors import SchemaMismatch
from taskdock.core.intents import Body, Wake
from taskdock.core.message import MessageText
from taskdock.core.task import Task
from unit.core import givens as g

NOTE = MessageText("message-1", "Hello.")


@pytest.fixture(autouse=True)
def _memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered from elsewhere."""
    monkeypatch.setattr(documents, "_MEMORY", Memory())


def test_written_document_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written here comes back as the same object, without the codec."""
    text, body = documents.encode(NOTE), documents.encode_body(Wake("settle"))
    monkeypatch.setattr(codec, "decode", None)
    monkeypatch.setattr(codec, "decode_body", None)
    assert documents.decode(MessageText, text) is NOTE
    assert documents.decode_body(body) == Wake("settle")


def test_read_document_is_not_parsed_again() -> None:
    """What another process wrote is parsed once."""
    text = codec.encode(g.working().task)
    first = documents.decode(Task, text)
    assert first == g.working().task
    assert documents.decode(Task, text) is first


def test_text_is_read_as_the_kind_that_is_asked_for() -> None:
    """One text of two kinds is two documents; a kind that it does not fit is refused, remembered or not."""
    text = documents.encode(NOTE)
    with pytest.raises(SchemaMismatch):
        documents.decode(Task, text)
    with pytest.raises(SchemaMismatch):
        documents.decode_body(text)


def test_changed_text_is_read_anew() -> None:
    """Another text is another document, however like it looks."""
    text = documents.encode(NOTE)
    assert documents.decode(MessageText, text.replace("Hello", "Bye")).text == "Bye."


def test_memory_is_bounded() -> None:
    """Only the latest documents are remembered, and no long one."""
    memory = Memory(documents_max=10)
    for number in range(1_000):
        memory.keep(Body, str(number), number)
    assert len(memory) <= 20
    assert memory.find(Body, "999") == 999
    assert memory.find(Body, "0") is None
    memory.keep(Body, "x" * 5_000, "long")
    assert memory.find(Body, "x" * 5_000) is None
