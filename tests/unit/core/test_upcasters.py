"""Upcasters: documents of earlier versions are read as this code would have written them."""

import json
from typing import Any

import pytest

from taskdock.core import codec
from taskdock.core.codec import decode, decode_body, encode, encode_body
from taskdock.core.errors import SchemaMismatch
from taskdock.core.intents import Wake
from taskdock.core.message import MessageText
from taskdock.core.task_record import LOOKING, Activity, Task, error_of
from taskdock.core.upcasters import UPCASTERS
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
    assert sorted(UPCASTERS) == list(range(1, codec.VERSION))


def test_a_new_field_with_a_default_needs_none() -> None:
    """A document that lacks a field which has a default is read with the default."""
    task = g.working().task
    document = json.loads(encode(task))
    assert "failure" not in document
    assert decode(Task, json.dumps(document)) == task


def first_version(**changes: object) -> str:
    """A task of version 1 that is running, with these changes: what that version wrote, its defaults too."""
    task = json.loads(encode(g.working().task))
    later = ("is_named", "box_ready", "create_began", "destroy_ordered", "activity")
    kept = {name: value for name, value in task.items() if name not in later}
    return json.dumps({**kept, "v": 1, "failure": None, "box_ordered": True, **changes})


def test_a_running_task_of_the_first_version_has_its_sandbox() -> None:
    """What version 1 said by its state alone is known by name: named, provisioned, and nothing may be renamed any more."""
    task = decode(Task, first_version())
    assert (task.is_named, task.box_ready, task.destroy_ordered) == (True, True, False)
    assert task.create_began is not None
    assert task.activity is Activity.IDLE


def test_a_task_that_was_lost_in_the_first_version_can_be_retried() -> None:
    """`error/running` is no state any more: the task rests where a look at its sandbox failed, and a retry looks."""
    failure = {
        "step": "running",
        "failure_class": "unreachable",
        "reason": "gone",
        "attempts": 1,
        "retry": "",
        "log_tail": None,
    }
    task = decode(Task, first_version(at="error/running", failure=failure))
    assert task.at == error_of(LOOKING)
    assert task.failure is not None
    assert task.failure.step == LOOKING
    assert (task.is_named, task.box_ready, task.activity) == (True, True, Activity.FAILED)


def test_a_task_without_a_name_in_the_first_version_still_needs_one() -> None:
    """A branch that the user gave is no name that was settled."""
    task = decode(Task, first_version(at="init_ensure_name", branch="mine", base=None, box_ordered=False))
    assert (task.is_named, task.create_began, task.box_ready) == (False, None, False)


FIRST_STATES = {
    "init_enqueue_provision": ("provisioning", False, False, False),
    "init_enqueue_provision/wait_repo": ("provisioning", False, False, False),
    "init_ensure_name": ("provisioning", False, False, False),
    "init_create_sandbox/create": ("provisioning", True, False, False),
    "init_ensure_agent": ("provisioning", True, True, False),
    "init_create_session": ("provisioning", True, True, False),
    "running": ("idle", True, True, False),
    "error/init_enqueue_provision": ("failed", False, False, False),
    "error/init_enqueue_provision/wait_repo": ("failed", False, False, False),
    "error/init_ensure_name": ("failed", False, False, False),
    "error/init_create_sandbox/create": ("failed", True, False, False),
    "error/init_ensure_agent": ("failed", True, True, False),
    "error/init_create_session": ("failed", True, True, False),
    "killing/settle": ("archived", True, False, False),
    "killing/collect": ("archived", True, False, False),
    "killing/destroy": ("archived", True, False, True),
    "error/killing/collect": ("failed", True, False, False),
    "error/killing/destroy": ("failed", True, False, True),
    "killed": ("archived", True, False, False),
}
"""Activity, and whether the task is named, its sandbox ready, and the end of that ordered."""


@pytest.mark.parametrize("state", FIRST_STATES)
def test_each_state_of_the_first_version_is_read_for_what_it_said(state: str) -> None:
    """What version 1 told by the state alone is told by fields; the state itself stays."""
    task = decode(Task, first_version(at=state))
    assert (
        task.activity.value,
        task.is_named,
        task.box_ready,
        task.destroy_ordered,
    ) == FIRST_STATES[state]
    assert (task.at, task.create_began) == (state, task.updated_at)


@pytest.mark.parametrize("state", ["killing/settle", "init_create_sandbox/create", "error/running"])
def test_a_task_of_the_first_version_without_a_branch_is_not_named(state: str) -> None:
    """A name that is not there was not settled, whatever the state; without a sandbox no create of it began."""
    failure = {
        "step": "running",
        "failure_class": "unreachable",
        "reason": "gone",
        "attempts": 1,
        "retry": "",
    }
    task = decode(Task, first_version(at=state, branch=None, box_ordered=False, failure=failure))
    assert (task.is_named, task.create_began) == (False, None)


def test_what_is_no_task_of_the_first_version_is_read_as_it_is() -> None:
    """Only tasks have changed since: a message of version 1 is the same document."""
    message = g.working().message()
    document = {**json.loads(encode(message)), "v": 1}
    assert decode(type(message), json.dumps(document)) == message
