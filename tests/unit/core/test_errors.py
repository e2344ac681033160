"""Errors: what a rejection and a port's failure carry for programs and for people."""

from typing import TypeVar

import pytest

from taskdock.core import errors

_ErrorT = TypeVar("_ErrorT", bound=errors.TaskdockError)

CODES: dict[type[errors.CommandRejected], str] = {
    errors.CommandRejected: "rejected",
    errors.InvalidCommand: "invalid_command",
    errors.IdempotencyKeyReused: "idempotency_key_reused",
    errors.NotFound: "not_found",
    errors.Conflict: "conflict",
    errors.BranchTaken: "branch_taken",
    errors.Unsupported: "unsupported",
    errors.CapacityExceeded: "capacity_exceeded",
}


def kinds_of(root: type[_ErrorT]) -> set[type[_ErrorT]]:
    """An error and all that are told apart below it."""
    below = [kind for kind in root.__subclasses__() if kind.__module__ == root.__module__]
    return {root}.union(*(kinds_of(kind) for kind in below))


def name_of(kind: type[errors.TaskdockError]) -> str:
    """Its name, to sort by."""
    return kind.__name__


PORT_ERRORS = sorted(kinds_of(errors.PortError), key=name_of)


def test_every_rejection_has_the_code_that_programs_know() -> None:
    """Each kind of rejection has a code of its own, which never changes."""
    assert set(CODES) == kinds_of(errors.CommandRejected)
    assert {kind: kind.code for kind in CODES} == CODES


@pytest.mark.parametrize("kind", [errors.CommandRejected, errors.NotFound])
def test_rejection_says_its_sentence(kind: type[errors.CommandRejected]) -> None:
    """The sentence is what an exception prints, and stands beside the code."""
    rejected = kind("There is no task.")
    assert (str(rejected), rejected.message) == ("There is no task.", "There is no task.")


def test_invalid_command_names_the_part_to_mend() -> None:
    """A request that is wrong as a whole names no part."""
    wrong = errors.InvalidCommand("It is empty.", field="prompt")
    assert (str(wrong), wrong.message, wrong.field) == ("It is empty.", "It is empty.", "prompt")
    assert errors.InvalidCommand("It is empty.").field is None


def test_conflict_says_what_fits_now() -> None:
    """The status of the record, its id and what may be asked of it, in an order that stays."""
    conflict = errors.Conflict(
        "It runs.", status="running", available_actions=["stop", "kill"], record_id="task-1"
    )
    assert (str(conflict), conflict.message) == ("It runs.", "It runs.")
    assert (conflict.status, conflict.available_actions, conflict.record_id) == (
        "running",
        ("stop", "kill"),
        "task-1",
    )
    bare = errors.BranchTaken("It is taken.")
    assert (bare.status, bare.available_actions, bare.record_id) == ("", (), "")


def test_unsupported_says_how_to_mend_it() -> None:
    """Where it is known, the sentence ends with what to do; the reason stands alone beside it."""
    without = errors.Unsupported("No git here.")
    assert (str(without), without.reason, without.mend) == ("No git here.", "No git here.", None)
    known = errors.Unsupported("No git here.", mend="apt-get install git")
    assert str(known) == known.message == "No git here. To mend it: apt-get install git."
    assert (known.reason, known.mend) == ("No git here.", "apt-get install git")


def test_capacity_exceeded_says_when_to_come_back() -> None:
    """A queue that is full turns away, and does not say never."""
    full = errors.CapacityExceeded("It is full.", retry_after_seconds=60.0)
    assert (str(full), full.message, full.retry_after_seconds) == ("It is full.", "It is full.", 60.0)


@pytest.mark.parametrize("kind", PORT_ERRORS)
def test_failure_of_a_port_keeps_the_log(kind: type[errors.PortError]) -> None:
    """Each kind says its reason, and keeps the last lines of the output where there were any."""
    failed = kind("It broke.", log_tail="fatal: no")
    assert (str(failed), failed.reason, failed.log_tail) == ("It broke.", "It broke.", "fatal: no")
    assert kind("It broke.").log_tail is None


@pytest.mark.parametrize("kind", [errors.Transient, errors.Unreachable])
def test_what_may_work_later_says_when(kind: type[errors.Transient]) -> None:
    """Where the other side said when, that is handed on."""
    assert kind("Later.", retry_after_seconds=2.5).retry_after_seconds == 2.5
    assert kind("Later.").retry_after_seconds is None
