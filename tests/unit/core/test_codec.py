"""Codec: what is written down comes back exactly as it was, and what does not say what it should is refused."""

import json
from typing import Any, get_args

import pytest
from attrs import frozen

from taskdock.core import codec
from taskdock.core.branches import Branches
from taskdock.core.change import Record
from taskdock.core.codec import VERSION, decode, decode_body, encode, encode_body
from taskdock.core.errors import SchemaMismatch
from taskdock.core.history import HistoryEvent
from taskdock.core.inputs import (
    AwaitBranch,
    AwaitReady,
    BranchAwaited,
    BranchBorn,
    BranchFailed,
    BranchMoved,
    BranchReady,
    NoLongerWaits,
    RepoFailed,
    RepoReady,
    TellInput,
)
from taskdock.core.intents import Body, Intent, Tell, Wake
from taskdock.core.job import Job
from taskdock.core.message import Message, MessageText
from taskdock.core.repo import Repo
from taskdock.core.tab import Tab
from taskdock.core.task import Task
from unit.core import givens as g
from unit.core.givens import REPOS, TASKS
from unit.core.story import Story


def stories() -> list[Story]:
    """Every situation."""
    return [*(given() for given in TASKS.values()), *(given() for given in REPOS.values())]


def every_record() -> list[Record]:
    """Every record of every situation."""
    return [record for story in stories() for record in story.boundary.records.values()]


def every_intent() -> list[Intent]:
    """Every intent that any step of any situation ordered."""
    return [intent for story in stories() for change in story.changes for intent in change.ordered]


def changed(text: str, **values: Any) -> str:
    """The same document with other values."""
    return json.dumps({**json.loads(text), **values})


def without(text: str, name: str) -> str:
    """The same document without one value."""
    return json.dumps({key: value for key, value in json.loads(text).items() if key != name})


TASK_TEXT = encode(g.working().task)
TAB_TEXT = encode(g.working().tab())
_TASK_REQUIRED = (
    "id", "workspace", "owner", "repo_id", "provider", "agent", "first_message_id", "title", "created_at", "updated_at",
)  # fmt: skip
MESSAGE_TEXT = encode(g.working().message())


def test_every_record_comes_back() -> None:
    """Each record of each situation survives the trip, and every kind of record is among them."""
    records = every_record()
    for record in records:
        assert decode(type(record), encode(record)) == record
    assert {type(record) for record in records} == {Task, Tab, Message, MessageText, Repo, Job, Branches}


def test_every_intent_comes_back() -> None:
    """Each intent and each body survives the trip, and every kind of body is among them."""
    found = every_intent()
    for intent in found:
        assert decode(Intent, encode(intent)) == intent
        assert decode_body(encode_body(intent.body)) == intent.body
    assert {type(intent.body) for intent in found} == set(get_args(Body))


def test_same_record_gives_the_same_bytes() -> None:
    """Writing down twice gives the same text, in one line, with the version in front."""
    for record in every_record():
        assert encode(record) == encode(decode(type(record), encode(record)))
        assert encode(record).startswith(f'{{"v":{VERSION},')
        assert "\n" not in encode(record)


def test_history_is_plain() -> None:
    """Each event is written as JSON that says when, what and which tab."""
    for story in stories():
        for event in story.boundary.history:
            written = json.loads(encode(event))
            assert written["kind"] == event.kind.value
            assert (written["at"], written.get("tab_id")) == (event.at.isoformat(), event.tab_id)
            assert written.get("data", {}) == dict(event.data)


def test_history_comes_back() -> None:
    """An event that was written can be read."""
    for event in g.KILL.done().boundary.history:
        assert decode(HistoryEvent, encode(event)) == event


@pytest.mark.parametrize(
    "text", ['"', "\\", "\0", "\u2028", "日本", "😀", "\n", "'; drop table", "{}", "null"]
)
def test_texts_come_back(text: str) -> None:
    """Whatever a user writes is what is read."""
    record = MessageText("msg-1", text)
    assert decode(MessageText, encode(record).encode().decode()) == record


@pytest.mark.parametrize(
    ("text", "written"),
    [("é 日本", "é 日本"), ("a\ud800", "a\\ud800"), ('"\n', '\\"\\n'), ("é\udcff", "\\u00e9\\udcff")],
)
def test_text_is_written_as_it_is(text: str, written: str) -> None:
    """A document is short and readable; only what UTF-8 cannot hold makes its document ASCII, just as short."""
    assert encode(MessageText("msg-1", text)) == f'{{"v":{VERSION},"id":"msg-1","text":"{written}"}}'


@pytest.mark.parametrize(
    ("data", "is_plain"),
    [
        ({"a": None, "b": 1, "c": 1.5, "d": "x", "e": True}, True),
        ({"a": ["x"]}, False),
        ({"a": {"b": 1}}, False),
    ],
)
def test_history_holds_plain_values_alone(data: dict[str, object], is_plain: bool) -> None:
    """What an event tells is read back as it was, each value of its own kind; a list or an object is none of ours."""
    event = {"v": VERSION, "kind": "task.resumed", "at": "2026-01-01T00:00:00+00:00", "data": data}
    if is_plain:
        read = decode(HistoryEvent, json.dumps(event)).data
        assert {name: (type(value), value) for name, value in read.items()} == {
            name: (type(value), value) for name, value in data.items()
        }
    else:
        with pytest.raises(SchemaMismatch, match="HistoryEvent"):
            decode(HistoryEvent, json.dumps(event))


@frozen
class Weight:
    """A record with a number that is not whole."""

    id: str
    kilos: float


@pytest.mark.parametrize(("stored", "read"), [(2, 2.0), (2.5, 2.5), (True, None), ("2", None), (None, None)])
def test_whole_number_may_stand_for_one_that_is_not(stored: object, read: float | None) -> None:
    """JSON has one kind of number: `2` is read as 2.0 where that is meant, and nothing else is bent to one."""
    text = json.dumps({"v": VERSION, "id": "x", "kilos": stored})
    if read is None:
        with pytest.raises(SchemaMismatch, match="Weight"):
            decode(Weight, text)
    else:
        kilos = decode(Weight, text).kilos
        assert (type(kilos), kilos) == (float, read)


@pytest.mark.parametrize(
    "answer",
    [
        AwaitReady("task-1", 3), RepoReady(3), RepoFailed(3, "no", None), RepoFailed(3, "no", "x"),
        AwaitBranch("task-1", 3, "theirs"), NoLongerWaits("task-1", 3), BranchAwaited(3, "job-1"),
        BranchBorn("task-1", 3, "one", "main", "c1"), BranchMoved("job-1", "one", "c1", None),
        BranchReady(3, "job-1", "c7"), BranchReady(3, "job-1", None), BranchFailed(3, "job-1", "no"),
    ],
)  # fmt: skip
def test_told_input_is_tagged(answer: TellInput) -> None:
    """What one boundary tells another is read back as the same kind of input, though two have the same fields."""
    body = Tell("repo-1", answer)
    written = json.loads(encode_body(body))
    assert (written["type"], written["input"]["type"]) == ("Tell", type(answer).__name__)
    read = decode_body(encode_body(body))
    assert read == body
    assert isinstance(read, Tell)
    assert type(read.input) is type(answer)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        pytest.param(Task, changed(TASK_TEXT, title=None), id="None for str"),
        pytest.param(Task, changed(TASK_TEXT, title=7), id="int for str"),
        pytest.param(Task, changed(TASK_TEXT, title=["a"]), id="list for str"),
        pytest.param(Task, changed(TASK_TEXT, box_ordered="no"), id="str for bool"),
        pytest.param(Task, changed(TASK_TEXT, box_ordered=1), id="int for bool"),
        pytest.param(Task, changed(TASK_TEXT, box_ordered=None), id="None for bool"),
        pytest.param(Task, changed(TASK_TEXT, generation=5.7), id="float for int"),
        pytest.param(Task, changed(TASK_TEXT, generation=5.0), id="whole float for int"),
        pytest.param(Task, changed(TASK_TEXT, generation="5"), id="str for int"),
        pytest.param(Task, changed(TASK_TEXT, generation=True), id="bool for int"),
        pytest.param(Task, changed(TASK_TEXT, branch=5), id="int for str or None"),
        pytest.param(Task, changed(TASK_TEXT, created_at="yesterday"), id="word for a time"),
        pytest.param(Task, changed(TASK_TEXT, created_at=1767225600), id="number for a time"),
        pytest.param(Task, changed(TASK_TEXT, step="creating"), id="str for a record"),
        pytest.param(Task, without(TASK_TEXT, "title"), id="missing title"),
        pytest.param(Tab, changed(TAB_TEXT, turn=None), id="None for a record"),
        pytest.param(Tab, changed(TAB_TEXT, last_end="finished"), id="unknown enum value"),
        pytest.param(Message, changed(MESSAGE_TEXT, tries=None), id="None for int"),
        pytest.param(Tab, MESSAGE_TEXT, id="another record"),
    ],
)  # fmt: skip
def test_wrong_value_is_refused(kind: type[Record], text: str) -> None:
    """No value is bent to its type: what is not what it should be is a SchemaMismatch that names the record."""
    with pytest.raises(SchemaMismatch, match=kind.__name__):
        decode(kind, text)


@pytest.mark.parametrize("version", [0, 3, 99, None, "1", [1]])
def test_other_version_is_refused(version: object) -> None:
    """A document of another version, a newer one above all, is left alone."""
    with pytest.raises(SchemaMismatch, match="version"):
        decode(Task, changed(TASK_TEXT, v=version))


def test_missing_version_is_refused() -> None:
    """A document without a version is none of ours."""
    with pytest.raises(SchemaMismatch, match="version"):
        decode(Task, without(TASK_TEXT, "v"))


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '"text"', "7"])
def test_what_is_no_document_is_refused(text: str) -> None:
    """What is no JSON object at all is a SchemaMismatch too, not whatever error the parser has."""
    with pytest.raises(SchemaMismatch):
        decode(Task, text)


@pytest.mark.parametrize("text", ["{", None])
def test_refusal_of_what_is_no_document_says_why(text: str | None) -> None:
    """The record is named, and what the parser said is the cause; also where nothing was stored at all."""
    with pytest.raises(SchemaMismatch, match="A stored Task cannot be read: it is no JSON") as refusal:
        decode(Task, text)  # type: ignore[arg-type]
    assert isinstance(refusal.value.__cause__, json.JSONDecodeError | TypeError)


def test_refusal_of_a_wrong_value_says_why() -> None:
    """The record is named, with the error that stands behind it."""
    with pytest.raises(SchemaMismatch, match="A stored Task cannot be read: ") as refusal:
        decode(Task, changed(TASK_TEXT, branch=5))
    cause = refusal.value.__cause__
    assert cause is not None
    assert repr(cause) in str(refusal.value)


def test_body_of_an_earlier_version_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads an earlier version is told that it has the body of an intent before it."""
    told = []

    def from_first(kind: str, document: dict[str, object]) -> dict[str, object]:
        told.append(kind)
        return document

    monkeypatch.setattr(codec, "UPCASTERS", {1: from_first})
    assert decode_body(changed(encode_body(Wake("settle")), v=1)) == Wake("settle")
    assert told == ["Body"]


@pytest.mark.parametrize(
    "text",
    [
        changed(encode_body(Wake("settle")), type="Sleep"),
        without(encode_body(Wake("settle")), "type"),
        changed(encode_body(Wake("settle")), type="CollectWork"),
        changed(encode_body(Tell("repo-1", RepoReady(1))), input={"type": "KillTask", "force": True}),
        changed(encode_body(Tell("repo-1", RepoReady(1))), input={"ask": 1}),
        changed(encode_body(Tell("repo-1", RepoReady(1))), input={"type": "RepoReady", "ask": "1"}),
    ],
)
def test_unknown_body_is_refused(text: str) -> None:
    """An intent whose kind this code does not know, or whose values are not its kind's, is not guessed at."""
    with pytest.raises(SchemaMismatch):
        decode_body(text)


def test_defaults_are_part_of_the_format() -> None:
    """A value that is its default is not written, so what the shortest documents mean must never change."""
    tab = json.loads(
        '{"v":2,"id":"tab-1","task_id":"task-1","number":1,"name":"Tab 1","agent":"demo",'
        '"opened_at":"2026-01-01T00:00:00+00:00","updated_at":"2026-01-01T00:00:00+00:00"}'
    )
    read = decode(Tab, json.dumps(tab))
    assert (read.at, read.generation, read.session, read.held, read.messages_sent) == ("new", 0, 0, False, 0)
    assert (read.session_id, read.agent_process, read.last_end, read.failure, read.closed_at) == (None,) * 5
    assert (read.turn.at, read.turn.message_id, read.turn.started_at) == ("none", None, None)
    assert json.loads(encode(read)) == tab
    task = decode(Task, json.dumps({name: json.loads(TASK_TEXT)[name] for name in ("v", *_TASK_REQUIRED)}))
    assert (task.at, task.generation, task.ask, task.tabs_opened) == ("new", 1, 0, 0)
    assert (task.branch, task.base, task.head, task.step, task.failure) == (None,) * 5
    flags = ("title_given", "branch_given", "repo_is_ready", "box_ordered", "work_owed", "moved", "force")
    assert [name for name in flags if getattr(task, name)] == []


def test_times_keep_their_zone_and_their_microseconds() -> None:
    """A time comes back as the same instant, aware of its zone."""
    task = g.working().task
    read = decode(Task, encode(task))
    assert read.created_at.tzinfo is not None
    assert read.created_at.isoformat() == task.created_at.isoformat()


def test_version_is_one_number_for_all() -> None:
    """Every document that this code writes carries the same version."""
    documents = [encode(record) for record in every_record()] + [encode_body(i.body) for i in every_intent()]
    assert {json.loads(text)["v"] for text in documents} == {codec.VERSION}
