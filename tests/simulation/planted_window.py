"""Planted window: a program that runs the simulation with a bug in the product: a release is believed before the window passed.

Owns: `plant`, and the command line with it.
Never: a change of the product's files.
Reads as: test_shrinking.py, or its replay command in a process of its own -> this -> `main` of the simulation.

It is the bug of a create that lands after the kill: the provider says absent, the task is over, and then the sandbox comes.
"""

import sys
from pathlib import Path

import pytest

from taskdock.core.task_guards import TaskGuards
from taskdock.testing.simulation.__main__ import main

COMMAND = f"python {Path(__file__).name}"


def plant(patch: pytest.MonkeyPatch) -> None:
    """Believe that what is absent can never land any more."""
    patch.setattr(TaskGuards, "window_has_passed", lambda _: True)


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patched:
        plant(patched)
        sys.exit(main(command=COMMAND))
