"""Test session: what every test of this repository shares.

Owns: the event loops that asynchronous tests run on, and which of our own pytest plugins are loaded.
Never: fixtures of one subject only; those live beside its tests.
Reads as: pytest -> this -> every test.
"""

import pytest

pytest_plugins = ["plugins.skips", "pytester"]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Name the event loop under an asynchronous test: each runs once on either."""
    name: str = request.param
    return name
