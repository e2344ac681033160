"""Rest checks: how a sandbox is stopped and started again.

Owns: `REST_CHECKS`.
Never: how a sandbox comes to be or ends (sandbox_life.py).
Reads as: sandbox.py -> these -> `SandboxProvider.stop` and `start`.
"""

from taskdock.core.errors import Foreign, PortError, Unreachable
from taskdock.ports.sandbox import Exec, Phase, ProgramFile, SandboxSpec, ServiceSpec
from taskdock.testing.conformance.sandbox_under_test import (
    SandboxCheck,
    SandboxUnderTest,
    all_succeed,
    refused,
    require,
)

_KEPT = ProgramFile("checkout/kept.txt", content=b"kept")
_DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        time.sleep(600)
    os._exit(0)
os.wait()
"""


async def check_stop_ends_every_process(sut: SandboxUnderTest) -> None:
    """Stopped means that nothing of the sandbox runs, daemons included; stopping again is no error."""
    async with sut.sandbox() as spec:
        result = await sut.run_python(spec.ref, _DAEMON)
        require(result.exit_code == 0, f"The daemon could not be started: {result.stderr!r}.")
        await sut.until_processes(spec.ref, 1)
        for _ in range(2):
            await _stopped(sut, spec)
            require(
                await sut.count_processes(spec.ref) == 0,
                "stopped must mean that no process of the sandbox is left: wait for them before saying so.",
            )
        observation = await sut.provider.observe(spec.ref)
        require(
            dict(observation.labels) == spec.labels,
            f"A stopped sandbox must keep its labels, not carry {dict(observation.labels)}.",
        )


async def check_start_brings_the_files_back(sut: SandboxUnderTest) -> None:
    """A sandbox that was stopped and started runs again, with its files where `stop_keeps_files` promises them."""
    async with sut.sandbox() as spec:
        await sut.access.put_files(spec.ref, [_KEPT])
        await _stopped(sut, spec)
        for _ in range(2):
            await sut.provider.start(spec.ref, spec.owner)
            await sut.until(spec, Phase.RUNNING)
        result = await sut.run_python(spec.ref, "print('ran')")
        require(result.stdout == b"ran\n", f"A started sandbox must run commands again: {result}.")
        if sut.provider.capabilities.stop_keeps_files:
            found = await sut.access.get_file(spec.ref, _KEPT.path)
            require(found == _KEPT.content, "stop_keeps_files promises that every file outlives a stop.")


async def check_stopped_is_unreachable(sut: SandboxUnderTest) -> None:
    """Every way into a stopped sandbox is Unreachable and starts nothing, also through an adapter that did not stop it."""
    async with sut.sandbox() as spec, sut.another() as (_, other):
        await _stopped(sut, spec)
        promise = "A stopped sandbox runs nothing until it is started."
        for access in (sut.access, other):
            with refused(Unreachable, promise):
                await access.exec(spec.ref, Exec(("true",)))
            with refused(Unreachable, promise):
                await access.ensure_service(spec.ref, ServiceSpec("any", "1", ("true",), {}, (), "/"))
            with refused(Unreachable, promise):
                await access.endpoint(spec.ref, "any")
            with refused(Unreachable, promise):
                await access.put_files(spec.ref, [_KEPT])
        require(
            (await sut.provider.observe(spec.ref)).phase is Phase.STOPPED,
            "A refused call must leave the sandbox stopped.",
        )


async def check_ensure_leaves_stopped(sut: SandboxUnderTest) -> None:
    """Ensuring a stopped sandbox adopts it and starts nothing: only `start` does."""
    async with sut.sandbox() as spec, sut.another() as (other, _):
        await _stopped(sut, spec)
        for provider in (sut.provider, other):
            observation = await provider.ensure(spec)
            require(
                observation.phase is Phase.STOPPED,
                f"ensure must leave a stopped sandbox stopped, but it reads {observation.phase}.",
            )


async def check_rest_of_absent_makes_nothing(sut: SandboxUnderTest) -> None:
    """Starting and stopping what was never there answers absent, and makes nothing."""
    spec = sut.new_spec()
    for verb in (sut.provider.stop, sut.provider.start) * 2:
        observation = await verb(spec.ref, spec.owner)
        require(
            observation.phase is Phase.ABSENT,
            f"Neither start nor stop makes a sandbox; the answer must be absent, not {observation.phase}.",
        )
    require(not await sut.leftovers(spec.ref), "Neither start nor stop may make a file.")


async def check_foreign_is_not_stopped(sut: SandboxUnderTest) -> None:
    """What carries another owner's label is Foreign to start and to stop, and stays as it was."""
    async with sut.sandbox() as spec:
        with refused(Foreign, "stop must not touch another owner's sandbox."):
            await sut.provider.stop(spec.ref, spec.owner + "-other")
        observation = await sut.provider.observe(spec.ref)
        require(observation.phase is Phase.RUNNING, "A refused stop must stop nothing.")
        await _stopped(sut, spec)
        with refused(Foreign, "start must not touch another owner's sandbox."):
            await sut.provider.start(spec.ref, spec.owner + "-other")
        observation = await sut.provider.observe(spec.ref)
        require(observation.phase is Phase.STOPPED, "A refused start must start nothing.")


async def check_stop_cuts_what_runs(sut: SandboxUnderTest) -> None:
    """A command that runs while its sandbox is stopped ends with it; what starts at the same time is not missed."""
    async with sut.sandbox() as spec, sut.another() as (other, _):

        async def run() -> None:
            try:
                result = await sut.run_python(spec.ref, "import time; time.sleep(600)")
            except PortError:
                return
            require(result.exit_code != 0, "A command that was cut off must not look as if it had succeeded.")

        async def stop() -> None:
            await other.stop(spec.ref, spec.owner)

        await all_succeed("Stops beside commands must all succeed.", [run, stop] * 3)
        await sut.until(spec, Phase.STOPPED)
        require(await sut.count_processes(spec.ref) == 0, "What was started beside a stop must end with it.")


async def check_stopped_is_destroyed(sut: SandboxUnderTest) -> None:
    """A stopped sandbox is destroyed as a running one is, and its name is free again for a running one."""
    async with sut.sandbox() as spec:
        await _stopped(sut, spec)
        await sut.destroyed(spec)
        require(not await sut.leftovers(spec.ref), "absent must mean that no file of the sandbox is left.")
        await sut.provider.ensure(spec)
        await sut.until(spec, Phase.RUNNING)


async def _stopped(sut: SandboxUnderTest, spec: SandboxSpec) -> None:
    await sut.provider.stop(spec.ref, spec.owner)
    await sut.until(spec, Phase.STOPPED)


REST_CHECKS: tuple[SandboxCheck, ...] = (
    check_stop_ends_every_process,
    check_start_brings_the_files_back,
    check_stopped_is_unreachable,
    check_ensure_leaves_stopped,
    check_rest_of_absent_makes_nothing,
    check_foreign_is_not_stopped,
    check_stop_cuts_what_runs,
    check_stopped_is_destroyed,
)
