"""The clock: times that can be written down, ids that sort."""

import re
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from taskdock.adapters.clock import SystemClock

if TYPE_CHECKING:
    from taskdock.ports.clock import Clock

ID = re.compile(r"task-[0-9a-hjkmnp-tv-z]{20}")


def value_of(one: str) -> int:
    """Read the number back that an id writes down."""
    value = 0
    for character in one.rpartition("-")[2]:
        value = value * 32 + "0123456789abcdefghjkmnpqrstvwxyz".index(character)
    return value


class FrozenClock(SystemClock):
    """Ids of a time that a test sets."""

    time = datetime(2026, 5, 4, 3, 2, 1, 987_654, tzinfo=UTC)

    def now(self) -> datetime:
        """Give the set time."""
        return self.time


def test_it_is_a_clock() -> None:
    """The adapter fits its port, and its time is the machine's: aware and UTC."""
    clock: Clock = SystemClock()
    before = datetime.now(UTC)
    now = clock.now()
    assert before <= now <= datetime.now(UTC)
    assert now.utcoffset() == timedelta(0)


def test_time_has_microseconds() -> None:
    """Times are as fine as the machine gives them."""
    clock = SystemClock()
    assert any(clock.now().microsecond % 1000 for _ in range(100))


def test_ids_have_their_shape_and_sort_in_order_of_making() -> None:
    """Ids of one clock are twenty characters, distinct, and rising, thousands within one millisecond too."""
    for clock in (SystemClock(), FrozenClock()):
        ids = [clock.new_id("task") for _ in range(20_000)]
        assert all(ID.fullmatch(one) for one in ids)
        assert ids == sorted(set(ids))


def test_an_id_begins_with_its_time() -> None:
    """The first 48 bits are the milliseconds since 1970, so ids of different clocks sort by time."""
    clock = FrozenClock()
    assert value_of(clock.new_id("x")) >> 52 == int(clock.time.timestamp() * 1000)
    later = FrozenClock()
    later.time = clock.time + timedelta(milliseconds=1)
    assert FrozenClock().new_id("x") < later.new_id("x")


@pytest.mark.parametrize("step", [timedelta(0), timedelta(days=-400)])
def test_ids_rise_when_time_does_not(step: timedelta) -> None:
    """When the machine's clock stands still or is set back, ids go on from the last one."""
    clock = FrozenClock()
    first = clock.new_id("task")
    clock.time += step
    assert clock.new_id("task") > first


def test_ids_of_one_millisecond_cannot_be_guessed() -> None:
    """Two clocks in the same millisecond make different ids, and one clock's next id is no plain successor."""
    ids = {FrozenClock().new_id("task") for _ in range(1000)}
    assert len(ids) == 1000
    clock = FrozenClock()
    values = [value_of(clock.new_id("task")) for _ in range(200)]
    strides = [later - earlier for earlier, later in pairwise(values)]
    assert min(strides) > 1
    assert len(set(strides)) == len(strides)


def test_threads_share_a_clock() -> None:
    """Threads at once never get the same id, and each sees its own ids rise."""
    clock = FrozenClock()
    made: list[list[str]] = [[] for _ in range(8)]
    begin = threading.Barrier(len(made))

    def make(into: list[str]) -> None:
        begin.wait()
        into.extend(clock.new_id("task") for _ in range(2_000))

    threads = [threading.Thread(target=make, args=(into,)) for into in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [one for into in made for one in into]
    assert len(set(everything)) == len(everything) == 16_000
    assert all(into == sorted(into) for into in made)
