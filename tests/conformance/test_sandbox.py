"""Every sandbox provider of ours keeps every promise of the sandbox ports."""

from pathlib import Path

import pytest

from local_process import local_sandboxes
from stand_in import StandIn
from taskdock.adapters.sandbox.local.levels import Level
from taskdock.testing.conformance.sandbox import SANDBOX_CHECKS, SandboxCheck

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("check", SANDBOX_CHECKS, ids=lambda check: check.__name__)
async def test_local(check: SandboxCheck, tmp_path: Path, level: Level) -> None:
    """The local provider keeps the promise at each of its levels."""
    await check(local_sandboxes(tmp_path, level))


@pytest.mark.parametrize("check", SANDBOX_CHECKS, ids=lambda check: check.__name__)
async def test_daytona(check: SandboxCheck, stand_in: StandIn) -> None:
    """The Daytona provider keeps the promise against the stand-in, whose sandboxes are real processes."""
    sut = stand_in.under_test()
    try:
        await check(sut)
    finally:
        await sut.provider.aclose()
