"""Rest checks: how a sandbox is stopped and started again.

Owns: `REST_CHECKS`.
Never: how a sandbox comes to be or ends (sandbox_life.py).
Reads as: sandbox.py -> these -> `SandboxProvider.stop` and `start`.
"""

from taskdock.core.errors import Foreign, PortError, Unreachable
from taskdock.ports.sandbox import Exec, Phase, ProgramFile, ServiceSpec
from taskdock.testing.conformance.promises import all_succeed, refused, require, told
from taskdock.testing.conformance.sandbox_under_test import SandboxCheck, SandboxUnderTest

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
        await sut.must_run(spec.ref, _DAEMON)
        await sut.until_processes(spec.ref, 1)
        for _ in range(2):
            await sut.stopped(spec)
            running = await sut.processes(spec.ref)
            require(
                running == 0,
                "`stopped` means that nothing of the sandbox runs",
                f"{running} processes are still there",
                "end them, daemons too, and wait for their end before you say it",
            )
        observation = await sut.provider.observe(spec.ref)
        require(
            dict(observation.labels) == spec.labels,
            "A stopped sandbox keeps its labels",
            f"it carries {dict(observation.labels)}",
            "keep them where a stop does not reach",
        )


async def check_start_brings_the_files_back(sut: SandboxUnderTest) -> None:
    """A sandbox that was stopped and started runs again, with its files where `stop_keeps_files` promises them."""
    seen_by = "import os, sys; print(open(sys.argv[1]).read() if os.path.exists(sys.argv[1]) else 'gone')"
    async with sut.sandbox() as spec:
        await sut.access.put_files(spec.ref, [_KEPT])
        await sut.stopped(spec)
        for _ in range(2):
            await sut.provider.start(spec.ref, spec.owner)
            await sut.until(spec, Phase.RUNNING)
        found = (await sut.must_run(spec.ref, seen_by, _KEPT.path)).decode().strip()
        require(
            found == "kept" or not sut.provider.capabilities.stop_keeps_files,
            "`stop_keeps_files` promises that every file outlives a stop",
            f"after stop and start a file is found: {found}",
            "keep the home, or say stop_keeps_files=False",
        )


async def check_stopped_is_unreachable(sut: SandboxUnderTest) -> None:
    """Every way into a stopped sandbox is Unreachable and starts nothing, also through an adapter that did not stop it."""
    async with sut.sandbox() as spec, sut.another() as (_, other):
        await sut.stopped(spec)
        mend = "look before you go in, and raise Unreachable instead of starting it"
        for access in (sut.access, other):
            with refused(Unreachable, "exec starts no stopped sandbox", mend):
                await access.exec(spec.ref, Exec(("true",)))
            with refused(Unreachable, "ensure_service starts no stopped sandbox", mend):
                await access.ensure_service(spec.ref, ServiceSpec("any", "1", ("true",), {}, (), "/"))
            with refused(Unreachable, "endpoint starts no stopped sandbox", mend):
                await access.endpoint(spec.ref, "any")
            with refused(Unreachable, "put_files starts no stopped sandbox", mend):
                await access.put_files(spec.ref, [_KEPT])
        observation = await sut.provider.observe(spec.ref)
        require(
            observation.phase is Phase.STOPPED,
            "Only start makes a stopped sandbox run",
            f"after refused calls it is {observation.phase.value}",
            mend,
        )


async def check_ensure_leaves_stopped(sut: SandboxUnderTest) -> None:
    """Ensuring a stopped sandbox adopts it and starts nothing: only `start` does."""
    async with sut.sandbox() as spec, sut.another() as (other, _):
        await sut.stopped(spec)
        for provider in (sut.provider, other):
            said = await provider.ensure(spec)
            read = await provider.observe(spec.ref)
            require(
                said.phase is read.phase is Phase.STOPPED,
                "ensure leaves a stopped sandbox stopped: only start makes it run",
                f"it answers {said.phase.value}, and then it is {read.phase.value}",
                "adopt without starting, and answer the phase that you read",
            )


async def check_rest_of_absent_makes_nothing(sut: SandboxUnderTest) -> None:
    """Starting and stopping what was never there answers absent, and makes nothing."""
    spec = sut.new_spec()
    for verb in (sut.provider.stop, sut.provider.start) * 2:
        observation = await verb(spec.ref, spec.owner)
        require(
            observation.phase is Phase.ABSENT,
            "Starting or stopping what is absent makes nothing and answers absent",
            f"the answer is {observation.phase.value}",
            "take `there is none` for an answer, not for an order to make one",
        )
    read = (await sut.provider.observe(spec.ref)).phase
    left = await sut.files(spec.ref)
    require(
        read is Phase.ABSENT and not left,
        "Starting or stopping what is absent makes nothing",
        f"it is {read.value} afterwards, with the files {list(left)[:3]}",
        "make sandboxes in ensure alone",
    )


async def check_foreign_is_not_stopped(sut: SandboxUnderTest) -> None:
    """What carries another owner's label is Foreign to stop, and runs on."""
    async with sut.sandbox() as spec:
        mend = "read the owner label before you stop, and raise Foreign"
        promise = "stop does not touch another owner's sandbox"
        with refused(Foreign, promise, mend):
            await sut.provider.stop(spec.ref, spec.owner + "-other")
        phase = (await sut.provider.observe(spec.ref)).phase
        require(phase is Phase.RUNNING, promise, f"it is {phase.value} after the refusal", mend)


async def check_foreign_is_not_started(sut: SandboxUnderTest) -> None:
    """What carries another owner's label is Foreign to start, and stays stopped."""
    async with sut.sandbox() as spec:
        await sut.stopped(spec)
        mend = "read the owner label before you start, and raise Foreign"
        promise = "start does not touch another owner's sandbox"
        with refused(Foreign, promise, mend):
            await sut.provider.start(spec.ref, spec.owner + "-other")
        phase = (await sut.provider.observe(spec.ref)).phase
        require(phase is Phase.STOPPED, promise, f"it is {phase.value} after the refusal", mend)


async def check_stop_cuts_what_runs(sut: SandboxUnderTest) -> None:
    """A command that runs while its sandbox is stopped ends with it; what starts at the same time is not missed."""
    async with sut.sandbox() as spec, sut.another() as (other, _):

        async def run() -> None:
            try:
                result = await sut.run_python(spec.ref, "import time; time.sleep(600)")
            except PortError:
                return
            require(
                result.exit_code != 0,
                "A command that a stop cut off does not look as if it had succeeded",
                "exec gave the exit code 0",
                "raise Transient, or give the code of a killed process",
            )

        async def stop() -> None:
            await other.stop(spec.ref, spec.owner)

        await all_succeed("Stops beside commands all succeed", [run, stop] * 3)
        await sut.until(spec, Phase.STOPPED)
        running = await sut.processes(spec.ref)
        require(
            running == 0,
            "What is started beside a stop ends with it",
            f"{running} processes run on",
            "bar the way in first, then end what runs",
        )


async def check_stopped_is_destroyed(sut: SandboxUnderTest) -> None:
    """A stopped sandbox is destroyed as a running one is, and its name is free again for a running one."""
    async with sut.sandbox() as spec:
        await sut.stopped(spec)
        await sut.destroyed(spec)
        left = await sut.files(spec.ref)
        require(
            not left,
            "`absent` means that no file is left, of a stopped sandbox too",
            f"there is {list(left)[:3]}",
            "destroy a stopped one as a running one",
        )
        await sut.provider.ensure(spec)
        await sut.until(spec, Phase.RUNNING)


REST_CHECKS: tuple[SandboxCheck, ...] = told(
    check_stop_ends_every_process,
    check_start_brings_the_files_back,
    check_stopped_is_unreachable,
    check_ensure_leaves_stopped,
    check_rest_of_absent_makes_nothing,
    check_foreign_is_not_stopped,
    check_foreign_is_not_started,
    check_stop_cuts_what_runs,
    check_stopped_is_destroyed,
)
