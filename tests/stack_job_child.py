"""Stack job child: one job of a repo in a process of its own, for tests that kill it.

Owns: the wiring of a job, as a process that carries it out has it.
Never: an end of its own choosing; it prints `began` when the job holds the clone, and `ended` at its end.
Reads as: tests/integration/stack/test_kill.py -> this -> the adapter.
"""

import sys
from pathlib import Path

import anyio

from stack_fixture import REPO, Report, StackRepo
from taskdock.core.job_record import JobKind
from taskdock.ports.stack import JobOrder


class _Telling(Report):
    async def checkpoint(self, step: str, done: int = 0, of: int = 0) -> None:
        if step == "preflight":
            sys.stdout.write("began\n")
            sys.stdout.flush()
        await super().checkpoint(step, done, of)


async def main(*words: str) -> None:
    """Run one job to its end."""
    root, job_id, kind, undo_of = words
    order = JobOrder(job_id=job_id, repo_id=REPO, kind=JobKind(kind), undo_of=undo_of or None)
    end = await StackRepo(Path(root)).jobs().run(order, _Telling([], []))
    sys.stdout.write(f"ended {end.failure}\n")


if __name__ == "__main__":
    anyio.run(main, *sys.argv[2:], backend=sys.argv[1])
