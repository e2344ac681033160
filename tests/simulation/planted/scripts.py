"""Scripts: the words in which directed scripts are written.

Owns: `act`, `fail`, `wait`, and the numbers that choose a provider.
Never: a script that fits one world only; what is chosen by number fits any.
Reads as: table.py writes scripts in these -> hunting.py puts them before random acts.
"""

from taskdock.core.job_record import JobKind
from taskdock.ports.sandbox import Phase
from taskdock.testing.simulation.client import ASKED_KINDS
from taskdock.testing.simulation.faults import Kind
from taskdock.testing.simulation.mischief import CALLS, JOB_CALLS, KINDS, LIES, STORE_CALLS
from taskdock.testing.simulation.script import NUMBERS, PAUSES_SECONDS, Act

NEAR, FAR, BARE = 3, 1, 2
"""What `task` is of a `create_task` at these providers; see PROFILES."""


def act(name: str, seconds: float = 0.2, *, task: int = 0, tab: int = 0, how: int = 1) -> Act:
    """One act, and the pause after it."""
    return Act(name, task, tab, how, PAUSES_SECONDS.index(seconds))


def wait(seconds: float) -> Act:
    """A pause; the act itself changes nothing that matters."""
    return act("rename_tab", seconds)


def fail(call: str, kind: Kind, count: int = 1, seconds: float = 0.0) -> Act:
    """The next calls of this name go wrong like this."""
    number = next(
        number
        for number in range(NUMBERS * NUMBERS)
        if _meets(number, call) and number % NUMBERS % 3 == count - 1
    )
    return Act("fail", number // NUMBERS, number % NUMBERS, KINDS.index(kind), PAUSES_SECONDS.index(seconds))


def _meets(number: int, call: str) -> bool:
    return CALLS[number % len(CALLS)] == call


def job(kind: JobKind, seconds: float = 0.2, *, tab: int = 0) -> Act:
    """Ask for a job; one that has a branch gets one of those that no task has."""
    return act("request_job", seconds, task=ASKED_KINDS.index(kind), tab=tab, how=1)


def fail_job(call: str, kind: Kind, count: int = 1, seconds: float = 0.0) -> Act:
    """The next calls of a job of this name go wrong like this."""
    return Act("fail_job", JOB_CALLS.index(call), count - 1, KINDS.index(kind), PAUSES_SECONDS.index(seconds))


def fail_store(call: str, kind: Kind, count: int = 1, seconds: float = 0.0) -> Act:
    """The next calls of the store of this name go wrong like this."""
    how = (Kind.REFUSED, Kind.LOST).index(kind)
    return Act("fail_store", count - 1, STORE_CALLS.index(call), how, PAUSES_SECONDS.index(seconds))


def lie(phase: Phase, seconds: float = 0.0) -> Act:
    """The next look at a sandbox says this."""
    return Act("lie", 0, 0, LIES.index(phase), PAUSES_SECONDS.index(seconds))
