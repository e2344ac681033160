"""Clock conformance: what every clock must keep, as checks without a test runner.

Owns: `CLOCK_CHECKS`; each check takes a `Clock` and raises AssertionError with the broken promise.
Never: a comparison with the time of another machine.
Reads as: your test -> a check -> your clock.
"""

import re
from datetime import timedelta
from itertools import pairwise

from taskdock.ports.clock import Clock
from taskdock.testing.conformance.promises import Check, require, told

_ID = re.compile(r"task-[0-9a-z]{20}")
_MANY = 1_000


async def check_now_is_utc(clock: Clock) -> None:
    """`now` is aware, in UTC."""
    now = clock.now()
    require(
        now.tzinfo is not None and now.utcoffset() == timedelta(0),
        "`now` is aware, in UTC",
        f"it is {now!r}",
        "give datetime.now(UTC), or what a test says with tzinfo=UTC",
    )


async def check_ids_have_their_shape(clock: Clock) -> None:
    """An id is its kind and 20 characters of 0-9 and a-z."""
    made = clock.new_id("task")
    require(
        _ID.fullmatch(made) is not None,
        "An id is `<kind>-<20 characters of 0-9 a-z>`",
        f"for `task` it is {made!r}",
        "put the kind first, and nothing but 0-9 and a-z behind the dash",
    )


async def check_ids_sort_and_never_repeat(clock: Clock) -> None:
    """Ids that are made one after the other sort in that order, and none comes twice."""
    made = [clock.new_id("task") for _ in range(_MANY)]
    require(
        len(set(made)) == len(made),
        "No id is ever made twice",
        f"of {len(made)} there are {len(set(made))} different ones",
        "add chance, or a count, to the time",
    )
    require(
        made == sorted(made),
        "Ids sort by the time of their making",
        f"of {len(made)} made in a row, {sum(b < a for a, b in pairwise(made))} sort before the last",
        "begin with the time, and count on within one tick of it",
    )


ClockCheck = Check[Clock]

CLOCK_CHECKS: tuple[ClockCheck, ...] = told(
    check_now_is_utc, check_ids_have_their_shape, check_ids_sort_and_never_repeat
)
