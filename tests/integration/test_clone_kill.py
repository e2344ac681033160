"""Clones and sudden ends: SIGKILL of the service, cancelled calls, locks that somebody else holds."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from git_repos import bundle_of, commit_in, git, head_of, make_remote, refs_of, work_copy
from taskdock.adapters.clone.git import Deadlines, GitClones
from taskdock.adapters.clone.lock import hold
from taskdock.adapters.clone.orphans import end_orphans
from taskdock.core.errors import Transient

pytestmark = pytest.mark.anyio

SECONDS_MAX = 30.0

SLOW_SSH = """\
#!{python}
# Passes on what git-upload-pack says, stands still for ever once {bytes_max} bytes have gone through, and does not
# end when it is asked to.
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
command = sys.argv[-1].replace("'", "").split(" ")
upload = subprocess.Popen(["git", "upload-pack", command[1]], stdout=subprocess.PIPE, env={{**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}})
passed = 0
while passed < {bytes_max} and (piece := os.read(upload.stdout.fileno(), 4096)):
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    passed += len(piece)
if passed >= {bytes_max}:
    with open({started!r}, "w") as file:
        file.write(f"{{os.getpid()}} {{os.getppid()}} {{upload.pid}}")
    time.sleep(600)
"""

CLONER = """\
import anyio, sys
from pathlib import Path
from taskdock.adapters.clone.git import GitClones

async def ignore(sentence):
    pass

anyio.run(GitClones(Path(sys.argv[1])).clone, "repo-1", sys.argv[2], ignore)
"""


async def ignore(sentence: str) -> None:
    """Take progress and do nothing with it."""


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, within a bound."""
    with anyio.fail_after(SECONDS_MAX):
        while not condition():  # noqa: ASYNC110 - what other processes do raises no event here
            await anyio.sleep(0.01)


def is_running(pid: int) -> bool:
    """Tell whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_written(path: Path) -> bool:
    """Tell whether a file is there with something in it."""
    return path.exists() and path.stat().st_size > 0


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """Give a remote of two megabytes that do not compress."""
    return make_remote(tmp_path / "remote.git", {f"f{n}.bin": os.urandom(20_000) for n in range(100)})


def slow_variables(tmp_path: Path, bytes_max: int = 500_000) -> tuple[dict[str, str], Path]:
    """Give an environment whose ssh stands still after so many bytes, and the file in which it then names its pids."""
    started = tmp_path / "started"
    program = tmp_path / "slow-ssh"
    program.write_text(SLOW_SSH.format(python=sys.executable, bytes_max=bytes_max, started=str(started)))
    program.chmod(0o755)
    return {**os.environ, "GIT_SSH_COMMAND": str(program), "GIT_SSH_VARIANT": "simple"}, started


def start_cloner(root: Path, remote: str, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a process of its own that clones `remote` below `root`."""
    path = os.pathsep.join(part for part in sys.path if part)
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CLONER), str(root), remote],
        env={**variables, "PYTHONPATH": path},
        stderr=subprocess.DEVNULL,
    )


async def test_killed_in_the_middle_of_a_clone(remote: Path, tmp_path: Path) -> None:
    """After SIGKILL half-way the surviving git is ended, its half clone thrown away, and the next call finishes."""
    variables, started = slow_variables(tmp_path)
    child = start_cloner(tmp_path / "clones", f"host:{remote}", variables)
    await until(lambda: is_written(started))
    child.kill()
    child.wait()
    survivors = [int(pid) for pid in started.read_text().split()]
    # git itself may have ended meanwhile, if it wrote a last progress to whom is gone; these two write to nobody.
    connection, _, server = survivors
    assert is_running(connection)
    assert is_running(server)
    partial = tmp_path / "clones" / "repo-1.partial"
    assert partial.exists()
    made = await GitClones(tmp_path / "clones").clone("repo-1", str(remote), ignore)
    assert made.head == head_of(remote, "main")
    git(tmp_path / "clones" / "repo-1", "fsck", "--strict")
    assert not partial.exists()
    await until(lambda: not any(is_running(pid) for pid in survivors))


async def test_a_living_owner_is_waited_for(remote: Path, tmp_path: Path) -> None:
    """The git of a process that lives is never ended by another; the other gives up after its deadline."""
    variables, started = slow_variables(tmp_path)
    child = start_cloner(tmp_path / "clones", f"host:{remote}", variables)
    try:
        await until(lambda: is_written(started))
        pids = [int(pid) for pid in started.read_text().split()]
        impatient = GitClones(tmp_path / "clones", deadlines=Deadlines(lock_seconds=0.3))
        with pytest.raises(Transient, match="another job held the clone"):
            await impatient.clone("repo-1", str(remote), ignore)
        assert all(is_running(pid) for pid in pids)
    finally:
        child.kill()
        child.wait()
        end_orphans(tmp_path / "clones" / "repo-1.lock")
    await until(lambda: not any(is_running(pid) for pid in pids))


async def test_orphans_under_another_lock_are_left_alone(remote: Path, tmp_path: Path) -> None:
    """Looking for survivors of one clone does not touch those of another."""
    variables, started = slow_variables(tmp_path)
    child = start_cloner(tmp_path / "clones", f"host:{remote}", variables)
    await until(lambda: is_written(started))
    child.kill()
    child.wait()
    pids = [int(pid) for pid in started.read_text().split()]
    assert end_orphans(tmp_path / "clones" / "repo-2.lock") == 0
    assert all(is_running(pid) for pid in pids)
    assert end_orphans(tmp_path / "clones" / "repo-1.lock") >= 2
    await until(lambda: not any(is_running(pid) for pid in pids))


async def test_cancelled_clone_leaves_no_process(remote: Path, tmp_path: Path) -> None:
    """A cancelled clone ends git before the cancellation takes effect, kills all that git started, frees the lock."""
    variables, started = slow_variables(tmp_path)
    clones = GitClones(tmp_path / "clones", variables=variables)
    pids: list[int] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(clones.clone, "repo-1", f"host:{remote}", ignore)
        await until(lambda: is_written(started))
        pids += [int(pid) for pid in started.read_text().split()]
        tasks.cancel_scope.cancel()
    assert not is_running(pids[1])
    await until(lambda: not any(is_running(pid) for pid in pids))
    made = await GitClones(tmp_path / "clones").clone("repo-1", str(remote), ignore)
    assert made.trunk == "main"


@pytest.mark.parametrize("bytes_max", [1, 3_000, 1_000_000])
async def test_killed_again_and_again(remote: Path, tmp_path: Path, bytes_max: int) -> None:
    """Two kills at the same point of a transfer, early or late, still end in one whole clone."""
    variables, started = slow_variables(tmp_path, bytes_max)
    for _ in range(2):
        started.unlink(missing_ok=True)
        child = start_cloner(tmp_path / "clones", f"host:{remote}", variables)
        await until(lambda: is_written(started))
        child.kill()
        child.wait()
    made = await GitClones(tmp_path / "clones").clone("repo-1", str(remote), ignore)
    assert made.head == head_of(remote, "main")
    end_orphans(tmp_path / "clones" / "repo-1.lock")


async def test_helper_that_stays_in_the_background(remote: Path, tmp_path: Path) -> None:
    """An ssh master that keeps git's stderr and lock open for ever neither holds up a clone nor keeps the lock."""
    left = tmp_path / "left"
    program = tmp_path / "ssh"
    program.write_text(
        f"#!{sys.executable}\nimport os, subprocess, sys\n"
        f"master = subprocess.Popen(['sleep', '600'], close_fds=False, stdout=subprocess.DEVNULL)\n"
        f"open({str(left)!r}, 'w').write(str(master.pid))\n"
        f"os.execvp('sh', ['sh', '-c', sys.argv[-1]])\n"
    )
    program.chmod(0o755)
    variables = {**os.environ, "GIT_SSH_COMMAND": str(program), "GIT_SSH_VARIANT": "simple"}
    clones = GitClones(tmp_path / "clones", deadlines=Deadlines(lock_seconds=1.0), variables=variables)
    try:
        with anyio.fail_after(SECONDS_MAX):
            made = await clones.clone("repo-1", f"host:{remote}", ignore)
            assert await clones.clone("repo-1", f"host:{remote}", ignore) == made
        assert is_running(int(left.read_text()))
    finally:
        os.kill(int(left.read_text()), signal.SIGKILL)


async def test_lock_is_exclusive_and_fair_enough(tmp_path: Path) -> None:
    """Of many who want the lock one has it at a time, and everybody gets it."""
    inside: list[int] = []
    most: list[int] = []

    async def one(number: int) -> None:
        async with hold(tmp_path / "x.lock", SECONDS_MAX):
            inside.append(number)
            most.append(len(inside))
            await anyio.sleep(0.005)
            inside.remove(number)

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(one, number)
    assert most == [1] * 8


async def test_cancelled_waiting_leaves_the_lock_to_others(tmp_path: Path) -> None:
    """Who stops waiting for the lock does not get it later in secret."""
    path = tmp_path / "x.lock"
    async with hold(path, 1.0), anyio.create_task_group() as tasks:

        async def wait() -> None:
            async with hold(path, SECONDS_MAX):
                raise AssertionError("the lock was held by two")

        tasks.start_soon(wait)
        await anyio.sleep(0.05)
        tasks.cancel_scope.cancel()
    async with hold(path, 0.1):
        pass


@pytest.mark.parametrize(
    "name", ["refs/heads/main.lock", "packed-refs.lock", "refs/taskdock/task-1/base.lock", "config.lock"]
)
async def test_lock_files_of_a_killed_git_are_swept(remote: Path, tmp_path: Path, name: str) -> None:
    """What git left locked when it was killed does not stop the next writer, who holds our own lock."""
    clones = GitClones(tmp_path / "clones")
    await clones.clone("repo-1", str(remote), ignore)
    folder = clones.path("repo-1")
    left = folder / ".git" / name
    left.parent.mkdir(parents=True, exist_ok=True)
    left.touch()
    await clones.clone("repo-1", str(remote), ignore)
    await clones.checkout("repo-1", "task-1", "main")
    agent = work_copy(remote, tmp_path / "agent")
    work = commit_in(agent, {"work.txt": "work"})
    left.touch()
    taken = await clones.take_in("repo-1", "task-1", 1, "main", bundle_of(agent, tmp_path / "out.bundle"))
    assert (taken.head, taken.branch_moved) == (work, True)
    assert refs_of(folder)["refs/taskdock/task-1/1"] == work
