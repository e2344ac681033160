"""Rules: hypothesis drives the world, and what it finds is a script like any other."""

import re
from typing import ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from taskdock.core.errors import InvariantViolated
from taskdock.ports.store import Commit
from taskdock.testing.simulation import ACTS, Act, Invariant, Script, World, run_script
from taskdock.testing.simulation.rules import WorldRules
from taskdock.testing.simulation.shrinking import shrink
from taskdock.testing.simulation.world import OwnActs

BUDGET = settings(WorldRules.TestCase.settings, derandomize=True, database=None, max_examples=8)
"""The same eight worlds each time: what is new each time is in test_seeds.py."""
QUICK = settings(BUDGET, max_examples=40, stateful_step_count=12, phases=(Phase.generate,))


class NoSecondTask(Invariant):
    """Breaks with the second task."""

    number = 42

    def on_commit(self, commit: Commit) -> None:
        """Count."""
        del commit
        if len(self.data.rows["task"]) > 1:
            self.broken("there are two tasks")


class NotNamedAtRest(Invariant):
    """Breaks at rest alone, as soon as the own act was done."""

    number = 43

    def at_rest(self) -> None:
        """Look for a note of the act."""
        if any("a note" in sentence for _, sentence in self.outside.nature.timeline):
            self.broken("there is a note")


async def note(world: World, act: Act) -> None:
    """An act of our own."""
    world.outside.nature.tell(f"a note, {act.how}")


def failing_script(rules: type[WorldRules], budget: settings = QUICK) -> Script:
    """Run rules that must find something; the script that their failure prints."""
    with pytest.raises(InvariantViolated) as caught:
        run_state_machine_as_test(rules, settings=budget)
    printed = re.search(r"^again: .* --replay (\S+)$", str(caught.value), re.MULTILINE)
    assert printed is not None, caught.value
    return Script.parse(printed[1])


def test_rules_break_no_invariant() -> None:
    """Whatever hypothesis combines, every invariant holds after each step, at rest, and through the recovery."""
    run_state_machine_as_test(WorldRules, settings=BUDGET)


def test_every_act_is_a_rule() -> None:
    """Hypothesis may choose every act there is."""
    names = {one.function.__name__ for one in WorldRules.setup_state().rules}
    assert names == set(ACTS)


def test_a_failure_is_a_script_that_replays_and_shrinks() -> None:
    """What a failing rule prints breaks the same in a world of its own, and shrinks as the script of a seed does."""

    class Rules(WorldRules):
        held_against = (NoSecondTask,)
        recovers = False

    script = failing_script(Rules)
    assert run_script(script, invariants=(NoSecondTask,)).numbers[:1] == (42,)
    found = shrink(script, invariants=(NoSecondTask,))
    assert [act.name for act in found.outcome.script.acts] == ["create_task"] * 2


def test_what_breaks_at_rest_alone_is_found_and_own_acts_are_rules() -> None:
    """An act of a subclass is chosen like any other, and the judgement at the end counts."""

    class Rules(WorldRules):
        held_against = (NotNamedAtRest,)
        own_acts: ClassVar[OwnActs] = {"note": note}
        recovers = False

    script = failing_script(Rules)
    assert "note" in [act.name for act in script.acts]
    assert run_script(script, invariants=(NotNamedAtRest,), own_acts={"note": note}).numbers == (43,)
