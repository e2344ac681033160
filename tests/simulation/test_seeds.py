"""Seeds: worlds that are the same in each run, for a while; and those that were broken once.

TASKDOCK_SIMULATION_SECONDS says for how long. Worlds that nobody has seen before are run by `make soak SEEDS=n`, and by
`make test` where CI=true (Makefile).
"""

import os
import sys
import time

import pytest

from simulation.regressions import SCRIPTS
from taskdock.testing.simulation import Outcome, Script, run_script, run_seed, run_seeds
from taskdock.testing.simulation.__main__ import main

SECONDS = float(os.environ.get("TASKDOCK_SIMULATION_SECONDS") or 20)
FIRST = 726_726_016
"""The same in each run: a test that fails fails for what was changed, not for its dice."""


def test_seeds_break_no_invariant() -> None:
    """Whatever is asked and whatever goes wrong, every invariant holds after each step, at rest, and in the recovery."""
    began, seed, steps = time.monotonic(), FIRST, 0
    while time.monotonic() - began < SECONDS:
        outcome = run_seed(seed)
        assert not outcome.violations, f"seeds from {FIRST}; {seed} is broken\n{outcome.report(60)}"
        seed, steps = seed + 1, steps + outcome.steps
    sys.stdout.write(f"seeds {FIRST} to {seed - 1}: {steps} steps\n")
    assert steps > 0


@pytest.mark.parametrize("script", SCRIPTS, ids=[f"script-{number}" for number in range(len(SCRIPTS))])
def test_what_was_broken_once_is_not(script: str) -> None:
    """The shortest script that showed a bug shows none now."""
    outcome = run_script(Script.parse(script))
    assert not outcome.violations, outcome.report(60)


def test_several_processes_give_the_same_in_the_same_order() -> None:
    """Seeds that run in several processes come back in their order, each as it does alone."""
    alone, together = (
        [_told(one) for one in run_seeds(range(7, 12), length=15, jobs=jobs)] for jobs in (1, 2)
    )
    assert alone == together


def _told(outcome: Outcome) -> tuple[int, str]:
    return outcome.script.seed, outcome.digest


def test_endless_seeds_end_with_their_time(capsys: pytest.CaptureFixture[str]) -> None:
    """Seeds without a number run in several processes for as long as they may, and what ran is printed with its pace."""
    began = time.monotonic()
    assert main(["--seconds", "1", "--jobs", "2", "--length", "5", "--first", "3"]) == 0
    assert time.monotonic() - began < 60
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "seeds from 3"
    assert printed[1].startswith("seeds 3 to ")
    assert " steps/s, " in printed[1]


def test_replay_shows_everything_that_happened(capsys: pytest.CaptureFixture[str]) -> None:
    """A replay prints the timeline, act by act, and the command that gives it again."""
    assert main(["--replay", "7,create_task:1:0:0:3,send:0:1:2:0"]) == 0
    printed = capsys.readouterr().out
    assert "-- create_task:1:0:0:3" in printed
    assert "create_task: init_enqueue_provision" in printed
    assert printed.endswith("--replay 7,create_task:1:0:0:3,send:0:1:2:0\n")
