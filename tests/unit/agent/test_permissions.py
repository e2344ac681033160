"""The asks of one agent process: which are kept, and what settles them."""

from typing import Any

import pytest

from taskdock.adapters.agent.inside.permissions import ASKS_WAITING_MAX, Permissions

PARAMS: dict[str, Any] = {"options": [{"optionId": "yes"}, {"optionId": "no"}]}


def in_a_turn() -> Permissions:
    """One session with a running turn."""
    permissions = Permissions()
    permissions.begin("s", "msg-1")
    return permissions


def test_numbers_only_grow() -> None:
    """Each ask has the next number, whatever the agent's own id of it is and whatever became of earlier ones."""
    permissions = in_a_turn()
    numbers = []
    for request in (0, 0, "x"):
        asked = permissions.ask("s", request, PARAMS)
        assert asked is not None
        numbers.append(asked.number)
        permissions.answer(asked.number, "yes")
    assert numbers == [1, 2, 3]


def test_only_a_running_turn_may_ask() -> None:
    """What is asked before a turn, after it, in another session, or once it is being cancelled, is not kept."""
    permissions = Permissions()
    assert permissions.ask("s", 0, PARAMS) is None
    permissions.begin("s", "msg-1")
    assert permissions.ask("other", 0, PARAMS) is None
    assert permissions.ask("s", 0, PARAMS) is not None
    permissions.cancel("s")
    assert permissions.ask("s", 0, PARAMS) is None
    permissions.end("msg-1")
    assert permissions.ask("s", 0, PARAMS) is None
    permissions.begin("s", "msg-2")
    assert permissions.ask("s", 0, PARAMS) is not None


def test_an_ask_belongs_to_the_newest_turn() -> None:
    """With two prompts in one session an ask is the newer one's, and ends with that."""
    permissions = in_a_turn()
    permissions.begin("s", "msg-2")
    asked = permissions.ask("s", 0, PARAMS)
    assert asked is not None
    assert asked.prompt == "msg-2"
    assert permissions.end("msg-1") == []
    assert [one.number for one in permissions.end("msg-2")] == [1]


def test_first_answer_counts() -> None:
    """An ask is settled once: by its answer, by a cancel, or by its turn's end."""
    permissions = in_a_turn()
    for _ in range(3):
        permissions.ask("s", 0, PARAMS)
    [first] = permissions.answer(1, "no")
    assert first.result == {"outcome": {"outcome": "selected", "optionId": "no"}}
    assert permissions.answer(1, "yes") == []
    [second] = permissions.answer(2, None)
    assert second.result == {"outcome": {"outcome": "cancelled"}}
    assert [one.number for one in permissions.cancel("s")] == [3]
    assert permissions.end("msg-1") == []
    assert permissions.answer(3, "yes") == []


@pytest.mark.parametrize(
    ("number", "option"), [(0, "yes"), (2, "yes"), ("1", "yes"), (None, None), (1, "maybe")]
)
def test_wrong_answer_settles_nothing(number: object, option: str | None) -> None:
    """What was never asked, or never offered, is refused, and what waits goes on waiting."""
    permissions = in_a_turn()
    permissions.ask("s", 0, PARAMS)
    with pytest.raises(LookupError):
        permissions.answer(number, option)
    assert len(permissions.answer(1, "yes")) == 1


def test_one_too_many_is_not_kept() -> None:
    """An agent that asks without end fills no memory."""
    permissions = in_a_turn()
    kept = [permissions.ask("s", 0, PARAMS) for _ in range(ASKS_WAITING_MAX + 5)]
    assert kept.count(None) == 5


@pytest.mark.parametrize("options", [None, "yes", [5], [{"name": "nameless"}]])
def test_odd_options_are_no_options(options: object) -> None:
    """An ask without options that make sense can still be cancelled, and nothing else."""
    permissions = in_a_turn()
    permissions.ask("s", 0, {"options": options})
    with pytest.raises(LookupError):
        permissions.answer(1, "yes")
    assert len(permissions.answer(1, None)) == 1
