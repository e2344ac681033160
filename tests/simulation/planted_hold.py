"""Planted hold: a program that runs the simulation with a bug in the product: a turn that fails does not hold the queue.

Owns: the command line with it.
Never: a change of the product's files.
Reads as: test_shrinking.py, or its replay command in a process of its own -> this -> `main` of the simulation.
"""

import sys
from pathlib import Path

from taskdock.testing.simulation.__main__ import main

COMMAND = f"python {Path(__file__).name}"

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from simulation.planted.tab_bugs import hold_never_set

    with hold_never_set():
        sys.exit(main(command=COMMAND))
