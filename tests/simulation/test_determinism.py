"""Determinism: a seed means the same bytes wherever and whenever it is run."""

import os
import subprocess
import sys

from taskdock.testing.simulation import Script, run_script, run_seed, script_of

PROGRAM = """
import sys
from taskdock.testing.simulation import run_seed
for seed in map(int, sys.argv[1:]):
    print(seed, run_seed(seed).digest)
"""
SEEDS = ("13", "14", "15")


def digests(hash_seed: str) -> str:
    """Run the seeds in a process whose sets and dicts of strings are ordered by this."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *SEEDS], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_seed_gives_the_same_bytes_in_every_process() -> None:
    """What is stored in the end, and all that happened, is equal to the byte in two processes that hash differently."""
    assert digests("1") == digests("2")


def test_a_seed_gives_the_same_bytes_twice_in_one_process() -> None:
    """Nothing of one world is left for the next."""
    first = run_seed(21, length=30)
    run_seed(22, length=30)
    assert run_seed(21, length=30) == first


def test_a_seed_is_its_script() -> None:
    """Running a seed, and running the text of its script, is the same."""
    outcome = run_seed(23, length=30)
    assert run_script(Script.parse(str(script_of(23, 30)))) == outcome


def test_another_seed_is_another_world() -> None:
    """Two seeds with the same acts differ in what nature does."""
    acts = script_of(24, 30).acts
    assert run_script(Script(24, acts)).digest != run_script(Script(25, acts)).digest
