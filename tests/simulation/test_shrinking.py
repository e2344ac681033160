"""Shrinking: a seed that breaks something becomes a few acts that break the same, in any process."""

import subprocess
import sys
from pathlib import Path

import pytest

from simulation import planted_window
from taskdock.ports.store import Commit
from taskdock.testing.simulation import INVARIANTS, Act, Invariant, Script, run_script, run_seed, script_of
from taskdock.testing.simulation.shrinking import NothingBroken, shrink

FOUND_BY = 13
"""The first seed that finds the planted window."""
WORLDS_MAX = 250
ACTS_MAX = 15


class NoSecondStop(Invariant):
    """Breaks as soon as a stopped task is there and a task was renamed."""

    number = 44

    def on_commit(self, commit: Commit) -> None:
        """Look."""
        del commit
        done = [sentence.partition(":")[0] for _, sentence in self.outside.nature.timeline]
        if "-- rename_task" in done and done.count("stop") > 1:
            self.broken("two stops and a new title")


def planted(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the simulation with the planted window in a process of its own."""
    program = Path(planted_window.__file__)
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


def test_a_planted_bug_shrinks_and_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed of a hundred acts that finds a bug becomes a few acts, and the command printed shows the same in a fresh process."""
    with monkeypatch.context() as patch:
        planted_window.plant(patch)
        whole = run_seed(FOUND_BY)
        found = shrink(whole.script, runs_max=WORLDS_MAX)
    outcome = found.outcome
    assert len(whole.script.acts) == 100
    assert (found.number, found.runs <= WORLDS_MAX + 2) == (1, True)
    assert len(outcome.script.acts) <= ACTS_MAX
    (again,) = [
        line for line in outcome.report(command=planted_window.COMMAND).splitlines() if line[:5] == "again"
    ]
    replayed = planted(*again.split()[3:])
    assert (replayed.returncode, broken(replayed.stdout)) == (1, broken(outcome.report()))
    assert run_script(outcome.script).violations == ()


def test_the_smallest_is_found_and_is_the_same_each_time() -> None:
    """Acts that do not matter go, numbers become small, and the same script gives the same answer."""
    script = Script(5, (*_noise(4), Act("create_task", 9, 9, 9, 3), *_noise(3), Act("stop_task", 7, 7, 7, 3),
                        Act("rename_task", 5, 5, 5, 2), *_noise(3), Act("stop_task", 9, 9, 8, 2), *_noise(3)))  # fmt: skip
    first, second = (shrink(script, invariants=(NoSecondStop,)) for _ in range(2))
    assert first.outcome.script == second.outcome.script
    assert sorted(act.name for act in first.outcome.script.acts) == [
        "create_task", "rename_task", "stop_task", "stop_task"
    ]  # fmt: skip
    assert first.outcome.numbers[0] == first.number == 44


def _noise(count: int) -> tuple[Act, ...]:
    return tuple(
        Act(("add_repo", "cut", "set_draft", "jump")[number % 4], 3, number, 5, 1) for number in range(count)
    )


def test_another_invariant_is_not_what_is_looked_for() -> None:
    """A shorter script that breaks something else is no answer."""

    class AnyTask(Invariant):
        number = 45

        def at_rest(self) -> None:
            if self.data.rows["task"]:
                self.broken("there is a task")

    script = Script(
        5, (Act("create_task", pause=3), Act("stop_task", pause=3), Act("rename_task"), Act("stop_task"))
    )
    found = shrink(script, invariants=(NoSecondStop, AnyTask))
    assert (found.number, len(found.outcome.script.acts)) == (44, 4)


def test_what_breaks_nothing_is_not_shrunk() -> None:
    """There is nothing to shrink in a clean script, and that is said."""
    with pytest.raises(NothingBroken, match="breaks no invariant"):
        shrink(Script(1, (Act("create_task"),)))


def test_the_command_line_shrinks(tmp_path: Path) -> None:
    """`--shrink` takes a script and prints the timeline, what is broken and the command that replays it."""
    script = Script(FOUND_BY, script_of(FOUND_BY).acts[:3])
    done = planted("--shrink", str(script))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{script} breaks no invariant\n"
    assert INVARIANTS
    del tmp_path
