"""Upcasters: documents of earlier versions are read as this code would have written them."""

import json
from typing import Any

import pytest

from taskdock.core import codec
from taskdock.core.codec import decode, decode_body, encode, encode_body
from taskdock.core.errors import SchemaMismatch
from taskdock.core.intents import Wake
from taskdock.core.message import MessageText
from taskdock.core.task import Task
from unit.core import givens as g


@pytest.fixture
def third_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this code be of version 3: `text` was once called `words`, and then in capitals."""

    def from_first(kind: str, document: dict[str, Any]) -> dict[str, Any]:
        return {"text": document["words"], "id": document["id"]} if kind == "MessageText" else document

    def from_second(kind: str, document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "text": document["text"].lower()} if kind == "MessageText" else document

    monkeypatch.setattr(codec, "VERSION", 3)
    monkeypatch.setattr(codec, "UPCASTERS", {1: from_first, 2: from_second})


def text_of(version: int, **values: str) -> str:
    """A stored message text of a version."""
    return json.dumps({"v": version, "id": "msg-1", **values})


@pytest.mark.usefixtures("third_version")
def test_each_version_is_read_step_by_step() -> None:
    """A document goes through every upcaster from its own version on, and no other."""
    wanted = MessageText("msg-1", "hello")
    assert decode(MessageText, text_of(1, words="HELLO")) == wanted
    assert decode(MessageText, text_of(2, text="HELLO")) == wanted
    assert decode(MessageText, text_of(3, text="HELLO")) == MessageText("msg-1", "HELLO")
    assert json.loads(encode(wanted))["v"] == 3


@pytest.mark.usefixtures("third_version")
def test_bodies_are_read_too() -> None:
    """The body of an intent of an earlier version is read as well, by the name of all bodies."""
    old = json.dumps({**json.loads(encode_body(Wake("settle"))), "v": 1})
    assert decode_body(old) == Wake("settle")


@pytest.mark.usefixtures("third_version")
@pytest.mark.parametrize("version", [0, 4, True, "1", None])
def test_versions_out_of_reach_are_refused(version: object) -> None:
    """A newer version, and one that nothing reads any more, are refused and not guessed at."""
    with pytest.raises(SchemaMismatch, match="version"):
        decode(MessageText, json.dumps({"v": version, "id": "msg-1", "text": "x"}))


def test_there_is_one_for_each_version_before() -> None:
    """Every version from the first on can be read."""
    assert sorted(codec.UPCASTERS) == list(range(1, codec.VERSION))


def test_a_new_field_with_a_default_needs_none() -> None:
    """A document that lacks a field which has a default is read with the default."""
    task = g.working().task
    document = json.loads(encode(task))
    assert document.pop("failure", "missing") is None
    assert decode(Task, json.dumps(document)) == task
