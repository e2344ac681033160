"""Fixtures of the services' tests: all of them run in virtual time, on both event loops."""

from typing import Any

import pytest

from taskdock.testing import virtual_time
from unit.services.bench import bench

__all__ = ["anyio_backend", "bench"]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run an asynchronous test in virtual time."""
    name: str = request.param
    return name, virtual_time.backend_options(name)
