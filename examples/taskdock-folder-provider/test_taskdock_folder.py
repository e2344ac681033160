"""Every promise of the sandbox ports, on the folder provider. `processes` and `files` look at it from outside."""

from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from subprocess import getoutput

import pytest

from taskdock.ports.sandbox import SandboxRef, SandboxSpec
from taskdock.testing.conformance.sandbox import SANDBOX_CHECKS, SandboxCheck, SandboxUnderTest
from taskdock_folder import FolderSandboxes


@pytest.mark.anyio
@pytest.mark.parametrize("check", SANDBOX_CHECKS, ids=lambda check: check.__name__)
async def test_promise_is_kept(check: SandboxCheck, tmp_path: Path) -> None:
    """It holds on asyncio and on trio."""
    adapters = (FolderSandboxes(tmp_path, lambda: datetime.now(UTC)) for _ in count())
    specs = (SandboxSpec(SandboxRef("folder", f"box-{number}"), "me", "task", 1) for number in count())

    async def processes(ref: SandboxRef) -> int:
        return len(getoutput(f"grep -lsxz HOME={tmp_path}/{ref.name}/home /proc/[0-9]*/environ").split())

    async def files(ref: SandboxRef) -> list[str]:
        return [str(path) for path in tmp_path.rglob(f"*{ref.name}*")]

    first, second = next(adapters), lambda: ((other := next(adapters)), other)
    await check(SandboxUnderTest(first, first, lambda: next(specs), second, processes, files))
