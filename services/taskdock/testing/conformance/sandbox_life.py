"""Life checks: how sandboxes come to be, whose they are, and how they end.

Owns: `LIFE_CHECKS`.
Never: what happens inside a sandbox, beyond what shows that it is the same one, or gone.
Reads as: sandbox.py -> these -> `SandboxProvider`.
"""

import datetime as dt
from functools import partial

from attrs import evolve

from taskdock.core.errors import Foreign
from taskdock.ports.sandbox import Observation, Phase, ProgramFile, SandboxSpec
from taskdock.testing.conformance.sandbox_under_test import (
    SandboxCheck,
    SandboxUnderTest,
    all_succeed,
    refused,
    require,
)

_KEPT = ProgramFile("kept.txt", content=b"kept")

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


async def check_absent_before_ensure(sut: SandboxUnderTest) -> None:
    """A name that was never used is absent, and looking at it makes nothing."""
    spec = sut.new_spec()
    for _ in range(2):
        observation = await sut.provider.observe(spec.ref)
        require(
            observation.phase is Phase.ABSENT, f"A name never used must be absent, not {observation.phase}."
        )
    require(not await sut.leftovers(spec.ref), "Observing must make no file: take out what observe creates.")


async def check_ensure_leads_to_running(sut: SandboxUnderTest) -> None:
    """After ensure the sandbox comes to run, with the labels of its spec and the time of the reading."""
    async with sut.sandbox() as spec:
        observation = await sut.provider.observe(spec.ref)
        require(observation.ref == spec.ref, "An observation must name the sandbox it is about.")
        require(
            dict(observation.labels) == spec.labels,
            f"An observation must carry the labels of the spec, {spec.labels}, not {dict(observation.labels)}.",
        )
        age = dt.datetime.now(dt.UTC) - observation.read_at
        require(
            abs(age) < dt.timedelta(minutes=5),
            f"read_at must be the time at which the provider was read; this one is {age} old.",
        )


async def check_ensure_again_adopts(sut: SandboxUnderTest) -> None:
    """A second ensure adopts the sandbox with everything in it."""
    async with sut.sandbox() as spec:
        await sut.access.put_files(spec.ref, [_KEPT])
        await sut.provider.ensure(spec)
        await sut.until(spec, Phase.RUNNING)
        found = await sut.access.get_file(spec.ref, _KEPT.path)
        require(found == _KEPT.content, "ensure must adopt what is there under the name, not make it anew.")


async def check_second_adapter_adopts(sut: SandboxUnderTest) -> None:
    """An adapter that never heard of the sandbox adopts it by its name alone."""
    async with sut.sandbox() as spec:
        await sut.access.put_files(spec.ref, [_KEPT])
        async with sut.another() as (provider, access):
            observation = await provider.ensure(spec)
            require(
                observation.phase is Phase.RUNNING,
                f"A fresh adapter must find a running sandbox by its name, but reads {observation.phase}:"
                " keep nothing in memory that the next process would miss.",
            )
            found = await access.get_file(spec.ref, _KEPT.path)
            require(found == _KEPT.content, "A fresh adapter must adopt the sandbox, not make another.")
        observation = await sut.provider.observe(spec.ref)
        require(observation.phase is Phase.RUNNING, "aclose must leave the sandboxes as they are.")


async def check_racing_ensures_make_one(sut: SandboxUnderTest) -> None:
    """Many ensures of one name at once, from two adapters, all succeed and make one sandbox."""
    spec = sut.new_spec()
    try:
        async with sut.another() as (other, _):
            ensures = [partial(adapter.ensure, spec) for adapter in (sut.provider, other)] * 3
            await all_succeed("Ensures of one name at once must all succeed.", ensures)
        await sut.until(spec, Phase.RUNNING)
        owned = [one async for one in sut.provider.list_owned(spec.owner) if one.ref == spec.ref]
        require(
            len(owned) == 1,
            f"{len(ensures)} ensures of one name made {len(owned)} sandboxes; the name must decide.",
        )
    finally:
        await sut.destroyed(spec)


async def check_foreign_is_not_adopted(sut: SandboxUnderTest) -> None:
    """What carries other labels under the name is Foreign to ensure, and stays untouched."""
    async with sut.sandbox() as spec:
        await sut.access.put_files(spec.ref, [_KEPT])
        for other in (
            evolve(spec, owner=spec.owner + "-other"),
            evolve(spec, task_id=spec.task_id + "-other"),
            evolve(spec, generation=spec.generation + 1),
        ):
            with refused(Foreign, f"ensure must not adopt a sandbox with other labels ({other.labels})."):
                await sut.provider.ensure(other)
        await _is_untouched(sut, spec)


async def check_foreign_is_not_destroyed(sut: SandboxUnderTest) -> None:
    """What carries another owner's label is Foreign to destroy, and stays untouched."""
    async with sut.sandbox() as spec:
        await sut.access.put_files(spec.ref, [_KEPT])
        with refused(Foreign, "destroy must not touch another owner's sandbox."):
            await sut.provider.destroy(spec.ref, spec.owner + "-other")
        await _is_untouched(sut, spec)


async def check_destroy_of_absent_succeeds(sut: SandboxUnderTest) -> None:
    """Destroying what was never there succeeds and says absent, as often as it is asked."""
    spec = sut.new_spec()
    for _ in range(2):
        observation = await sut.provider.destroy(spec.ref, spec.owner)
        require(
            observation.phase is Phase.ABSENT,
            f"Destroying nothing must answer absent, not {observation.phase}.",
        )


async def check_destroy_leaves_nothing(sut: SandboxUnderTest) -> None:
    """After destroy no process and no file is left, and destroying again succeeds."""
    async with sut.sandbox() as spec:
        await sut.access.put_files(spec.ref, [_KEPT])
        await _leave_running(sut, spec, "import time; time.sleep(600)")
        await sut.destroyed(spec)
        await _is_gone(sut, spec)
        await sut.destroyed(spec)


async def check_destroy_ends_daemons(sut: SandboxUnderTest) -> None:
    """Processes that daemonised (forked twice, in sessions of their own) end with their sandbox."""
    async with sut.sandbox() as spec:
        result = await sut.run_python(spec.ref, _DAEMONS)
        require(result.exit_code == 0, f"The daemons could not be started: {result.stderr!r}.")
        await sut.until_processes(spec.ref, 5)
        await sut.destroyed(spec)
        await _is_gone(sut, spec)


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
        home = (await sut.run_python(neighbour.ref, "import os; print(os.getcwd())")).stdout.decode().strip()
        result = await sut.run_python(spec.ref, source, home)
        require(result.exit_code == 0, f"The files could not be made: {result.stderr!r}.")
        await sut.destroyed(spec)
        await _is_gone(sut, spec)
        await _is_untouched(sut, neighbour)


async def check_destroy_beside_ensure(sut: SandboxUnderTest) -> None:
    """Ensure and destroy of one name at once: one comes last, observe tells which, and nothing is left in between."""
    async with sut.another() as (other, _):
        for _ in range(3):
            spec = sut.new_spec()
            calls = [partial(sut.provider.ensure, spec), partial(other.destroy, spec.ref, spec.owner)] * 3
            await all_succeed("Ensure and destroy at once must both succeed.", calls)
            observation = await sut.provider.observe(spec.ref)
            if observation.phase is not Phase.ABSENT:
                await sut.until(spec, Phase.RUNNING)
                await sut.access.put_files(spec.ref, [_KEPT])
                await sut.destroyed(spec)
            await _is_gone(sut, spec)


async def check_list_names_only_ours(sut: SandboxUnderTest) -> None:
    """list_owned names every sandbox of this owner with its labels, and none of another's."""
    async with sut.sandbox() as one, sut.sandbox() as two:
        listed: list[Observation] = [found async for found in sut.provider.list_owned(one.owner)]
        names = [found.ref.name for found in listed]
        for spec in (one, two):
            require(names.count(spec.ref.name) == 1, f"list_owned must name {spec.ref.name} once: {names}.")
        require(
            all(found.labels.get("owner") == one.owner for found in listed),
            "list_owned must give the labels of each sandbox, and only sandboxes of the owner asked for.",
        )
        others = [found.ref.name async for found in sut.provider.list_owned(one.owner + "-other")]
        require(not others, f"list_owned named {others} to an owner who has no sandbox.")


async def _is_untouched(sut: SandboxUnderTest, spec: SandboxSpec) -> None:
    observation = await sut.provider.observe(spec.ref)
    require(
        observation.phase is Phase.RUNNING and dict(observation.labels) == spec.labels,
        f"A refused call must leave the other's sandbox as it was; now it reads {observation}.",
    )
    found = await sut.access.get_file(spec.ref, _KEPT.path)
    require(
        found == _KEPT.content, "A refused call must leave the files of the other's sandbox as they were."
    )


async def _is_gone(sut: SandboxUnderTest, spec: SandboxSpec) -> None:
    promise = "absent must mean that no process of the sandbox is left."
    require(await sut.count_processes(spec.ref) == 0, f"{promise} Wait for them before answering.")
    left = await sut.leftovers(spec.ref)
    require(not left, f"absent must mean that no file of the sandbox is left, but there is {list(left)[:3]}.")


async def _leave_running(sut: SandboxUnderTest, spec: SandboxSpec, source: str) -> None:
    """Start a process in the background of the sandbox and see that it can be counted."""
    start = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdin=-3, stdout=-3, stderr=-3)"
    result = await sut.run_python(spec.ref, start, source)
    require(result.exit_code == 0, f"Nothing could be started in the background: {result.stderr!r}.")
    await sut.until_processes(spec.ref, 1)


LIFE_CHECKS: tuple[SandboxCheck, ...] = (
    check_absent_before_ensure,
    check_ensure_leads_to_running,
    check_ensure_again_adopts,
    check_second_adapter_adopts,
    check_racing_ensures_make_one,
    check_foreign_is_not_adopted,
    check_foreign_is_not_destroyed,
    check_destroy_of_absent_succeeds,
    check_destroy_leaves_nothing,
    check_destroy_ends_daemons,
    check_destroy_takes_unwilling_files,
    check_destroy_beside_ensure,
    check_list_names_only_ours,
)
