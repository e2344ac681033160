"""Clone: one clone on disk, as refs that are read and moved by compare-and-set.

Owns: every git command that reads or writes refs and objects of a clone.
Never: a network call, a checkout, or a ref that moves without saying from where (our own `refs/taskdock/` excepted).
Reads as: git.py, intake.py -> this -> process.py.
"""

from pathlib import Path

from attrs import frozen

from taskdock.adapters.clone.disk import on_disk
from taskdock.adapters.clone.failures import LOCAL, STALE_LOCK, failure
from taskdock.adapters.clone.lock import RepoLock
from taskdock.adapters.clone.process import GitCall, GitProcesses, GitResult
from taskdock.adapters.clone.refs import BRANCHES, ZERO, TaskRefs, task_prefix
from taskdock.core.errors import InvariantViolated, PortError


@frozen
class Clone:
    """A clone at `folder`; without a lock only what reads may be called."""

    processes: GitProcesses
    folder: Path
    timeout_seconds: float
    lock: RepoLock | None = None

    async def git(
        self, *arguments: str, stdin: bytes = b"", timeout_seconds: float | None = None
    ) -> GitResult:
        """Run a local git on this clone; any exit code is a result. `timeout_seconds` replaces the usual one."""
        # Both paths are named, so that a missing clone never lets git find a repository further up.
        place = (f"--git-dir={self.folder / '.git'}", f"--work-tree={self.folder}")
        seconds = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        call = GitCall(arguments=(*place, *arguments), stdin=stdin, timeout_seconds=seconds)
        return await self.processes.run(call, self.lock)

    async def ask(
        self, doing: str, *arguments: str, stdin: bytes = b"", timeout_seconds: float | None = None
    ) -> str:
        """Run a local git that must succeed; gives its stdout without the last line end."""
        result = await self.git(*arguments, stdin=stdin, timeout_seconds=timeout_seconds)
        if result.exit_code != 0:
            raise self.failed(result, doing)
        return result.text.rstrip("\n")

    def failed(self, result: GitResult, doing: str) -> PortError:
        """Give the error that this result is."""
        return failure(result.exit_code, result.stderr, doing, rows=LOCAL)

    async def refs(self, prefix: str) -> dict[str, str]:
        """Every plain ref below `prefix` (which ends in a slash): name without the prefix -> commit, sorted by name."""
        form = "--format=%(refname) %(objectname) %(symref)"
        listing = await self.ask("reading the refs of the clone", "for-each-ref", form, "--", prefix)
        rows = (line.split(" ") for line in listing.splitlines())
        return {name.removeprefix(prefix): commit for name, commit, symref in rows if not symref}

    async def task_refs(self, task_id: str) -> TaskRefs:
        """Read what the clone keeps for a task."""
        return TaskRefs(task_id=task_id, values=await self.refs(task_prefix(task_id)))

    async def resolve(self, revision: str) -> str | None:
        """Find the commit that a full ref name or a hexadecimal id stands for (tags are followed), or None."""
        result = await self.git(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
        )
        return result.text.strip() if result.exit_code == 0 else None

    async def contains(self, ancestor: str, head: str) -> bool:
        """Tell whether `head` has `ancestor` in its history (a commit has itself)."""
        result = await self.git("merge-base", "--is-ancestor", ancestor, head)
        if result.exit_code not in {0, 1}:
            raise self.failed(result, "comparing two commits of the clone")
        return result.exit_code == 0

    async def has_had(self, branch: str, head: str) -> bool:
        """Tell whether the branch ever stood at `head`, or at a commit with `head` in its history, by its reflog.

        A branch that was rebased does not contain the head that the remote has of it; but it once stood there, so
        nothing of the remote's is unknown to it.
        """
        stood = await self.git("log", "--walk-reflogs", "--format=%H", BRANCHES + branch, "--")
        if stood.exit_code != 0:
            return False
        stdin = "\n".join((head, *(f"^{commit}" for commit in stood.text.split()))).encode()
        missing = await self.ask(
            "comparing a branch with the remote's",
            "rev-list",
            "--ignore-missing",
            "--max-count=1",
            "--stdin",
            stdin=stdin,
        )
        return not missing

    async def transact(self, note: str, orders: str) -> GitResult:
        """Move refs by compare-and-set, all or none: `orders` as for `git update-ref -z --stdin`, any result."""
        stdin = f"start\0{orders}prepare\0commit\0".encode()
        return await self._write("update-ref", "-m", note, "-z", "--stdin", stdin=stdin)

    async def put(self, doing: str, refs: dict[str, str]) -> None:
        """Set refs of our own wherever they stood; idempotent."""
        orders = "".join(f"update {ref}\0{commit}\0\0" for ref, commit in refs.items())
        result = await self._write("update-ref", "-z", "--stdin", stdin=orders.encode())
        if result.exit_code != 0:
            raise self.failed(result, doing)

    async def move(self, ref: str, new: str, expected: str) -> bool:
        """Set a ref if it stands at `expected` (zeros: does not exist). False when it stands elsewhere, or cannot exist.

        True as well when it stands at `new` already: whoever put it there, there it is.
        """
        result = await self._write("update-ref", "-m", "taskdock", ref, new, expected)
        if result.exit_code == 0:
            return True
        now = await self.resolve(ref)
        if now == new:
            return True
        if (now or ZERO) != expected or await self._is_in_the_way(ref):
            return False
        raise self.failed(result, f"moving {ref}")

    async def _is_in_the_way(self, ref: str) -> bool:
        """Tell whether another branch makes this name impossible (`a` beside `a/b`)."""
        name = ref.removeprefix(BRANCHES)
        others = await self.refs(BRANCHES)
        return any(other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in others)

    async def configure(self, *arguments: str, allowed: tuple[int, ...] = (0,)) -> None:
        """Write the clone's own config: `arguments` as for `git config --local`."""
        result = await self._write("config", "--local", *arguments)
        if result.exit_code not in allowed:
            raise self.failed(result, "writing the config of the clone")

    async def _write(self, *arguments: str, stdin: bytes = b"") -> GitResult:
        """Write refs; a lock file that a killed git left behind is taken away once, since ours excludes a live one."""
        if self.lock is None:
            raise InvariantViolated("refs are written under the lock of the clone only")
        result = await self.git(*arguments, stdin=stdin)
        if result.exit_code != 0 and STALE_LOCK.search(result.stderr):
            await on_disk(sweep_locks, self.folder / ".git")
            result = await self.git(*arguments, stdin=stdin)
        return result


def sweep_locks(git_dir: Path) -> list[str]:
    """Take away the lock files that killed gits left behind; gives their names. Only under our lock."""
    swept = sorted((*git_dir.glob("*.lock"), *(git_dir / "refs").rglob("*.lock")))
    for lock in swept:
        lock.unlink(missing_ok=True)
    return [lock.relative_to(git_dir).as_posix() for lock in swept]
