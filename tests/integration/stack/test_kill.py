"""Kills: SIGKILL at random instants, of a job's process alone and with all that it started."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from git_repos import git
from stack_fixture import STACKED, StackRepo, copy_stacks, make_stacks, require_git_spice
from taskdock.adapters.clone.environment import OWNER_VARIABLE
from taskdock.core.job_record import JobKind
from taskdock.testing.conformance.clone_repos import ENVIRONMENT

ROUNDS = int(os.environ.get("TASKDOCK_STACK_ROUNDS", "10"))
"""Per way of killing; `make soak` sets it."""
SEED = int(os.environ.get("TASKDOCK_SOAK_SEED") or 20261128)
KILLS_MAX = 2
"""So often at most is a restack killed; then it is left to end. An undo is killed once."""
FIRST_SECONDS_MAX = 0.3
"""No job is done sooner, so each is killed at least once."""
SECONDS_MAX = 120.0

CHILD = Path(__file__).resolve().parents[2] / "stack_job_child.py"


@pytest.fixture(scope="module")
def stale(tmp_path_factory: pytest.TempPathFactory) -> StackRepo:
    """Make a repository in which trunk has moved, and one branch of the larger stack clashes with it."""
    require_git_spice()
    repo = make_stacks(tmp_path_factory.mktemp("kills") / "template", bulk=3)
    repo.conflict_trunk("feat-c")
    return repo


def start(repo: StackRepo, number: int, *words: str) -> subprocess.Popen[str]:
    """Start a job in a process of its own, on one event loop and the other in turn."""
    backend = ("asyncio", "trio")[number % 2]
    order = [sys.executable, str(CHILD), backend, str(repo.root), *words]
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**ENVIRONMENT, "PYTHONPATH": paths}
    return subprocess.Popen(
        order,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def started_by(pid: int) -> list[int]:
    """Find every git and git-spice that works for a process, however far below it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        markers = [value for value in variables if value.startswith(f"{OWNER_VARIABLE}=".encode())]
        if markers and markers[0].split(b"/")[1] == str(pid).encode():
            found.append(int(entry.name))
    return found


def kill(child: subprocess.Popen[str], *, with_all: bool) -> None:
    """End a job's process at once, with all that it started or alone."""
    family = started_by(child.pid) if with_all else []
    child.kill()
    for pid in family:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    child.communicate(timeout=SECONDS_MAX)


def run_with_kills(repo: StackRepo, dice: random.Random, *words: str, kills_max: int, with_all: bool) -> int:
    """Run a job, killed at random instants, until it ends; gives how often it was killed."""
    instants = [dice.uniform(0.0, FIRST_SECONDS_MAX), *(dice.expovariate(1.0) for _ in range(kills_max - 1))]
    for kills, instant in enumerate([*instants, SECONDS_MAX]):
        child = start(repo, kills, *words)
        assert child.stdout is not None
        assert child.stdout.readline() == "began\n"
        try:
            output, errors = child.communicate(timeout=instant)
        except subprocess.TimeoutExpired:
            kill(child, with_all=with_all)
            continue
        assert (child.returncode, errors, output) == (0, "", "ended None\n")
        return kills
    raise AssertionError("a job that nobody kills any more must end")


@pytest.mark.skipif(not Path("/proc").exists(), reason="there is no /proc here to find a job's processes in")
@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("with_all", [False, True], ids=["alone", "with all its children"])
def test_killed_jobs_end_right(stale: StackRepo, tmp_path: Path, with_all: bool, number: int) -> None:
    """However often it was killed, a restack ends right, its undo is exact, and nothing is left of either."""
    dice = random.Random(f"{SEED} {number} {with_all}")  # noqa: S311 - instants, no secrets
    repo = copy_stacks(stale, tmp_path / "repo")
    heads, data = repo.heads(), repo.data()
    killed = run_with_kills(
        repo, dice, "job-1", JobKind.RESTACK_REPO.value, "", kills_max=KILLS_MAX, with_all=with_all
    )
    assert killed > 0
    moved = {name: parent for name, parent in STACKED.items() if name != "feat-c"}
    assert all(repo.contains(parent, name) for name, parent in moved.items())
    counts = {name: git(repo.clone, "rev-list", "--count", f"{on}..{name}") for name, on in moved.items()}
    assert set(counts.values()) == {"2"}
    assert repo.heads()["feat-c"] == heads["feat-c"]
    assert repo.disorder() == []
    run_with_kills(repo, dice, "job-2", JobKind.UNDO.value, "job-1", kills_max=1, with_all=with_all)
    assert (repo.heads(), repo.data(), repo.disorder()) == (heads, data, [])
    assert len(git(repo.clone, "worktree", "list").splitlines()) == 1
