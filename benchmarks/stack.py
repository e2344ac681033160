"""Stack: what repo jobs cost on a repo with many branches, and what a look at its branches costs while there is much else.

Owns: the rows `stack_*` and `overview_*`.
Never: a stand-in for git or git-spice; where no git-spice was built, only the rows that plain git brings.
Reads as: run.py -> `rows` -> adapters/clone/stack, store reads.
"""

import statistics
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from attrs import frozen

import world
from measure import Row, Size, percentile
from taskdock.adapters.clone.git import GitClones
from taskdock.adapters.clone.stack.jobs import GitStackJobs
from taskdock.core import inputs
from taskdock.core.branches import Branches
from taskdock.core.change import Change
from taskdock.core.job import CANCELLED, Job
from taskdock.core.job_record import BranchSeen, JobKind
from taskdock.core.values import repo_id
from taskdock.ports.stack import JobOrder
from taskdock.ports.store import Commit
from taskdock.services.workbench import DEFAULT_WORKSPACE

GIT_SPICE = Path(__file__).resolve().parents[1] / ".tools/git-spice"
_REPO = "repo-0123456789abcdef"
_STACK = 10
"""So many branches stand on top of each other."""
_TURNS = 3


async def rows(folder: Path, size: Size) -> list[Row]:
    """Jobs on a repo with many branches, and the overview with few and with many jobs and tasks beside it."""
    return [*await _jobs(folder, size.branches), *await _overview(folder, size)]


async def _jobs(folder: Path, count: int) -> list[Row]:
    remote = folder / "remote.git"
    _make(remote, count)
    clones = GitClones(folder / "clones")
    await clones.clone(_REPO, str(remote), _heard)
    _take_in(clones.path(_REPO), count)
    runner = _Runner(GitStackJobs(clones, tool_path=GIT_SPICE))
    found = [Row(f"stack_sync_{count}_branches", await runner.seconds(JobKind.SYNC_REPO), "s")]
    if not GIT_SPICE.exists():
        return found
    # The first job tells git-spice of every branch, once in the life of a clone.
    found.append(Row(f"stack_first_{count}_branches", await runner.once(JobKind.RESTACK_REPO), "s"))
    found.append(Row(f"stack_no_op_{count}_branches", await runner.seconds(JobKind.RESTACK_REPO), "s"))
    _advance(remote)
    found.append(Row(f"stack_restack_{count}_branches", await runner.once(JobKind.RESTACK_REPO), "s"))
    return found


class _Runner:
    """Runs jobs, one after the other, and none may fail."""

    def __init__(self, jobs: GitStackJobs) -> None:
        self._jobs = jobs
        self._number = 0

    async def once(self, kind: JobKind) -> float:
        """Run one; the seconds it took."""
        self._number += 1
        began = time.perf_counter()
        end = await self._jobs.run(JobOrder(f"job-{self._number}", _REPO, kind), _Heard())
        assert end.failure is None, end.failure
        return time.perf_counter() - began

    async def seconds(self, kind: JobKind) -> float:
        """Run several; the seconds that the best of them took."""
        return min([await self.once(kind) for _ in range(_TURNS)])


class _Heard:
    """A report that nobody waits for."""

    async def checkpoint(self, step: str, done: int = 0, of: int = 0) -> None:
        """Go on."""

    async def progress(self, sentence: str) -> None:
        """Go on."""


async def _heard(_sentence: str) -> None:
    """Go on."""


def _make(remote: Path, count: int) -> None:
    """A remote with trunk and stacks of branches, each with one commit in a file of its own."""
    _git(remote.parent, "init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    who = "committer Ada <ada@example.org> 1700000000 +0000\ndata 2\nx\n"
    text = [f"commit refs/heads/main\nmark :1\n{who}M 644 inline trunk.txt\ndata 2\n1\n"]
    for number in range(count):
        mark, below = number + 2, 1 if number % _STACK == 0 else number + 1
        text.append(
            f"commit refs/heads/{_name(number)}\nmark :{mark}\n{who}from :{below}\n"
            f"M 644 inline file-{number}.txt\ndata 2\n1\n"
        )
    _git(remote, "fast-import", "--quiet", stdin="".join(text))


def _take_in(clone: Path, count: int) -> None:
    """Have the clone know every branch, and what is stacked on what, as jobs that register them would leave it."""
    for number in range(count):
        below = "main" if number % _STACK == 0 else _name(number - 1)
        _git(clone, "config", f"taskdock-stack.{_name(number)}.parent", below)
    orders = (f"create refs/heads/{name} refs/remotes/origin/{name}\n" for name in map(_name, range(count)))
    _git(clone, "update-ref", "--stdin", stdin="".join(orders))


def _advance(remote: Path) -> None:
    """Trunk moves."""
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    commit = _git(remote, *who, "commit-tree", "-p", "main", "-m", "trunk moves", "main^{tree}").strip()
    _git(remote, "update-ref", "refs/heads/main", commit)


def _name(number: int) -> str:
    return f"stack-{number // _STACK}/branch-{number % _STACK}"


def _git(folder: Path, *words: str, stdin: str = "") -> str:
    return subprocess.run(
        ("git", "-C", str(folder), *words), input=stdin, capture_output=True, text=True, check=True
    ).stdout


@frozen
class _Overview:
    """One store, and the look at its repo's branches."""

    here: world.World
    repo: str

    async def read(self, count: int) -> list[float]:
        """The milliseconds of so many looks."""
        taken = []
        for _ in range(count):
            began = time.perf_counter()
            await self.here.store.snapshot(DEFAULT_WORKSPACE, self.repo)
            taken.append((time.perf_counter() - began) * 1_000)
        return taken

    async def cost(self, count: int) -> float:
        """The CPU time of so many looks."""
        began = time.process_time()
        await self.read(count)
        return time.process_time() - began


async def _overview(folder: Path, size: Size) -> list[Row]:
    """A look at many branches, and what it costs beside many jobs and tasks against few of them."""
    few, many = max(1, size.stored[0] // 100), size.stored[0]
    repo = repo_id(DEFAULT_WORKSPACE, world.REMOTE)
    async with world.opened(folder / "few.db") as one, world.opened(folder / "many.db") as other:
        for here, count in ((one, few), (other, many)):
            await here.fill(count)
            await _end_jobs(here, repo, count)
            await _see(here, repo, size.branches)
        small, large = _Overview(one, repo), _Overview(other, repo)
        await small.cost(size.operations)
        await large.cost(size.operations)
        pairs = [
            (await small.cost(size.operations), await large.cost(size.operations)) for _ in range(_TURNS)
        ]
        taken = await large.read(size.operations)
    return [
        Row(f"overview_of_{size.branches}_branches_p50", percentile(taken, 0.5), "ms"),
        Row("overview_growth", statistics.median(many / few for few, many in pairs), "times", 1.2),
    ]


async def _end_jobs(here: world.World, repo: str, count: int) -> None:
    """So many jobs that are over."""
    for number in range(count):
        await here.stepper.apply(repo, inputs.RequestJob(f"job-{number}", JobKind.SYNC_REPO))
        job = next(one for one in (await here.store.load(repo)).records if isinstance(one, Job))
        if job.at != CANCELLED:
            await here.stepper.apply(repo, inputs.CancelJob(job.id))


async def _see(here: world.World, repo: str, count: int) -> None:
    """A look at the clone has brought so many branches."""
    slice_ = await here.store.load(repo)
    seen = tuple(
        BranchSeen(_name(number), f"{number:040x}", is_tracked=True, ahead=1) for number in range(count)
    )
    branches = Branches(repo, seen, "0" * 40, datetime.now(UTC))
    change = Change(repo, slice_.workspace, slice_.version, runs=slice_.runs, records=(branches,))
    await here.store.commit(Commit((change,)))
