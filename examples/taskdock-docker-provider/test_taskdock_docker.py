"""Every promise of the sandbox ports, on a real engine (DOCKER_SOCKET, DOCKER_IMAGE), looked at from outside."""

from datetime import UTC, datetime
from os import environ
from subprocess import getoutput
from uuid import uuid4

import pytest
from taskdock.ports.sandbox import SandboxRef, SandboxSpec
from taskdock.testing.conformance.sandbox import SANDBOX_CHECKS, SandboxCheck, SandboxUnderTest
from taskdock_docker import DockerConfig, DockerSandboxes

CONFIG = DockerConfig(environ["DOCKER_IMAGE"], environ["DOCKER_SOCKET"])
BOXES = f"curl -s --unix-socket {environ['DOCKER_SOCKET']} 'http://engine/containers/json?all=1'"
OURS = "xargs -r grep -Lsaz -e ^/dev/null -e taskdock-docker"  # a box's idle process, and what works in it for us

@pytest.mark.anyio
@pytest.mark.parametrize("check", SANDBOX_CHECKS, ids=lambda check: check.__name__)
async def test_promise_is_kept(check: SandboxCheck) -> None:
    async def processes(ref: SandboxRef) -> int:
        inside = f"grep -ls ' /run/taskdock/{ref.name} ' /proc/[0-9]*/mountinfo | sed s/mountinfo/cmdline/"
        return len(getoutput(f"{inside} | {OURS}").split())

    async def files(ref: SandboxRef) -> list[str]:
        return [ref.name] * (ref.name in getoutput(BOXES))

    first, *more = (DockerSandboxes(CONFIG, lambda: datetime.now(UTC)) for _ in range(9))
    spec = lambda: SandboxSpec(SandboxRef("docker", f"td-{uuid4().hex}"), "kit", "task", 1)
    await check(SandboxUnderTest(first, first, spec, lambda: ((other := more.pop()), other), processes, files))
