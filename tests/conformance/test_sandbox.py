"""Every sandbox provider of ours keeps every promise of the sandbox ports."""

from pathlib import Path

import pytest

from local_process import local_process
from taskdock.testing.conformance.sandbox import SANDBOX_CHECKS, SandboxCheck

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("check", SANDBOX_CHECKS, ids=lambda check: check.__name__)
async def test_local_process(check: SandboxCheck, tmp_path: Path) -> None:
    """The local provider of level `process` keeps the promise."""
    await check(local_process(tmp_path))
