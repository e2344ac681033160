"""Local process sandboxes under races: between processes, adapters, tasks and threads, the guard decides."""

import fcntl
import json
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from local_process import (
    OWNER,
    children,
    files,
    new_spec,
    processes,
    running_sandbox,
    sandboxes,
    service,
    until,
)
from taskdock.adapters.sandbox.local import guard
from taskdock.adapters.sandbox.local.guard import held
from taskdock.adapters.sandbox.local.levels import Level
from taskdock.core.errors import Transient, Unreachable
from taskdock.ports.sandbox import Exec, Phase, SandboxSpec, ServiceSpec

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("level")]

RACERS = 6


@pytest.fixture
async def spec(tmp_path: Path, level: Level) -> AsyncIterator[SandboxSpec]:
    """Give a running sandbox below tmp_path, and leave no process of it behind, even when a test fails."""
    async with running_sandbox(tmp_path, level) as one:
        yield one


async def test_racing_processes_start_one_service(tmp_path: Path) -> None:
    """Six processes that create the same sandbox and service at once make one sandbox and start one server."""
    spec = new_spec()
    with children(RACERS) as racers:
        for call in ("ensure", "service"):
            for racer in racers:
                racer.begin(root=tmp_path, name=spec.ref.name, call=call)
            assert [racer.ended() for racer in racers] == ["done"] * RACERS
    adapter = sandboxes(tmp_path)
    assert len(processes(tmp_path, spec.ref.name)) == 1
    assert len((await adapter.get_file(spec.ref, "starts")).splitlines()) == 1
    await adapter.destroy(spec.ref, OWNER)


async def test_racing_processes_make_and_destroy(tmp_path: Path) -> None:
    """Processes that ensure, start and destroy one name at once never leave anything that a last destroy misses."""
    spec = new_spec()
    calls = ["ensure", "service", "destroy", "ensure", "put", "destroy"]
    with children(RACERS) as racers:
        for _ in range(4):
            for racer, call in zip(racers, calls, strict=True):
                racer.begin(root=tmp_path, name=spec.ref.name, call=call)
            for racer, call in zip(racers, calls, strict=True):
                # What needs a sandbox may find none; the calls that make and end one always succeed.
                assert racer.ended() == "done" or call in ("service", "put")
    adapter = sandboxes(tmp_path)
    assert (await adapter.destroy(spec.ref, OWNER)).phase is Phase.ABSENT
    assert not processes(tmp_path, spec.ref.name)
    assert not files(tmp_path, spec.ref.name)


@pytest.mark.parametrize("made_anew", [False, True])
async def test_guard_of_a_removed_folder_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_anew: bool
) -> None:
    """Who locks a guard whose folder was renamed away in that moment begins again, at the new folder."""
    folder, locked, locks = tmp_path / "box", guard._locked, list[int]()

    def lock_after_the_folder_went(descriptor: int, how: int) -> bool:
        if not locks:
            folder.rename(tmp_path / "gone")
            if made_anew:
                folder.mkdir()
                (folder / "guard").touch()
        locks.append(descriptor)
        return locked(descriptor, how)

    def take() -> None:
        with held(folder, make=True) as there:
            assert there
            assert (folder / "guard").samefile(f"/proc/self/fd/{locks[-1]}")

    monkeypatch.setattr(guard, "_locked", lock_after_the_folder_went)
    await to_thread.run_sync(take)
    assert len(locks) == 2


async def test_guard_wait_has_a_deadline(
    tmp_path: Path, spec: SandboxSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guard that is never let go ends in Transient, and a cancelled wait ends at once."""
    adapter = sandboxes(tmp_path)
    descriptor = os.open(tmp_path / spec.ref.name / "guard", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with anyio.move_on_after(0.2) as cancelled:
            await adapter.ensure(spec)
        assert cancelled.cancelled_caught
        monkeypatch.setattr(guard, "WAIT_SECONDS", 0.2)
        with pytest.raises(Transient, match="busy"):
            await adapter.ensure(spec)
        # To look needs no guard.
        assert (await adapter.observe(spec.ref)).phase is Phase.RUNNING
    finally:
        os.close(descriptor)
    await adapter.ensure(spec)


async def test_commands_do_not_wait_for_each_other(tmp_path: Path, spec: SandboxSpec) -> None:
    """Commands share the guard: one that runs long holds up no other, nor a stop or a destroy."""
    adapter = sandboxes(tmp_path)
    exits: list[int] = []
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:

            async def long() -> None:
                exits.append(
                    (await adapter.exec(spec.ref, Exec(("sleep", "600"), timeout_seconds=600))).exit_code
                )

            group.start_soon(long)
            await until(partial(processes, tmp_path, spec.ref.name))
            assert (await adapter.exec(spec.ref, Exec(("true",)))).exit_code == 0
            await adapter.stop_service(spec.ref, "none")
            await adapter.destroy(spec.ref, OWNER)
        # Ended from outside by SIGKILL.
        assert exits == [128 + 9]


async def test_stop_preempts_a_start_that_waits(tmp_path: Path, spec: SandboxSpec) -> None:
    """Stopping a service that does not come up acts at once, and its starter learns of it."""
    adapter = sandboxes(tmp_path)
    slow = ServiceSpec("server", "1", ("sleep", "600"), {}, (), "/health", start_seconds_max=60)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:

            async def start() -> None:
                with pytest.raises(Transient):
                    await adapter.ensure_service(spec.ref, slow)

            group.start_soon(start)
            record = tmp_path / spec.ref.name / "services/server.json"
            await until(lambda: record.exists() and json.loads(record.read_text())["pid"])
            with pytest.raises(Unreachable, match="still starting"):
                await adapter.endpoint(spec.ref, "server")
            await adapter.stop_service(spec.ref, "server")
    assert not processes(tmp_path, spec.ref.name)


async def test_cancelled_start_is_adopted(tmp_path: Path, spec: SandboxSpec) -> None:
    """A start cancelled while it waits for health leaves the server running, and the next caller is led to it."""
    adapter = sandboxes(tmp_path)
    async with anyio.create_task_group() as group:
        group.start_soon(adapter.ensure_service, spec.ref, service())
        await until((tmp_path / spec.ref.name / "home/starts").exists)
        group.cancel_scope.cancel()
    running = processes(tmp_path, spec.ref.name)
    await adapter.ensure_service(spec.ref, service())
    assert processes(tmp_path, spec.ref.name) == running
