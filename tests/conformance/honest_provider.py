"""Honest provider: the real local provider without a fault, as the thing that faults are planted in.

Owns: `Honest`, how one is put under test, and how what a fault left behind is ended.
Never: a fault.
Reads as: broken_provider.py, broken_access.py, test_broken_provider.py -> this -> `LocalSandboxes` of level `process`.
"""

import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from anyio import to_thread
from attrs import evolve

from local_process import local_sandboxes, new_spec, processes, sandboxes
from taskdock.adapters.sandbox.local.levels import Level
from taskdock.core.errors import PortError
from taskdock.ports.sandbox import (
    Endpoint,
    Exec,
    ExecResult,
    Observation,
    ProgramFile,
    SandboxRef,
    SandboxSpec,
    ServiceSpec,
)
from taskdock.testing.conformance.sandbox import SandboxUnderTest

SLEEPER = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], stdin=-3, stdout=-3, stderr=-3, start_new_session=True)"


class Honest:
    """No fault: hands every call on to the real provider below `root`."""

    found_by: ClassVar[str] = ""
    says: ClassVar[str] = ""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.real = sandboxes(root, Level.PROCESS)
        self.id = self.real.id
        self.capabilities = self.real.capabilities

    async def ensure(self, spec: SandboxSpec) -> Observation:
        return await self.real.ensure(spec)

    async def start(self, ref: SandboxRef, owner: str) -> Observation:
        return await self.real.start(ref, owner)

    async def stop(self, ref: SandboxRef, owner: str) -> Observation:
        return await self.real.stop(ref, owner)

    async def observe(self, ref: SandboxRef) -> Observation:
        return await self.real.observe(ref)

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        return await self.real.destroy(ref, owner)

    async def list_owned(self, owner: str) -> AsyncIterator[Observation]:
        async for observation in self.real.list_owned(owner):
            yield observation

    async def aclose(self) -> None:
        await self.real.aclose()

    async def ensure_service(self, ref: SandboxRef, service: ServiceSpec) -> Endpoint:
        return await self.real.ensure_service(ref, service)

    async def endpoint(self, ref: SandboxRef, service: str) -> Endpoint:
        return await self.real.endpoint(ref, service)

    async def stop_service(self, ref: SandboxRef, service: str) -> None:
        await self.real.stop_service(ref, service)

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        return await self.real.exec(ref, command)

    async def put_files(self, ref: SandboxRef, files: Sequence[ProgramFile]) -> None:
        await self.real.put_files(ref, files)

    async def get_file(self, ref: SandboxRef, path: str) -> bytes:
        return await self.real.get_file(ref, path)

    def home(self, ref: SandboxRef) -> Path:
        """Where the files of a sandbox are on this machine."""
        return self.root / ref.name / "home"

    async def leave_one(self, ref: SandboxRef) -> None:
        """Leave a process running in the sandbox, as who forgets to end it does."""
        await self.real.exec(ref, Exec(("python3", "-c", SLEEPER)))


def under_test(fault: Callable[[Path], Honest], root: Path, made: list[SandboxSpec]) -> SandboxUnderTest:
    """Make the record that the checks take; every spec that they ask for goes into `made`."""
    adapter = fault(root)

    def second() -> tuple[Honest, Honest]:
        other = fault(root)
        return other, other

    def spec() -> SandboxSpec:
        made.append(new_spec())
        return made[-1]

    honest = local_sandboxes(root, Level.PROCESS)
    return evolve(honest, provider=adapter, access=adapter, second=second, new_spec=spec, settle_seconds=1.5)


async def clear(root: Path, made: Sequence[SandboxSpec]) -> None:
    """End what a fault left behind: with the provider that has none, and by hand what not even that can find."""
    real = sandboxes(root, Level.PROCESS)
    for spec in made:
        with suppress(PortError):
            await real.destroy(spec.ref, spec.owner)
        for pid in await to_thread.run_sync(processes, root, spec.ref.name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
