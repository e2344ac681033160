"""Git: the service's clones, kept with the git of this host.

Owns: `GitClones`, the folder layout below its root, and how a clone is made, finished and described.
Never: a finished clone replaced, or removed without the proof (removal.py) that no work in it is nowhere else.
Reads as: services -> the clone port -> this -> clone.py, intake.py, removal.py, process.py.

    <root>/<repo id>/              the clone: every branch of the remote, a work tree detached at its trunk
    <root>/<repo id>.partial/      one being made; renamed into place when it is whole, made anew when it is not
    <root>/<repo id>.lock          the flock that every writer of the clone holds
    <root>/<repo id>.credentials   the password of the remote, for git's own credential store (mode 0600)
    <root>/.bundles/               bundles on their way into a sandbox
    <root>/.removed/               clones that were taken away, being emptied
"""

import os
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from attrs import frozen

from taskdock.adapters.clone import intake, removal
from taskdock.adapters.clone.clone import Clone
from taskdock.adapters.clone.disk import on_disk
from taskdock.adapters.clone.failures import NETWORK, failure
from taskdock.adapters.clone.lock import RepoLock, hold
from taskdock.adapters.clone.process import GitCall, GitProcesses
from taskdock.adapters.clone.progress import CloneProgress
from taskdock.adapters.clone.refs import (
    BRANCHES,
    REMOTE,
    TASKS,
    ZERO,
    TaskRefs,
    checked_branch,
    checked_id,
    is_branch_name,
)
from taskdock.adapters.clone.remote import Remote
from taskdock.core.errors import Foreign, Permanent, PortError
from taskdock.ports.clone import Checkout, Cloned, Progress, TakenIn

GIT_VERSION_MIN = (2, 38)

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_ORIGIN_HEAD = f"{REMOTE}HEAD"
_USUAL_TRUNKS = ("main", "master")
_PARTIAL = ".partial"
_BUNDLE_SECONDS_MAX = 24 * 3600


@frozen
class Deadlines:
    """How long each kind of work may take before it is ended and reported as `Transient`."""

    clone_seconds: float = 3600.0
    bundle_seconds: float = 600.0
    call_seconds: float = 60.0
    lock_seconds: float = 120.0


class GitClones:
    """Implements `CloneStore` below `root`; `variables` is the environment from which git gets what it may see."""

    def __init__(
        self, root: Path, *, deadlines: Deadlines | None = None, variables: Mapping[str, str] = os.environ
    ) -> None:
        self._root = root.absolute()
        self._deadlines = deadlines or Deadlines()
        self._processes = GitProcesses(variables)
        self._is_ready = False

    def path(self, repo_id: str) -> Path:
        """Where the clone is on this host, whether it was made yet or not."""
        return self._root / checked_id(repo_id, "repo id")

    async def version(self) -> str:
        """What git on this host calls itself, e.g. `git version 2.39.5`; `Permanent` when it is older than 2.38."""
        call = GitCall(arguments=("version",), timeout_seconds=self._deadlines.call_seconds)
        said = (await self._processes.run(call)).text
        found = re.search(r"(\d+)\.(\d+)", said)
        if found is None or (int(found[1]), int(found[2])) < GIT_VERSION_MIN:
            version = found[0] if found else "of unknown version"
            raise Permanent(f"git {version} is too old; install git 2.38 or newer")
        return said.strip()

    async def clone(self, repo_id: str, remote: str, progress: Progress) -> Cloned:
        """Make the clone, or describe the one that is there; see `CloneStore.clone`.

        A finished clone is not fetched again. Its remote and credentials are set to those of `remote`.
        """
        source = Remote.parse(remote)
        folder = self.path(repo_id)
        await self._ready()
        async with self._hold(repo_id) as lock:
            clone = self._clone_at(folder, lock)
            if not await on_disk((folder / ".git").exists):
                await self._make(folder, source, lock, progress)
            else:
                await self._point(clone, source)
            trunk = await _trunk(clone)
            return Cloned(trunk=trunk, head=await _must_resolve(clone, REMOTE + trunk))

    async def branch_heads(self, repo_id: str) -> dict[str, str]:
        """Every branch; where the two differ, the clone's head if it came from the remote's, rebased or not, else that."""
        clone = await self._existing(repo_id)
        remote = await clone.refs(REMOTE)
        own = await clone.refs(BRANCHES)
        ahead = {
            name: head for name, head in own.items() if await _is_ahead(clone, name, head, remote.get(name))
        }
        return dict(sorted((remote | ahead).items()))

    async def checkout(self, repo_id: str, task_id: str, base: str) -> Checkout:
        """Pin the base once and bundle where the task stands; see `CloneStore.checkout`.

        `base` is the name of a branch (as `branch_heads` shows it), of a tag, or a commit of at least 7 digits. The
        bundle also holds `refs/taskdock/<task>/base`, and `<ref>-dirty` when uncommitted work was collected.
        """
        clone = await self._existing(repo_id)
        refs = await clone.task_refs(task_id)
        if refs.base is None:
            refs = await self._pin(repo_id, refs, base)
        names = await _names_to_bundle(clone, refs)
        bundle = await on_disk(_new_bundle, self._root / ".bundles")
        try:
            order = ("bundle", "create", "--quiet", str(bundle), *names)
            await clone.ask("bundling the code", *order, timeout_seconds=self._deadlines.bundle_seconds)
            listing = await clone.ask("bundling the code", "bundle", "list-heads", str(bundle))
        except BaseException:
            bundle.unlink(missing_ok=True)
            raise
        # What the bundle says, not what the ref said before: it may have moved in between.
        heads = {ref: commit for commit, _, ref in (line.partition(" ") for line in listing.splitlines())}
        return Checkout(bundle=bundle, head=heads[names[0]], ref=names[0])

    async def take_in(
        self, repo_id: str, task_id: str, generation: int, branch: str, bundle: Path | None
    ) -> TakenIn:
        """Take in what a sandbox brought; see `CloneStore.take_in`, and intake.py for what is kept where.

        The head in the answer is where the task stands now, None while it never made a commit.
        """
        checked_branch(branch)
        folder = (await self._existing(repo_id)).folder
        async with self._hold(repo_id) as lock:
            clone = self._clone_at(folder, lock, self._deadlines.bundle_seconds)
            return await intake.take_in(clone, task_id, generation, branch, bundle)

    async def known_heads(self, repo_id: str, task_id: str) -> tuple[str, ...]:
        """Every commit that the clone keeps for the task, sorted; empty before its first checkout."""
        clone = await self._existing(repo_id)
        return (await clone.task_refs(task_id)).known

    async def tasks_with_work(self, repo_id: str) -> tuple[str, ...]:
        """Every task of which the clone keeps more than where it started, sorted; none without a clone."""
        folder = self.path(repo_id)
        if not await on_disk((folder / ".git").exists):
            return ()
        refs = await self._clone_at(folder).refs(TASKS)
        kept = (ref.partition("/") for ref in refs)
        return tuple(sorted({task_id for task_id, _, name in kept if name != "base"}))

    async def remove(self, repo_id: str, begin: Callable[[], Awaitable[None]]) -> None:
        """Take the clone away if nothing in it is nowhere else; see `CloneStore.remove`, and removal.py for the proof."""
        folder = self.path(repo_id)
        await self._ready()
        async with self._hold(repo_id) as lock:
            if await on_disk((folder / ".git").exists):
                await removal.demand_all_elsewhere(
                    self._clone_at(folder, lock, self._deadlines.bundle_seconds)
                )
            elif await on_disk(folder.exists):
                raise _foreign(folder)
            await begin()
            await on_disk(removal.take_away, folder)
            await on_disk(_remove, folder.with_name(folder.name + _PARTIAL))
            await on_disk(_write_private, _credentials_path(folder), None)

    @asynccontextmanager
    async def locked(self, repo_id: str, wait_seconds: float) -> AsyncIterator[Clone]:
        """Open the clone for a writer, under its lock; `Transient` when that is held for longer, `Permanent` without one."""
        folder = (await self._existing(repo_id)).folder
        async with hold(self._root / f"{repo_id}.lock", wait_seconds) as lock:
            yield self._clone_at(folder, lock)

    @property
    def processes(self) -> GitProcesses:
        """What runs the gits of these clones."""
        return self._processes

    def _hold(self, repo_id: str) -> AbstractAsyncContextManager[RepoLock]:
        return hold(self._root / f"{repo_id}.lock", self._deadlines.lock_seconds)

    def _clone_at(
        self, folder: Path, lock: RepoLock | None = None, timeout_seconds: float | None = None
    ) -> Clone:
        seconds = self._deadlines.call_seconds if timeout_seconds is None else timeout_seconds
        return Clone(processes=self._processes, folder=folder, timeout_seconds=seconds, lock=lock)

    async def _existing(self, repo_id: str) -> Clone:
        folder = self.path(repo_id)
        await self._ready()
        if not await on_disk((folder / ".git").exists):
            raise Permanent(f"there is no clone of {repo_id} on this host; retry the repo, then it is made")
        return self._clone_at(folder)

    async def _ready(self) -> None:
        """Make the root and look at the version of git, once."""
        if self._is_ready:
            return
        await on_disk(_make_private, self._root)
        await self.version()
        self._is_ready = True

    async def _make(self, folder: Path, source: Remote, lock: RepoLock, progress: Progress) -> None:
        if await on_disk(folder.exists):
            raise _foreign(folder)
        await on_disk(removal.sweep, folder)
        partial = folder.with_name(folder.name + _PARTIAL)
        await on_disk(_remove, partial)
        try:
            await self._fill(partial, source, lock, progress)
        except PortError:
            await on_disk(_remove, partial)
            raise
        await on_disk(partial.rename, folder)

    async def _fill(self, partial: Path, source: Remote, lock: RepoLock, progress: Progress) -> None:
        """Clone into `partial` and detach its work tree at the trunk."""
        seconds = self._deadlines.clone_seconds
        clone = self._clone_at(partial, lock)
        credentials = _credentials_path(partial)
        await on_disk(_write_private, credentials, source.credentials)
        helpers = (
            part for value in _helpers(credentials, source) for part in ("-c", f"credential.helper={value}")
        )
        options = (
            "--progress",
            "--no-checkout",
            "--origin=origin",
            "--template=",
            "--reject-shallow",
            "--no-local",
        )
        call = GitCall(
            arguments=(*helpers, "clone", *options, "--", source.url, str(partial)),
            timeout_seconds=seconds,
            doing=f"cloning {source.url}",
            network=True,
            redact=source.redact,
        )
        result = await self._processes.run(call, lock, CloneProgress(progress))
        if result.exit_code != 0:
            raise failure(result.exit_code, result.stderr, call.doing, rows=NETWORK, redact=source.redact)
        await self._point(clone, source)
        trunk = await _trunk(clone)
        await clone.move(BRANCHES + trunk, await _must_resolve(clone, REMOTE + trunk), ZERO)
        order = ("checkout", "--quiet", "--force", "--detach", REMOTE + trunk)
        await clone.ask("filling the work tree of the clone", *order, timeout_seconds=seconds)

    async def _point(self, clone: Clone, source: Remote) -> None:
        """Make fetches of the clone use this address and these credentials."""
        credentials = _credentials_path(clone.folder)
        await on_disk(_write_private, credentials, source.credentials)
        await clone.configure("--replace-all", "remote.origin.url", source.url)
        await clone.configure("--unset-all", "credential.helper", allowed=(0, 5))
        for value in _helpers(credentials, source):
            await clone.configure("--add", "credential.helper", value)

    async def _pin(self, repo_id: str, refs: TaskRefs, base: str) -> TaskRefs:
        """Set the task's base by compare-and-set; whoever was first wins, and everybody reads what he set."""
        async with self._hold(repo_id) as lock:
            clone = self._clone_at(self.path(repo_id), lock)
            await clone.move(refs.name("base"), await _resolve_base(clone, base), ZERO)
            return await clone.task_refs(refs.task_id)


async def _trunk(clone: Clone) -> str:
    """Read the remote's default branch; a remote whose HEAD names no branch gets its only one, or one of the usual names."""
    result = await clone.git("symbolic-ref", "--quiet", _ORIGIN_HEAD)
    named = result.text.strip()
    if named.startswith(REMOTE) and await clone.resolve(named) is not None:
        return named.removeprefix(REMOTE)
    branches = list(await clone.refs(REMOTE))
    if not branches:
        raise Permanent("the remote is empty: push a first commit to it, then retry")
    usual = [name for name in _USUAL_TRUNKS if name in branches]
    if len(branches) > 1 and not usual:
        raise Permanent("the remote's HEAD names no branch: set its default branch, then retry")
    trunk = usual[0] if usual else branches[0]
    await clone.ask("noting the trunk of the clone", "symbolic-ref", _ORIGIN_HEAD, REMOTE + trunk)
    return trunk


async def _must_resolve(clone: Clone, ref: str) -> str:
    commit = await clone.resolve(ref)
    if commit is None:
        raise Permanent(f"the clone has no commit at {ref}")
    return commit


async def _resolve_base(clone: Clone, base: str) -> str:
    """Turn what a user called the base into a commit: a branch, else a tag, else a commit; no other syntax of git."""
    if is_branch_name(base):
        remote, own = await clone.resolve(REMOTE + base), await clone.resolve(BRANCHES + base)
        branch = own if own is not None and await _is_ahead(clone, base, own, remote) else remote
        if found := branch or await clone.resolve(f"refs/tags/{base}"):
            return found
    if _COMMIT.fullmatch(base) and (commit := await clone.resolve(base)):
        return commit
    raise Permanent(f"the clone has no branch, tag or commit {base[:80]!r}; sync the repo if it is new")


async def _is_ahead(clone: Clone, name: str, own: str, remote: str | None) -> bool:
    """Tell whether the clone's own head counts: the remote has no such branch, or its head is, or was, in ours."""
    if remote is None or await clone.contains(remote, own):
        return own != remote
    return not await clone.contains(own, remote) and await clone.has_had(name, remote)


async def _names_to_bundle(clone: Clone, refs: TaskRefs) -> tuple[str, ...]:
    """Name the refs a sandbox needs, first the one where the task stands."""
    standing = "base" if refs.generation is None else str(refs.generation)
    names = [standing] if standing == "base" else [standing, "base"]
    dirty = refs.uncommitted
    if dirty is not None and await clone.resolve(f"{refs.name(dirty)}^1") == refs.values[standing]:
        names.append(dirty)
    return tuple(refs.name(name) for name in names)


def _credentials_path(folder: Path) -> Path:
    """Beside the clone, and the same while it is still being made: its config names this path."""
    return folder.with_name(f"{folder.name.removesuffix(_PARTIAL)}.credentials")


def _helpers(credentials: Path, source: Remote) -> tuple[str, ...]:
    """Say what to put into credential.helper: nothing but ours when the address brought a password, else the user's own."""
    if source.credentials is None:
        return ()
    return ("", f"store --file={shlex.quote(str(credentials))}")


def _write_private(path: Path, line: str | None) -> None:
    if line is None:
        path.unlink(missing_ok=True)
        return
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".credentials-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{line}\n")
    Path(name).replace(path)


def _foreign(folder: Path) -> Foreign:
    return Foreign(f"{folder} holds something that is no clone; it was left untouched, move it away")


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _new_bundle(folder: Path) -> Path:
    """Make a free name for a bundle; those that a crash left behind are taken away after a day."""
    _make_private(folder)
    oldest = time.time() - _BUNDLE_SECONDS_MAX
    for left in folder.iterdir():
        if left.stat().st_mtime < oldest:
            left.unlink(missing_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, suffix=".bundle")
    os.close(descriptor)
    return Path(name)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
