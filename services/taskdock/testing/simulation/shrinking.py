"""Shrinking: the smallest script that still breaks what a longer one broke; `hypothesis` looks for it.

Owns: `shrink`, `Shrunk`, `NothingBroken`.
Never: a script that breaks something else; an unbounded search; a result kept on disk.
Reads as: `python -m taskdock.testing.simulation --shrink` -> this -> hypothesis -> run_script.

`hypothesis` finds the simplest of what a strategy can draw. Here it draws limits: how much of each half of the script may
stay, half by half down to single acts, and how large their numbers may be. Small limits leave little, large ones leave the
script as it is. So a first draw is nearly the whole script, and every simplification of hypothesis is a shorter script.
"""

from collections.abc import Callable
from contextlib import suppress
from random import Random

from attrs import define, evolve, field, frozen

from taskdock.testing.simulation.invariant import Invariant
from taskdock.testing.simulation.invariants import INVARIANTS
from taskdock.testing.simulation.outcome import Outcome
from taskdock.testing.simulation.script import Act, Script
from taskdock.testing.simulation.seeds import run_script
from taskdock.testing.simulation.world import CALM, NO_ACTS, OwnActs

try:
    from hypothesis import HealthCheck, Phase, find, settings
    from hypothesis import strategies as st
    from hypothesis.errors import NoSuchExample
except ImportError as missing:  # pragma: no cover - every environment of ours has it
    raise ImportError("Scripts are shrunk by hypothesis: pip install hypothesis") from missing

RUNS_MAX = 400
"""After so many worlds the smallest script so far is the answer."""
_NO_LIMIT = 2**16
_LIMITS = st.integers(0, _NO_LIMIT)
_FIRST_DRAWS = 20
_NO_CHECKS = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
"""Worlds take their time."""
_SETTINGS = settings(
    database=None,
    deadline=None,
    max_examples=_FIRST_DRAWS,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=_NO_CHECKS,
)

Runs = Callable[[Script], Outcome]


class NothingBroken(ValueError):
    """The script breaks no invariant, so there is nothing to shrink."""


class _Spent(BaseException):
    """The budget is spent. Not an Exception: hypothesis would take it for one more thing to shrink."""


@frozen
class Shrunk:
    """The smallest script that was found, run to its end."""

    outcome: Outcome
    number: int
    """The invariant that it breaks, as the script did that it was made from."""
    runs: int
    """How many worlds it took."""


def shrink(
    script: Script,
    *,
    invariants: tuple[type[Invariant], ...] = INVARIANTS,
    own_acts: OwnActs = NO_ACTS,
    runs_max: int = RUNS_MAX,
) -> Shrunk:
    """Find the smallest part of a script that breaks the same invariant; the same script gives the same answer.

    Raises:
        NothingBroken: the script breaks nothing.
    """
    whole = run_script(script, invariants=invariants, own_acts=own_acts)
    if not whole.numbers:
        raise NothingBroken(f"{script} breaks no invariant")
    settles = any(sentence == CALM for _, sentence in whole.timeline)
    if not settles:
        script = evolve(script, acts=script.acts[: whole.acts])

    def run(less: Script) -> Outcome:
        return run_script(less, invariants=invariants, own_acts=own_acts, settles=settles)

    search = _Search(run, whole.numbers[0], runs_max)
    found = search.least(script)
    outcome = run_script(found, invariants=invariants, own_acts=own_acts)
    return Shrunk(outcome, whole.numbers[0], search.runs + 2)


@define(eq=False)
class _Search:
    """Asks of one script after the other whether it breaks the invariant, of none twice."""

    run: Runs
    number: int
    runs_max: int
    runs: int = 0
    known: dict[Script, bool] = field(factory=dict)
    best: Script = field(init=False)

    def least(self, script: Script) -> Script:
        """The smallest script that breaks it: first as few acts as do, then small numbers, then once more."""
        self.known[script], self.best = True, script
        try:
            for smaller in (_fewer, _lower, _fewer):
                self._find(smaller(self.best.acts).map(self._with))
        except _Spent:
            pass
        return self.best

    def _with(self, acts: tuple[Act, ...]) -> Script:
        return evolve(self.best, acts=acts)

    def _find(self, scripts: st.SearchStrategy[Script]) -> None:
        with suppress(NoSuchExample):
            find(scripts, self.is_broken, settings=_SETTINGS, random=Random(self.best.seed))  # noqa: S311 - a search

    def is_broken(self, script: Script) -> bool:
        """Whether it breaks the invariant."""
        if script not in self.known:
            if self.runs >= self.runs_max:
                raise _Spent
            self.runs += 1
            self.known[script] = self.number in self.run(script).numbers
        if self.known[script] and _size(script) < _size(self.best):
            self.best = script
        return self.known[script]


def _size(script: Script) -> tuple[int, int]:
    """Fewer acts are simpler, and then smaller numbers."""
    return len(script.acts), sum(act.task + act.tab + act.how + act.pause for act in script.acts)


@st.composite
def _fewer(draw: st.DrawFn, acts: tuple[Act, ...]) -> tuple[Act, ...]:
    """Some of the acts."""
    if not acts or not draw(_LIMITS):
        return ()
    if len(acts) == 1:
        return acts
    half = len(acts) // 2
    return (*draw(_fewer(acts[:half])), *draw(_fewer(acts[half:])))


@st.composite
def _lower(draw: st.DrawFn, acts: tuple[Act, ...]) -> tuple[Act, ...]:
    """The acts, with numbers as large as they are or smaller."""
    return tuple(
        Act(act.name, *(min(number, draw(_LIMITS)) for number in (act.task, act.tab, act.how, act.pause)))
        for act in acts
    )
