"""Life checks: how sandboxes come to be, whose they are, and how they end.

Owns: `LIFE_CHECKS`.
Never: what happens inside a sandbox, beyond what shows that it is the same one, or gone.
Reads as: sandbox.py -> these -> `SandboxProvider`.
"""

from functools import partial

import anyio
from attrs import evolve

from taskdock.core.errors import Foreign
from taskdock.ports.sandbox import Phase, ProgramFile, SandboxSpec
from taskdock.testing.conformance.promises import all_succeed, refused, require, told
from taskdock.testing.conformance.sandbox_under_test import SandboxCheck, SandboxUnderTest

_KEPT = ProgramFile("kept.txt", content=b"kept")
_LOOK_SECONDS = 0.05

_DAEMONS = """
import os, sys, time
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in range(3):
                os.dup2(null, descriptor)
            time.sleep(600)
        os._exit(0)
for _ in range(5):
    os.wait()
"""


async def check_ensure_again_adopts(sut: SandboxUnderTest) -> None:
    """A second ensure adopts the sandbox with everything in it."""
    async with sut.sandbox() as spec:
        await sut.access.put_files(spec.ref, [_KEPT])
        observation = await sut.provider.ensure(spec)
        require(
            observation.ref == spec.ref,
            "ensure answers what it read of the sandbox it was asked for",
            f"for {spec.ref} it answered about {observation.ref}",
            "make the name that was given, no other",
        )
        await sut.until(spec, Phase.RUNNING)
        await _require_kept(
            sut, spec, "A second ensure of a name adopts what is there", "look before you make"
        )


async def check_second_adapter_adopts(sut: SandboxUnderTest) -> None:
    """An adapter that never heard of the sandbox adopts it by its name alone."""
    promise = "An adapter that never heard of a sandbox finds it by its name"
    mend = "keep nothing in memory that the next process would miss"
    async with sut.sandbox() as spec:
        await sut.access.put_files(spec.ref, [_KEPT])
        async with sut.another() as (provider, access):
            observation = await provider.ensure(spec)
            require(
                observation.phase is Phase.RUNNING,
                promise,
                f"ensure through it reads {observation.phase.value} of a running one",
                mend,
            )
            await _require_kept(evolve(sut, provider=provider, access=access), spec, promise, mend)
        observation = await sut.provider.observe(spec.ref)
        require(
            observation.phase is Phase.RUNNING,
            "aclose leaves the sandboxes as they are",
            f"afterwards one reads {observation.phase.value}",
            "let go of connections only",
        )


async def check_racing_ensures_make_one(sut: SandboxUnderTest) -> None:
    """Many ensures of one name at once, from two adapters, all succeed and make one sandbox."""
    spec = sut.new_spec()
    async with sut.taken_away(spec, sut.provider.capabilities.create_window_seconds):
        async with sut.another() as (other, _):
            ensures = [partial(adapter.ensure, spec) for adapter in (sut.provider, other)] * 3
            await all_succeed("Ensures of one name at once all succeed", ensures)
        await sut.until(spec, Phase.RUNNING)
        owned = [one async for one in sut.provider.list_owned(spec.owner) if one.ref == spec.ref]
        require(
            len(owned) == 1,
            "Ensures of one name at once make one sandbox",
            f"{len(ensures)} of them made {len(owned)}",
            "let the provider refuse a second of a name, and adopt then",
        )


async def check_foreign_is_not_adopted(sut: SandboxUnderTest) -> None:
    """What carries other labels under the name is Foreign to ensure, and stays untouched."""
    async with sut.sandbox() as spec:
        await sut.access.put_files(spec.ref, [_KEPT])
        for other, which in (
            (evolve(spec, owner=spec.owner + "-other"), "owner"),
            (evolve(spec, task_id=spec.task_id + "-other"), "task"),
            (evolve(spec, generation=spec.generation + 1), "generation"),
        ):
            promise = f"ensure adopts no sandbox whose {which} label is another"
            with refused(Foreign, promise, "compare all labels of what you find, and raise Foreign"):
                await sut.provider.ensure(other)
        await _require_untouched(sut, spec, "A refused ensure leaves the sandbox of others as it was")


async def check_foreign_is_not_destroyed(sut: SandboxUnderTest) -> None:
    """What carries another owner's label is Foreign to destroy, and stays untouched."""
    async with sut.sandbox() as spec:
        await sut.access.put_files(spec.ref, [_KEPT])
        mend = "read the owner label before you destroy, and raise Foreign"
        with refused(Foreign, "destroy does not touch another owner's sandbox", mend):
            await sut.provider.destroy(spec.ref, spec.owner + "-other")
        await _require_untouched(sut, spec, "A refused destroy leaves the sandbox of others as it was")


async def check_destroy_of_absent_succeeds(sut: SandboxUnderTest) -> None:
    """Destroying what was never there succeeds and says absent, as often as it is asked."""
    spec = sut.new_spec()
    for _ in range(2):
        observation = await sut.provider.destroy(spec.ref, spec.owner)
        require(
            observation.phase is Phase.ABSENT,
            "Destroying what is absent answers absent",
            f"it answers {observation.phase.value}",
            "take `there is none` for what was asked",
        )


async def check_destroy_leaves_nothing(sut: SandboxUnderTest) -> None:
    """After destroy no process and no file is left, and destroying again succeeds."""
    async with sut.sandbox() as spec:
        await sut.access.put_files(spec.ref, [_KEPT])
        await sut.leave_running(spec.ref)
        await sut.destroyed(spec)
        await _require_gone(sut, spec)
        await sut.destroyed(spec)


async def check_next_one_is_empty(sut: SandboxUnderTest) -> None:
    """What is ensured under the name of a destroyed sandbox has nothing of it."""
    async with sut.sandbox() as spec:
        await sut.access.put_files(spec.ref, [_KEPT])
        await sut.destroyed(spec)
        await sut.provider.ensure(spec)
        await sut.until(spec, Phase.RUNNING)
        seen = await sut.must_run(spec.ref, "import os, sys; print(os.path.exists(sys.argv[1]))", _KEPT.path)
        require(
            seen == b"False\n",
            "A sandbox that is made under the name of a destroyed one is empty",
            "a file of the one before is in it",
            "destroy the files with their sandbox",
        )


async def check_destroy_ends_daemons(sut: SandboxUnderTest) -> None:
    """Processes that daemonised (forked twice, in sessions of their own) end with their sandbox."""
    async with sut.sandbox() as spec:
        await sut.must_run(spec.ref, _DAEMONS)
        await sut.until_processes(spec.ref, 5)
        await sut.destroyed(spec)
        await _require_gone(sut, spec)


async def check_destroy_takes_unwilling_files(sut: SandboxUnderTest) -> None:
    """Folders without any permission, deep trees and links out of the home do not stop destroy, nor lead it astray."""
    source = (
        "import os, sys\n"
        "os.makedirs('closed/inner'); open('closed/inner/file', 'w').close(); os.symlink(sys.argv[1], 'closed/out')\n"
        "os.chmod('closed/inner', 0); os.chmod('closed', 0)\n"
        "for _ in range(2000): os.mkdir('deep'); os.chdir('deep')\n"
    )
    # The link leads to a sandbox of our own: an adapter that follows it while removing must not ruin the machine.
    async with sut.sandbox() as neighbour, sut.sandbox() as spec:
        await sut.access.put_files(neighbour.ref, [_KEPT])
        home = (await sut.must_run(neighbour.ref, "import os; print(os.getcwd())")).decode().strip()
        await sut.must_run(spec.ref, source, home)
        await sut.destroyed(spec)
        await _require_gone(sut, spec)
        await _require_untouched(
            sut, neighbour, "destroy removes nothing that a link in the sandbox leads to"
        )


async def check_destroy_beside_ensure(sut: SandboxUnderTest) -> None:
    """Ensure and destroy of one name at once: one comes last, observe tells which, and nothing is left in between."""
    async with sut.another() as (other, _):
        for _ in range(3):
            spec = sut.new_spec()
            calls = [partial(sut.provider.ensure, spec), partial(other.destroy, spec.ref, spec.owner)] * 3
            async with sut.taken_away(spec, sut.provider.capabilities.create_window_seconds):
                await all_succeed("Ensures and destroys of one name at once all succeed", calls)
                if await _stays(sut, spec):
                    await sut.until(spec, Phase.RUNNING)
                    await sut.access.put_files(spec.ref, [_KEPT])
            await _require_gone(sut, spec)


async def _stays(sut: SandboxUnderTest, spec: SandboxSpec) -> bool:
    """Whether there is a sandbox once an end that was asked for has come: a destroy need not wait for it."""
    if (await sut.provider.observe(spec.ref)).phase is Phase.DESTROYING:
        with anyio.move_on_after(sut.settle_seconds):
            while (await sut.provider.observe(spec.ref)).phase is Phase.DESTROYING:  # noqa: ASYNC110 - only asking tells
                await anyio.sleep(_LOOK_SECONDS)
    return (await sut.provider.observe(spec.ref)).phase is not Phase.ABSENT


async def _require_kept(sut: SandboxUnderTest, spec: SandboxSpec, promise: str, mend: str) -> None:
    """The file that was put before is there; asked inside, since a missing one may be told in many ways."""
    source = "import os, sys; print(open(sys.argv[1]).read() if os.path.exists(sys.argv[1]) else 'gone')"
    found = (await sut.must_run(spec.ref, source, _KEPT.path)).decode().strip()
    require(found == "kept", promise, f"of a file that was put before it is found: {found}", mend)


async def _require_untouched(sut: SandboxUnderTest, spec: SandboxSpec, promise: str) -> None:
    observation = await sut.provider.observe(spec.ref)
    require(
        observation.phase is Phase.RUNNING and dict(observation.labels) == spec.labels,
        promise,
        f"it reads {observation.phase.value} with the labels {dict(observation.labels)}",
        "change nothing before you know whose it is",
    )
    await _require_kept(sut, spec, promise, "touch no file before you know whose it is")


async def _require_gone(sut: SandboxUnderTest, spec: SandboxSpec) -> None:
    promise = "`absent` means that no process and no file of the sandbox is left"
    running = await sut.processes(spec.ref)
    require(
        running == 0, promise, f"{running} processes run", "end them and wait for their end before you say it"
    )
    left = await sut.files(spec.ref)
    require(not left, promise, f"there is {list(left)[:3]}", "remove every file before you say it")


LIFE_CHECKS: tuple[SandboxCheck, ...] = told(
    check_ensure_again_adopts,
    check_second_adapter_adopts,
    check_racing_ensures_make_one,
    check_foreign_is_not_adopted,
    check_foreign_is_not_destroyed,
    check_destroy_of_absent_succeeds,
    check_destroy_leaves_nothing,
    check_next_one_is_empty,
    check_destroy_ends_daemons,
    check_destroy_takes_unwilling_files,
    check_destroy_beside_ensure,
)
