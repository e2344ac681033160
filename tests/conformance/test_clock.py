"""The clock of this machine keeps every promise of the clock port, and the checks find those that do not."""

from datetime import UTC, datetime

import pytest

from taskdock.adapters.clock import SystemClock
from taskdock.testing.conformance.clock import CLOCK_CHECKS, ClockCheck
from taskdock.testing.conformance.promises import PromiseBroken

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("check", CLOCK_CHECKS, ids=lambda check: check.__name__)
async def test_system(check: ClockCheck) -> None:
    """The system's clock keeps the promise."""
    await check(SystemClock())


class Odd:
    """A clock that tells local time, and the ids it is given."""

    def __init__(self, *ids: str) -> None:
        self.ids = list(ids)

    def now(self) -> datetime:
        """Tell the time without a zone."""
        return datetime.now(UTC).replace(tzinfo=None)

    def new_id(self, kind: str) -> str:
        """Give the next id, or its like."""
        self.ids.append(self.ids.pop(0))
        return f"{kind}-{self.ids[-1]}"


@pytest.mark.parametrize(
    ("clock", "says"),
    [
        (Odd("1" * 20), "`now` is aware"),
        (Odd("A" * 20), "An id is"),
        (Odd("1" * 20), "No id is ever made twice"),
        (Odd(*(f"{number % 1000:020}" for number in range(1000, 0, -1))), "Ids sort"),
    ],
)
async def test_fault_is_found(clock: Odd, says: str) -> None:
    """A clock that breaks a promise is found by one of the checks."""
    found = []
    for check in CLOCK_CHECKS:
        try:
            await check(clock)
        except PromiseBroken as broken:
            found.append(broken.promise)
    assert any(promise.startswith(says) for promise in found)
