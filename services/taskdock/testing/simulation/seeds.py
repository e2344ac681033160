"""Seeds: many worlds, one after the other or in several processes, until one breaks an invariant.

Owns: `run_script`, `run_seed`, `run_seeds`, `script_of`.
Never: a seed that means something else in another process; the same seed gives the same bytes.
Reads as: `python -m taskdock.testing.simulation`, `make soak`, a test -> this -> World -> outcome.py.
"""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial

from taskdock.testing.simulation.invariant import Invariant
from taskdock.testing.simulation.invariants import INVARIANTS
from taskdock.testing.simulation.nature import NUMBERS
from taskdock.testing.simulation.outcome import Outcome, outcome_of
from taskdock.testing.simulation.script import Script
from taskdock.testing.simulation.world import ACTS, NO_ACTS, OwnActs, World

LENGTH = 100
"""How many acts a seed stands for."""
OWN_WEIGHT = 10
"""How often an act of your own is chosen; `ACTS` says it of the others."""
_AHEAD = 4
"""So many worlds wait for each process."""


@contextmanager
def quiet_logs() -> Iterator[None]:
    """The services warn of every fault, and here faults are the daily bread."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def script_of(seed: int, length: int = LENGTH, own_acts: OwnActs = NO_ACTS) -> Script:
    """What a seed stands for; acts of your own change what that is."""
    return Script.from_seed(seed, length, ACTS | dict.fromkeys(own_acts, OWN_WEIGHT), likes=True)


def run_script(
    script: Script,
    *,
    invariants: tuple[type[Invariant], ...] = INVARIANTS,
    own_acts: OwnActs = NO_ACTS,
    recovers: bool = True,
    settles: bool = True,
    numbers: frozenset[int] = NUMBERS,
) -> Outcome:
    """Run one script in a world of its own; without settling, it is judged only as far as its acts lead."""
    with quiet_logs():
        world = World(script.seed, invariants, recovers=recovers, numbers=numbers, own_acts=own_acts)
        try:
            world.run(script, settles=settles)
            return outcome_of(world, script)
        finally:
            world.close()


def run_seed(
    seed: int,
    *,
    length: int = LENGTH,
    invariants: tuple[type[Invariant], ...] = INVARIANTS,
    own_acts: OwnActs = NO_ACTS,
) -> Outcome:
    """Run the script that a seed stands for."""
    return run_script(script_of(seed, length, own_acts), invariants=invariants, own_acts=own_acts)


def run_seeds(
    seeds: Iterable[int],
    *,
    length: int = LENGTH,
    jobs: int = 1,
    invariants: tuple[type[Invariant], ...] = INVARIANTS,
    own_acts: OwnActs = NO_ACTS,
) -> Iterator[Outcome]:
    """Run many, in as many processes as `jobs`, in the order of the seeds.

    In several processes invariants and acts of your own have to be at the top of a module.
    """
    run = partial(run_seed, length=length, invariants=invariants, own_acts=own_acts)
    if jobs == 1:
        yield from map(run, seeds)
        return
    waiting: deque[Future[Outcome]] = deque()
    with ProcessPoolExecutor(jobs) as pool:
        try:
            for seed in seeds:
                waiting.append(pool.submit(run, seed))
                if len(waiting) >= jobs * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()
