"""Local process sandboxes after a crash: whatever step a process is killed in, the next one goes on.

Every test kills a real process with SIGKILL and then looks with an adapter of its own.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_process import (
    OWNER,
    Children,
    children,
    current_level,
    files,
    is_waiting,
    new_spec,
    processes,
    sandboxes,
    service,
    until,
)
from taskdock.adapters.sandbox.local.levels import Level
from taskdock.core.errors import PortError
from taskdock.ports.sandbox import Exec, Phase, ProgramFile, SandboxRef

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("level")]

STEPS_MAX = 400
NAME = "crashed"
REF = SandboxRef("local", NAME)


@pytest.fixture(scope="module")
def child() -> Iterator[Children]:
    """Give one process that makes calls and survives its children's deaths."""
    with children() as (one,):
        yield one


def steps_of(backend: str) -> range:
    """Which steps to die in: a sample on either event loop, since the steps run below both; each step when soaking.

    Where a namespace makes each step slower the sample is smaller.
    """
    if "TASKDOCK_SOAK" in os.environ:
        return range(1, STEPS_MAX)
    asyncio_stride, trio_stride = {
        Level.PROCESS: (2, 8),
        Level.BUBBLEWRAP: (5, 17),
        Level.BUBBLEWRAP_NETNS: (11, 19),
    }[current_level[-1]]
    return range(1, STEPS_MAX, asyncio_stride) if backend == "asyncio" else range(2, STEPS_MAX, trio_stride)


async def gone(root: Path) -> bool:
    """Destroy the sandbox; whether nothing of it is left then."""
    observation = await sandboxes(root).destroy(REF, OWNER)
    return observation.phase is Phase.ABSENT and not processes(root, NAME) and not files(root, NAME)


async def test_killed_ensure_is_finished_by_the_next(
    tmp_path: Path, child: Children, anyio_backend: str
) -> None:
    """After a death in any step of ensure the next ensure makes a whole sandbox."""
    how, step = "", 0
    for step in steps_of(anyio_backend):
        how = child.call(root=tmp_path, name=NAME, call="ensure", step=step, backend=anyio_backend)
        adapter = sandboxes(tmp_path)
        if how == "killed":
            assert (await adapter.observe(REF)).phase in {Phase.ABSENT, Phase.PENDING, Phase.RUNNING}
            assert (await adapter.ensure(new_spec(NAME))).phase is Phase.RUNNING
        await adapter.put_files(REF, [ProgramFile("checkout/file", content=b"")])
        assert await gone(tmp_path)
        if how == "done":
            break
    assert how == "done"
    assert step > 8


async def test_killed_ensure_can_be_destroyed(tmp_path: Path, child: Children, anyio_backend: str) -> None:
    """After a death in any step of ensure destroy leaves nothing, though nobody ensured again."""
    how, step = "", 0
    for step in steps_of(anyio_backend):
        how = child.call(root=tmp_path, name=NAME, call="ensure", step=step, backend=anyio_backend)
        assert await gone(tmp_path)
        if how == "done":
            return
    pytest.fail("ensure has more steps than the test counts")


@pytest.mark.parametrize("call", ["service", "new_version"])
async def test_killed_service_start_leads_to_one_service(
    tmp_path: Path, child: Children, anyio_backend: str, call: str
) -> None:
    """After a death in any step of a start, a replacement too, the next caller is led to the one server that runs."""
    how, step = "", 0
    for step in steps_of(anyio_backend):
        adapter, spec = sandboxes(tmp_path), new_spec(NAME)
        await adapter.ensure(spec)
        if call == "new_version":
            await adapter.ensure_service(REF, service())
        how = child.call(root=tmp_path, name=NAME, call=call, step=step, backend=anyio_backend)
        # A namespace whose starter died before it gave its order ends by itself, in a moment.
        await until(lambda: not is_waiting(tmp_path, NAME))
        before = processes(tmp_path, NAME)
        assert len(before) <= 1
        endpoint = await adapter.ensure_service(REF, service(version="2" if call == "new_version" else "1"))
        assert len(processes(tmp_path, NAME)) == 1
        assert await adapter.endpoint(REF, "server") == endpoint
        if call == "service" and before:
            # What ran already was adopted, not replaced.
            assert processes(tmp_path, NAME) == before
            assert len((await adapter.get_file(REF, "starts")).splitlines()) == 1
        assert await gone(tmp_path)
        if how == "done":
            break
    assert how == "done"
    assert step > 15


@pytest.mark.parametrize("call", ["put", "stop", "exec"])
async def test_killed_call_can_be_made_again(
    tmp_path: Path, child: Children, anyio_backend: str, call: str
) -> None:
    """After a death in any step of another call the sandbox works as before and can be destroyed."""
    adapter = sandboxes(tmp_path)
    how, step = "", 0
    for step in steps_of(anyio_backend):
        await adapter.ensure(new_spec(NAME))
        await adapter.put_files(REF, [ProgramFile("new/file", content=b"old")])
        if call == "stop":
            await adapter.ensure_service(REF, service())
        how = child.call(root=tmp_path, name=NAME, call=call, step=step, backend=anyio_backend)
        assert await adapter.get_file(REF, "new/file") in (b"old", b"new" * 100_000)
        await adapter.put_files(REF, [ProgramFile("new/file", content=b"newer")])
        assert await adapter.get_file(REF, "new/file") == b"newer"
        await adapter.stop_service(REF, "server")
        # A command outlives whoever asked for it, and is still found by destroy.
        assert call == "exec" or not processes(tmp_path, NAME)
        assert not list((tmp_path / NAME / "incoming").iterdir())
        assert await gone(tmp_path)
        if how == "done":
            break
    assert how == "done"


async def test_killed_destroy_is_finished_by_the_next(
    tmp_path: Path, child: Children, anyio_backend: str
) -> None:
    """After a death in any step of destroy the sandbox is whole, marked as going, or gone; the next destroy ends it."""
    how, step = "", 0
    for step in steps_of(anyio_backend):
        adapter = sandboxes(tmp_path)
        await adapter.ensure(new_spec(NAME))
        await adapter.exec(REF, Exec(("sh", "-c", "exec sleep 600 >&- 2>&- &")))
        await adapter.put_files(REF, [ProgramFile("a/b/file", content=b"x")])
        await until(lambda: processes(tmp_path, NAME))
        how = child.call(root=tmp_path, name=NAME, call="destroy", step=step, backend=anyio_backend)
        observation = await adapter.observe(REF)
        owned = [found.ref.name async for found in adapter.list_owned(OWNER)]
        if observation.phase is Phase.ABSENT:
            assert not files(tmp_path, NAME)
            assert not processes(tmp_path, NAME)
        else:
            assert observation.phase in {Phase.RUNNING, Phase.DESTROYING}
            assert owned == [NAME] or observation.labels == {}
        if observation.phase is Phase.DESTROYING:
            with pytest.raises(PortError):
                await adapter.get_file(REF, "a/b/file")
        assert await gone(tmp_path)
        if how == "done":
            break
    assert how == "done"
    assert step > 15


@pytest.mark.parametrize("call", ["halt", "start"])
async def test_killed_halt_or_start_is_finished_by_the_next(
    tmp_path: Path, child: Children, anyio_backend: str, call: str
) -> None:
    """After a death in any step of a stop or a start both can be asked again, nothing runs while stopped, files stay."""
    how = ""
    for step in steps_of(anyio_backend):
        adapter = sandboxes(tmp_path)
        await adapter.ensure(new_spec(NAME))
        await adapter.put_files(REF, [ProgramFile("checkout/file", content=b"kept")])
        await adapter.exec(REF, Exec(("sh", "-c", "exec sleep 600 >&- 2>&- &")))
        await until(lambda: processes(tmp_path, NAME))
        if call == "start":
            await adapter.stop(REF, OWNER)
        how = child.call(root=tmp_path, name=NAME, call=call, step=step, backend=anyio_backend)
        seen = (await adapter.observe(REF)).phase
        assert seen in {Phase.RUNNING, Phase.STOPPING, Phase.STOPPED}
        assert bool(processes(tmp_path, NAME)) == (call == "halt" and seen is not Phase.STOPPED)
        assert (await adapter.stop(REF, OWNER)).phase is Phase.STOPPED
        assert not processes(tmp_path, NAME)
        assert (await adapter.start(REF, OWNER)).phase is Phase.RUNNING
        assert await adapter.get_file(REF, "checkout/file") == b"kept"
        assert await gone(tmp_path)
        if how == "done":
            break
    assert how == "done"


async def test_service_outlives_its_starter(tmp_path: Path, child: Children) -> None:
    """A service whose starter was killed while it waited for health runs on and is adopted."""
    adapter = sandboxes(tmp_path)
    await adapter.ensure(new_spec(NAME))
    assert child.call(root=tmp_path, name=NAME, call="service") == "done"
    running = processes(tmp_path, NAME)
    assert len(running) == 1
    first = await adapter.endpoint(REF, "server")
    assert await adapter.ensure_service(REF, service()) == first
    assert processes(tmp_path, NAME) == running
    assert await gone(tmp_path)


@pytest.mark.parametrize("level", [Level.PROCESS], indirect=True)
@pytest.mark.parametrize("then", ["ensure_service", "destroy"])
async def test_starter_killed_between_fork_and_exec(tmp_path: Path, child: Children, then: str) -> None:
    """A starter that dies after the fork hides nothing: the next call waits for the guard that the fork still holds."""
    root, forked = tmp_path / "root", tmp_path / "pid"
    adapter = sandboxes(root)
    await adapter.ensure(new_spec(NAME))
    assert child.call(root=root, name=NAME, call="service", gap=(0.7, forked)) == "killed"
    assert not processes(root, NAME)
    if then == "ensure_service":
        await adapter.ensure_service(REF, service())
        await until(lambda: forked.exists() and has_become_the_server(int(forked.read_text() or 0)))
        assert processes(root, NAME) == {int(forked.read_text())}
        assert len((await adapter.get_file(REF, "starts")).splitlines()) == 1
    assert await gone(root)
    await until(lambda: forked.exists() and has_become_the_server(int(forked.read_text() or 0)))
    assert not processes(root, NAME)


def has_become_the_server(pid: int) -> bool:
    """Whether the process has become the program, or has ended."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return pid > 0
    return b"server.py" in line or not line
