"""Commands in local process sandboxes: signals, cancellation at every moment, and the table that finds processes."""

import asyncio
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from local_process import OWNER, new_spec, processes, running_sandbox, sandboxes, until
from taskdock.adapters.sandbox.local import children, commands
from taskdock.adapters.sandbox.local.levels import Level
from taskdock.adapters.sandbox.local.process_table import ProcessKey, ProcessTable
from taskdock.ports.sandbox import Exec, Phase, SandboxSpec

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("level")]


# Whoever runs these tests may have had some ignored, as a shell does for what runs in the background; Python adds two.
IGNORED_BY_US = {
    number
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}
    if signal.getsignal(number) in (signal.SIG_IGN, signal.default_int_handler)
}


@pytest.fixture
async def spec(tmp_path: Path, level: Level) -> AsyncIterator[SandboxSpec]:
    """Give a running sandbox below tmp_path, and leave no process of it behind, even when a test fails."""
    async with running_sandbox(tmp_path, level) as one:
        yield one


async def test_signal_counts_as_shells_have_it(tmp_path: Path, spec: SandboxSpec) -> None:
    """A command that is killed by a signal has the exit code 128 and its number."""
    result = await sandboxes(tmp_path).exec(spec.ref, Exec(("sh", "-c", "kill -TERM $$")))
    assert result.exit_code == 128 + signal.SIGTERM


async def test_signals_mean_inside_what_they_mean_outside(tmp_path: Path, spec: SandboxSpec) -> None:
    """No signal is ignored from the start: a program whose reader has gone ends by SIGPIPE."""
    script = "grep SigIgn /proc/self/status; yes | head -n 1"
    result = await sandboxes(tmp_path).exec(spec.ref, Exec(("bash", "-c", f"set -o pipefail; {script}")))
    label, ignored, said = result.stdout.split()
    assert (label, said) == (b"SigIgn:", b"y")
    assert {
        number for number in signal.valid_signals() if int(ignored, 16) >> (number - 1) & 1
    } <= IGNORED_BY_US
    assert (result.exit_code, result.stderr) == (128 + signal.SIGPIPE, b"")


async def test_programs_are_found_without_our_own_environment(tmp_path: Path, spec: SandboxSpec) -> None:
    """Git and Python are on the path inside, and the folders of the environment exist for nobody else."""
    script = 'git --version && python3 -c "import os; print(os.getuid())" && ls -ld $TMPDIR $XDG_RUNTIME_DIR'
    result = await sandboxes(tmp_path).exec(spec.ref, Exec(("sh", "-c", script)))
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count(b"drwx------") == 2


async def test_marks_cannot_be_set_by_a_caller(tmp_path: Path, spec: SandboxSpec) -> None:
    """What a caller adds to the environment never hides a process: the marks come last."""
    hidden = {"TASKDOCK_MARKER": "none", "TASKDOCK_INCARNATION": "none"}
    adapter = sandboxes(tmp_path)
    await adapter.exec(spec.ref, Exec(("sh", "-c", "sleep 600 >&- 2>&- &"), env=hidden))
    await until(lambda: processes(tmp_path, spec.ref.name))
    await adapter.destroy(spec.ref, OWNER)
    assert not processes(tmp_path, spec.ref.name)


async def test_output_of_the_background_is_not_waited_for(tmp_path: Path, spec: SandboxSpec) -> None:
    """A process in the background that writes without end holds up neither the answer nor its reader."""
    adapter = sandboxes(tmp_path)
    with anyio.fail_after(20):
        result = await adapter.exec(spec.ref, Exec(("sh", "-c", "yes & exec echo done >&2")))
    assert result.stderr == b"done\n"
    await adapter.destroy(spec.ref, OWNER)


async def test_destroy_ends_stopped_processes(tmp_path: Path, spec: SandboxSpec) -> None:
    """A process that stopped itself ends too."""
    adapter = sandboxes(tmp_path)
    await adapter.exec(spec.ref, Exec(("sh", "-c", "(kill -STOP $(exec sh -c 'echo $PPID')) >&- 2>&- &")))
    await until(lambda: len(processes(tmp_path, spec.ref.name)) == 1)
    assert (await adapter.destroy(spec.ref, OWNER)).phase is Phase.ABSENT
    assert not processes(tmp_path, spec.ref.name)


async def test_destroy_outruns_a_process_that_multiplies(tmp_path: Path, spec: SandboxSpec) -> None:
    """Processes that replace themselves faster than a reading of the table are ended all the same."""
    # A run of tests that is killed leaves these behind: so they end by themselves, long after the test needs them.
    source = (
        "import os, time\n"
        "end = time.monotonic() + 120\n"
        "while time.monotonic() < end and os.fork() == 0: os.setsid(); time.sleep(0.002)\n"
    )
    adapter = sandboxes(tmp_path)
    for _ in range(3):
        await adapter.exec(spec.ref, Exec(("sh", "-c", 'python3 -c "$0" >&- 2>&- &', source)))
    await until(lambda: processes(tmp_path, spec.ref.name))
    assert (await adapter.destroy(spec.ref, OWNER)).phase is Phase.ABSENT
    assert not processes(tmp_path, spec.ref.name)


async def test_cancelled_while_it_starts(
    tmp_path: Path, spec: SandboxSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command cancelled in the moment of its start is ended once it has started."""
    begun, start = threading.Event(), children.start

    def start_slowly(*arguments: object, **options: object) -> children.Child:
        begun.set()
        threading.Event().wait(0.3)
        return start(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(children, "start", start_slowly)
    async with anyio.create_task_group() as group:
        group.start_soon(sandboxes(tmp_path).exec, spec.ref, Exec(("sleep", "600")))
        await until(begun.is_set)
        group.cancel_scope.cancel()
    # Killed it is by now; what the kernel has begun to take down can be read about for a moment.
    await until(lambda: not processes(tmp_path, spec.ref.name))


def test_cancelled_by_asyncio_while_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancellation by asyncio itself, which does not wait for a thread, leaves no process either."""
    begun, ended, start = threading.Event(), threading.Event(), children.start

    def start_slowly(*arguments: object, **options: object) -> children.Child:
        begun.set()
        threading.Event().wait(0.3)
        try:
            return start(*arguments, **options)  # type: ignore[arg-type]
        finally:
            ended.set()

    async def cancel() -> None:
        adapter, spec = sandboxes(tmp_path), new_spec("box")
        await adapter.ensure(spec)
        monkeypatch.setattr(children, "start", start_slowly)
        task = asyncio.create_task(adapter.exec(spec.ref, Exec(("sleep", "600"))))
        await until(begun.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not ended.is_set()
        await until(ended.is_set)
        await until(lambda: not processes(tmp_path, "box"))

    asyncio.run(cancel())


def test_output_takes_no_more_room_than_its_bound() -> None:
    """However much a command writes, twice what is kept is the most that is held."""
    heard = bytearray()
    for number in range(1000):
        commands._keep(heard, number.to_bytes(2) * 5000)
        assert len(heard) <= 2 * commands.OUTPUT_BYTES_MAX
    assert heard.endswith((999).to_bytes(2) * 5000)
    assert len(heard) >= commands.OUTPUT_BYTES_MAX


async def test_children_are_collected(tmp_path: Path, spec: SandboxSpec) -> None:
    """Commands leave no zombie of ours, whether they end or are killed."""
    adapter = sandboxes(tmp_path)
    await adapter.exec(spec.ref, Exec(("true",)))
    with anyio.move_on_after(0.2):
        await adapter.exec(spec.ref, Exec(("sleep", "600")))
    children.reap()
    zombies = [row for pid in our_children() if (row := ProcessTable().read(pid)) and row.zombie]
    assert zombies == []


def test_row_survives_any_name(tmp_path: Path) -> None:
    """A process may call itself anything; its row is read all the same."""
    program = tmp_path / ") Z 1 1 ("
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "600"]) as process:
        row = ProcessTable().read(process.pid)
        assert row is not None
        assert (row.pid, row.parent_pid, row.zombie) == (process.pid, os.getpid(), False)
        process.kill()


def test_zombie_is_not_alive() -> None:
    """A process that has ended but was not waited for does not run."""
    with subprocess.Popen(["sleep", "600"]) as process:
        table = ProcessTable()
        key = table.key(process.pid)
        assert key is not None
        assert table.alive(key)
        assert not table.alive(ProcessKey(key.boot_id, key.pid, key.start_ticks + 1))
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not table.alive(key)
        row = table.read(process.pid)
        assert row is not None
        assert row.zombie


def our_children() -> list[int]:
    """Which processes have this one as their parent."""
    table = ProcessTable()
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if (row := table.read(pid)) is not None and row.parent_pid == os.getpid()]
