"""Every promise of the sandbox ports, on a real engine (DOCKER_SOCKET, DOCKER_IMAGE), which is what looks from outside."""

from datetime import UTC, datetime
from itertools import count
from os import environ
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from taskdock.ports.sandbox import SandboxRef, SandboxSpec
from taskdock.testing.conformance.sandbox import SANDBOX_CHECKS, SandboxCheck, SandboxUnderTest
from taskdock_docker import DockerConfig, DockerSandboxes

CONFIG = DockerConfig(environ["DOCKER_IMAGE"], Path(environ["DOCKER_SOCKET"]))


def told(path: str) -> str:
    """What the engine says of containers."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(CONFIG.socket)), timeout=60.0) as engine:
        return engine.get(f"http://engine/containers/{path}").text


@pytest.mark.anyio
@pytest.mark.parametrize("check", SANDBOX_CHECKS, ids=lambda check: check.__name__)
async def test_promise_is_kept(check: SandboxCheck) -> None:
    """It holds on asyncio and on trio."""
    adapters = (DockerSandboxes(CONFIG, lambda: datetime.now(UTC)) for _ in count())
    specs = (SandboxSpec(SandboxRef("docker", f"td-{uuid4().hex}"), "me", "task", 1) for _ in count())

    async def processes(ref: SandboxRef) -> int:
        top = told(f"{ref.name}/top?ps_args=-eo%20pid,args")
        return top.count('["') - top.count("taskdock-keeper") - 1 if "Processes" in top else 0

    async def files(ref: SandboxRef) -> list[str]:
        return [ref.name] * (ref.name in told("json?all=1"))

    first, second = next(adapters), lambda: ((other := next(adapters)), other)
    await check(SandboxUnderTest(first, first, lambda: next(specs), second, processes, files))
