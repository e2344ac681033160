"""Simulation: a whole Taskdock in one thread and in no time, with everything that can go wrong going wrong.

Owns: the simulated world, its faults, the scripts that drive it, and the invariants that it is held against.
Never: I/O, a thread, real time, a random number that its seed does not decide; a twin of what it tests: request path,
    scheduler, executors, links, reaper and core are the ones that run in production.
Reads as: a test, `python -m taskdock.testing.simulation` or a property-based test -> World -> the real services on simulated ports.

    world = World(seed=1)
    world.apply(Act("create_task"))
    world.settle()
    world.close()

What stands in `__all__` is for everybody. With hypothesis installed there are two more: `rules.WorldRules`, the acts as
rules, and `shrinking.shrink`, the smallest script that breaks the same.
"""

from taskdock.testing.simulation.faults import Kind
from taskdock.testing.simulation.invariant import Invariant
from taskdock.testing.simulation.invariants import INVARIANTS
from taskdock.testing.simulation.outcome import Outcome
from taskdock.testing.simulation.script import Act, Script
from taskdock.testing.simulation.seeds import run_script, run_seed, run_seeds, script_of
from taskdock.testing.simulation.world import ACTS, World

__all__ = [
    "ACTS",
    "INVARIANTS",
    "Act",
    "Invariant",
    "Kind",
    "Outcome",
    "Script",
    "World",
    "run_script",
    "run_seed",
    "run_seeds",
    "script_of",
]
