"""Rules: the acts of a simulated world as rules of `hypothesis`, which looks for a script that breaks an invariant.

Owns: `WorldRules`, `number`.
Never: an act that no script can repeat; needed by anything else of the kit, which works without hypothesis.
Reads as: a test runs `WorldRules.TestCase` -> this -> World -> outcome.py says how to see it again.

    from taskdock.testing.simulation.rules import WorldRules

    TestWorld = WorldRules.TestCase

    class OwnRules(WorldRules):
        held_against = (*INVARIANTS, OwnInvariant)
        own_acts = {"flood": flood}
"""

import functools
import sys
from collections.abc import Callable
from typing import Any, ClassVar

from taskdock.core.errors import InvariantViolated
from taskdock.testing.simulation.invariant import Invariant
from taskdock.testing.simulation.invariants import INVARIANTS
from taskdock.testing.simulation.outcome import COMMAND, outcome_of
from taskdock.testing.simulation.script import NUMBERS, OPENING, PAUSES_SECONDS, Act, Script
from taskdock.testing.simulation.seeds import quiet_logs
from taskdock.testing.simulation.world import ACTS, NO_ACTS, OwnActs, World

try:
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
except ImportError as missing:  # pragma: no cover - every environment of ours has it
    raise ImportError("Rules are run by hypothesis: pip install hypothesis") from missing

_SEEDS = st.integers(0, 2**16)
_LINES_SHOWN = 60
_NO_CHECKS = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
"""Worlds take their time."""
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)

number = st.integers(0, NUMBERS - 1)
"""What an act chooses by."""
_pause = st.integers(0, len(PAUSES_SECONDS) - 1)


class WorldRules(RuleBasedStateMachine):
    """One world; each act is a rule. At the end it settles, and everything that can be asked of it is asked.

    A subclass may change what stands here. Its `TestCase.settings` are those of hypothesis.
    """

    held_against: ClassVar[tuple[type[Invariant], ...]] = INVARIANTS
    own_acts: ClassVar[OwnActs] = NO_ACTS
    recovers: ClassVar[bool] = True
    """Whether the tenth invariant is held against it, too."""
    command: ClassVar[str] = COMMAND
    """What replays and shrinks a script with these invariants and acts."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for name in cls.own_acts:
            setattr(cls, name, _rule_of(name))
        _set(cls)

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        self.seed = 0
        self.acts: list[Act] = []

    @initialize(seed=_SEEDS, task=number, tab=number, how=number, pause=_pause)
    def begin(self, seed: int, **numbers: int) -> None:
        """A seed, which decides what nature does by itself; and a task, without which there is nothing to do."""
        self.seed = seed
        self.world = World(seed, self.held_against, recovers=self.recovers, own_acts=self.own_acts)
        self.do(Act(OPENING, **numbers))

    def do(self, act: Act) -> None:
        """Do one thing; a rule of your own calls it, too.

        Raises:
            InvariantViolated: an invariant is broken; it says how to see it again.
        """
        assert self.world is not None
        self.acts.append(act)
        with quiet_logs():
            self.world.apply(act)
        self._judge(self.world)

    def teardown(self) -> None:
        """Settle and judge, unless it ends early; leave nothing of the world."""
        if self.world is None:
            return
        world, self.world = self.world, None
        with quiet_logs():
            try:
                if sys.exc_info()[1] is None:
                    world.settle()
                    self._judge(world)
            finally:
                world.close()

    def _judge(self, world: World) -> None:
        if not world.violations:
            return
        outcome = outcome_of(world, Script(self.seed, tuple(self.acts)))
        raise _violation(outcome.numbers[:1])(f"\n{outcome.report(_LINES_SHOWN, self.command)}")


def _rule_of(name: str) -> Callable[..., None]:
    """An act as a rule."""

    def do(self: WorldRules, **numbers: int) -> None:
        self.do(Act(name, **numbers))

    do.__name__ = do.__qualname__ = name
    made: Callable[..., None] = rule(task=number, tab=number, how=number, pause=_pause)(do)
    return made


@functools.cache
def _violation(numbers: tuple[int, ...]) -> type[InvariantViolated]:
    """A class for each invariant: hypothesis takes two failures for one when they are of one class."""
    return type(f"Invariant{''.join(map(str, numbers))}Violated", (InvariantViolated,), {})


def _set(rules: type[WorldRules]) -> None:
    """Worlds take their time, and explaining a failure runs many more than finding it; the rest is as you have set it."""
    rules.TestCase.settings = settings(deadline=None, phases=_PHASES, suppress_health_check=_NO_CHECKS)


for _name in ACTS:
    setattr(WorldRules, _name, _rule_of(_name))
_set(WorldRules)
