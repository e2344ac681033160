"""Seeds: many worlds, one after the other or in several processes, until one breaks an invariant.

Owns: `Outcome`, `run_script`, `run_seed`, `run_seeds`.
Never: a seed that means something else in another process; the same seed gives the same bytes.
Reads as: `python -m taskdock.testing.simulation`, `make soak`, a test -> this -> World.
"""

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from hashlib import blake2s

from attrs import frozen

from taskdock.testing.simulation.invariant import Invariant
from taskdock.testing.simulation.invariants import INVARIANTS
from taskdock.testing.simulation.nature import NUMBERS
from taskdock.testing.simulation.script import Script
from taskdock.testing.simulation.world import ACTS, World

LENGTH = 100
"""How many acts a seed stands for."""


@frozen
class Outcome:
    """What became of a script."""

    script: Script
    steps: int
    """How many commits were made."""
    seconds: float
    """How much virtual time passed."""
    violations: tuple[str, ...]
    timeline: tuple[tuple[float, str], ...]
    digest: str
    """Of everything that is stored in the end, and of everything that happened."""


@contextmanager
def quiet_logs() -> Iterator[None]:
    """The services warn of every fault, and here faults are the daily bread."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def run_script(
    script: Script,
    *,
    invariants: tuple[type[Invariant], ...] = INVARIANTS,
    recovers: bool = True,
    numbers: frozenset[int] = NUMBERS,
) -> Outcome:
    """Run one script in a world of its own."""
    world = World(script.seed, invariants, recovers=recovers, numbers=numbers)
    try:
        with quiet_logs():
            world.run(script)
        return Outcome(
            script,
            world.steps,
            world.outside.nature.seconds,
            tuple(world.violations),
            tuple(world.timeline),
            _digest(world),
        )
    finally:
        with quiet_logs():
            world.close()


def run_seed(
    seed: int, *, length: int = LENGTH, invariants: tuple[type[Invariant], ...] = INVARIANTS
) -> Outcome:
    """Run the script that a seed stands for."""
    return run_script(Script.from_seed(seed, length, ACTS), invariants=invariants)


def run_seeds(seeds: Iterable[int], *, length: int = LENGTH, jobs: int = 1) -> Iterator[Outcome]:
    """Run many, in as many processes as `jobs`; in the order of the seeds."""
    run = partial(run_seed, length=length)
    if jobs == 1:
        yield from map(run, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run, seeds, chunksize=4)


def _digest(world: World) -> str:
    data, hashed = world.outside.data, blake2s()
    for kind, rows in data.rows.items():
        for record_id, row in rows.items():
            hashed.update(f"{kind} {record_id} {row.version} {row.text}\n".encode())
    for number, event in data.history.items():
        hashed.update(f"{number} {event.text}\n".encode())
    for at, sentence in world.timeline:
        hashed.update(f"{at} {sentence}\n".encode())
    return hashed.hexdigest()
