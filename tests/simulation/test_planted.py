"""Planted bugs: a kit that finds nothing proves nothing, so it is shown what it has to find."""

import pytest

from simulation.planted.hunting import Bug, hunt
from simulation.planted.table import BUGS
from taskdock.testing.simulation.nature import NUMBERS
from taskdock.testing.simulation.seeds import run_script

BUGS_MIN = 24
BY_NAME = {bug.name: bug for bug in BUGS}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_planted_bug_is_found(bug: Bug) -> None:
    """The bug breaks an invariant that is named for it within its budget, and without it the same world is sound."""
    find = hunt(bug)
    assert find is not None, f"{bug.worlds} worlds are not enough for: {bug.sentence}"
    assert find.numbers <= bug.found_by, find.violation
    assert run_script(find.script).violations == ()


@pytest.mark.parametrize(
    "name",
    ["branch-reserved-twice", "reaper-ends-what-is-in-use", "provider-asked-by-a-request", "key-not-stored"],
)
def test_bug_gets_through_when_nobody_looks(name: str) -> None:
    """Without the invariants that find it, and with all others, nothing of the bug is seen."""
    bug = BY_NAME[name]
    assert hunt(bug, NUMBERS - bug.found_by) is None


def test_there_are_enough_of_them() -> None:
    """Every invariant that can be broken from inside is shown to find something, and no two bugs share a name."""
    assert len(BY_NAME) == len(BUGS) >= BUGS_MIN
    assert set(range(1, 11)) <= {number for bug in BUGS for number in bug.found_by}
    assert all(bug.sentence.endswith(".") for bug in BUGS)
