"""Test session: what every test of this repository shares.

Owns: the event loops that asynchronous tests run on, and which of our own pytest plugins are loaded.
Never: fixtures of one subject only; those live beside its tests.
Reads as: pytest -> this -> every test.
"""

from collections.abc import Iterator

import pytest

from container_engine import Engine, NoEngine, running_engine
from local_process import current_level, ground
from stand_in import StandIn, running_stand_in
from taskdock.adapters.sandbox.local.levels import Level

pytest_plugins = ["plugins.skips", "pytester"]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Name the event loop under an asynchronous test: each runs once on either."""
    name: str = request.param
    return name


@pytest.fixture(params=list(Level), ids=lambda level: level.value)
def level(request: pytest.FixtureRequest) -> Iterator[Level]:
    """Run the test at each level of the local provider that works on this machine."""
    one: Level = request.param
    wrong = ground(one).wrong
    if wrong is not None:
        pytest.skip(f"the level {one.value} does not work here: {wrong}")
    current_level.append(one)
    yield one
    current_level.pop()


@pytest.fixture(scope="session")
def stand_in_of_session() -> Iterator[StandIn]:
    """One stand-in of Daytona for all tests of a worker; at its end the referee must have had nothing to say."""
    with running_stand_in() as one:
        yield one
        assert one.seen()["referee"]["violations"] == []


@pytest.fixture
def stand_in(stand_in_of_session: StandIn) -> Iterator[StandIn]:
    """The stand-in without faults; those that a test orders end with it."""
    stand_in_of_session.clear()
    yield stand_in_of_session
    stand_in_of_session.clear()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """An engine for containers, for as long as this process of the session lives."""
    try:
        with running_engine() as running:
            yield running
    except NoEngine as error:
        pytest.skip(f"no containers here: {error}")
