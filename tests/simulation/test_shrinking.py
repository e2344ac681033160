"""Shrinking: a seed that breaks something becomes a few acts that break the same, in any process."""

import subprocess
import sys
from pathlib import Path

import pytest

from simulation import planted_hold
from simulation.planted.tab_bugs import hold_never_set
from taskdock.testing.simulation import Act, Invariant, Script, run_script, run_seed, script_of
from taskdock.testing.simulation.shrinking import NothingBroken, shrink

FIRST = 16
"""From here on seeds are tried until one finds the planted bug; today it is this one."""
WORLDS_MAX = 250
ACTS_MAX = 15


class NoThirdTask(Invariant):
    """Breaks at rest when there are three tasks."""

    number = 44

    def at_rest(self) -> None:
        """Count."""
        if len(self.data.rows["task"]) > 2:
            self.broken("there are three tasks")


class NoTask(Invariant):
    """Breaks at rest when there is any."""

    number = 45

    def at_rest(self) -> None:
        """Count."""
        if self.data.rows["task"]:
            self.broken("there is a task")


CREATES = tuple(Act("create_task", 9, 8, 7, 3) for _ in range(3))
NOISE = tuple(Act(name, 3, 5, 7, 2) for name in ("add_repo", "cut", "set_draft", "jump"))
SCRIPT = Script(5, (*NOISE, CREATES[0], *NOISE[:2], CREATES[1], *NOISE, CREATES[2], *NOISE))


def planted(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the simulation with the planted bug in a process of its own."""
    program = Path(planted_hold.__file__)
    return subprocess.run(
        [sys.executable, program.name, *arguments],
        cwd=program.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def broken(output: str) -> list[str]:
    """What an output says is broken."""
    return [line for line in output.splitlines() if line.startswith("BROKEN")]


def test_a_planted_bug_shrinks_and_replays() -> None:
    """A seed of a hundred acts that finds a bug becomes a few acts, and the command printed shows the same in a fresh process."""
    with hold_never_set():
        whole = next(outcome for outcome in map(run_seed, range(FIRST, FIRST + 60)) if outcome.numbers)
        found = shrink(whole.script, runs_max=WORLDS_MAX)
    outcome = found.outcome
    assert len(whole.script.acts) == 100
    assert (found.number, found.runs <= WORLDS_MAX + 2) == (3, True)
    assert len(outcome.script.acts) <= ACTS_MAX
    (again,) = [
        line for line in outcome.report(command=planted_hold.COMMAND).splitlines() if line[:5] == "again"
    ]
    replayed = planted(*again.split()[3:])
    assert (replayed.returncode, broken(replayed.stdout)) == (1, broken(outcome.report()))
    assert run_script(outcome.script).violations == ()


def test_the_smallest_is_found_and_is_the_same_each_time() -> None:
    """Acts that do not matter go, numbers become small, and the same script gives the same answer."""
    first, second = (shrink(SCRIPT, invariants=(NoThirdTask,)) for _ in range(2))
    assert first.outcome.script == second.outcome.script
    assert [act.name for act in first.outcome.script.acts] == ["create_task"] * 3
    assert all(act.pause == act.tab == 0 for act in first.outcome.script.acts)


def test_another_invariant_is_not_what_is_looked_for() -> None:
    """A shorter script that breaks something else is no answer."""
    found = shrink(SCRIPT, invariants=(NoThirdTask, NoTask))
    assert (found.number, len(found.outcome.script.acts)) == (44, 3)


def test_a_spent_budget_gives_what_was_found_so_far() -> None:
    """The search ends where its budget does, with a script that breaks the invariant."""
    found = shrink(SCRIPT, invariants=(NoThirdTask,), runs_max=5)
    assert found.runs <= 7
    assert found.outcome.numbers == (44,)


def test_what_breaks_nothing_is_not_shrunk() -> None:
    """There is nothing to shrink in a clean script, and that is said."""
    with pytest.raises(NothingBroken, match="breaks no invariant"):
        shrink(Script(1, (Act("create_task"),)))


def test_the_command_line_shrinks() -> None:
    """`--shrink` takes a script and prints the timeline, what is broken and the command that replays it."""
    script = Script(FIRST, script_of(FIRST).acts[:1])
    done = planted("--shrink", str(script))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{script} breaks no invariant\n"
