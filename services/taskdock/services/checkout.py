"""Checkout: how code gets into a sandbox and work comes out of it, as git bundles, the same way for every provider.

Owns: every git that Taskdock runs inside a sandbox: making the checkout, collecting commits and uncommitted work.
Never: a remote or a credential inside; a finished checkout touched; the agent's index, branch or files moved.
Reads as: executors/{create_sandbox,collect_work}.py -> this -> SandboxAccess (put_files, exec, get_file).

The checkout is made beside its final place: git's folder is called `.git-taskdock` until everything is there, and `mv`
to `.git` is the last step. So `.git` proves a finished checkout, `.git-taskdock` a half-made one, and files with
neither belong to somebody and stop us. Uncommitted work comes out as a commit on top of HEAD under `refs/taskdock/dirty`;
its id depends on nothing but HEAD and the files, so the same work collected twice is nothing new.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from anyio import to_thread
from attrs import frozen

from taskdock.core.errors import Permanent, Transient
from taskdock.ports.clone import Checkout
from taskdock.ports.sandbox import Exec, ExecResult, ProgramFile, SandboxAccess, SandboxRef

FILES_NAMED_MAX = 20

_CHECKOUT = "checkout"
_GIT = ".git"
_HALF = ".git-taskdock"
_BUNDLE_IN = ".taskdock/checkout.bundle"
_BUNDLE_OUT = f"{_GIT}/taskdock-out.bundle"
_INDEX = f"{_GIT}/taskdock-index"
_START = "refs/taskdock/start"
_BASE = "refs/taskdock/base"
_DIRTY = "refs/taskdock/dirty"
_STASH = "refs/stash"

_SLOW_SECONDS = 300.0
_TAIL_BYTES = 4_000
_SUBMODULE_MODE = "160000"
_SAFE_OPTIONS = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "submodule.recurse=false"),
)
# Fixed, so that equal work gives an equal commit.
_AUTHOR = {
    "GIT_AUTHOR_NAME": "Taskdock",
    "GIT_AUTHOR_EMAIL": "taskdock@localhost",
    "GIT_AUTHOR_DATE": "@0 +0000",
    "GIT_COMMITTER_NAME": "Taskdock",
    "GIT_COMMITTER_EMAIL": "taskdock@localhost",
    "GIT_COMMITTER_DATE": "@0 +0000",
}


@frozen
class Identity:
    """Who commits in the checkout, written into its own config."""

    name: str
    email: str


async def check_out(
    access: SandboxAccess, ref: SandboxRef, checkout: Checkout, branch: str, identity: Identity | None = None
) -> None:
    """Make the checkout stand at `checkout.head` on `branch`, with the uncommitted work that the bundle brings.

    Idempotent: a finished checkout is left alone whatever it stands at, a half-made one is begun anew. `Permanent` when
    the folder holds files of somebody else's, when the bundle is not what it says, or when there is no git inside.
    """
    inside = _Inside(access, ref, _HALF)
    found = await inside.folder()
    if _GIT not in found:
        await inside.clear(found)
        await access.put_files(ref, [ProgramFile(path=_BUNDLE_IN, host_path=checkout.bundle)])
        await _fill(inside, checkout, branch, identity)
        await inside.run("mv", f"{_CHECKOUT}/{_HALF}", f"{_CHECKOUT}/{_GIT}", cwd=".")
    await inside.run("rm", "-f", _BUNDLE_IN, cwd=".")


async def bundle_out(
    access: SandboxAccess, ref: SandboxRef, known_heads: Sequence[str], *, into: Path | None = None
) -> Path | None:
    """Bring out HEAD, all branches, the stash and the uncommitted work, as far as `known_heads` do not hold it.

    Gives a new file in `into` (the system's temporary folder when None) that the caller deletes, or None when there is
    nothing new. Changes nothing that the agent sees but `refs/taskdock/dirty`. `Permanent` when there is no checkout or
    its git does not answer: then nothing was collected.
    """
    inside = _Inside(access, ref, _GIT)
    await inside.run("rm", "-f", _INDEX, f"{_INDEX}.lock", _BUNDLE_OUT, f"{_BUNDLE_OUT}.lock")
    head = await inside.commit("HEAD")
    if head is None and _GIT not in await inside.folder():
        raise Permanent(
            "the checkout in the sandbox has no git repository any more; its files were left as they are"
        )
    wanted = ["--branches"] if head is None else ["HEAD", "--branches"]
    if head is not None and await _note_uncommitted(inside):
        wanted.append(_DIRTY)
    if await inside.commit(_STASH) is not None:
        wanted.append(_STASH)
    excluded = "".join(f"^{commit}\n" for commit in await inside.existing(known_heads)).encode()
    result = await inside.try_git("bundle", "create", _BUNDLE_OUT, *wanted, "--stdin", stdin=excluded)
    if result.exit_code != 0 and b"empty bundle" in result.stderr:
        return None
    _must(result, "bundling the work")
    content = await access.get_file(ref, f"{_CHECKOUT}/{_BUNDLE_OUT}")
    await inside.run("rm", "-f", _BUNDLE_OUT)
    return await to_thread.run_sync(_written, content, into)


async def files_kept(access: SandboxAccess, ref: SandboxRef) -> int:
    """Count the files whose uncommitted changes `bundle_out` brought out; to be asked after it."""
    inside = _Inside(access, ref, _GIT)
    if await inside.commit("HEAD") is None or await inside.commit(_DIRTY) is None:
        return 0
    listing = await inside.git("diff-tree", "-r", "-z", "--name-only", "--no-renames", "HEAD", _DIRTY)
    return listing.count("\0")


async def uncommitted_files(access: SandboxAccess, ref: SandboxRef) -> tuple[str, ...]:
    """Name up to 20 files whose content is in no commit that `bundle_out` brought out, so they are in the sandbox alone.

    To be asked after `bundle_out`: what was not readable, what changed since, and repositories inside the checkout,
    whose content git does not take along. Ignored files do not count.
    """
    inside = _Inside(access, ref, _GIT)
    index = {"GIT_INDEX_FILE": _INDEX} if await inside.exists(_INDEX) else {}
    options = ("--porcelain=v2", "-z", "--untracked-files=all", "--no-renames")
    listing = await inside.git("status", *options, env=index)
    names = [name for entry in listing.split("\0") if (name := _left_behind(entry, is_noted=bool(index)))]
    return tuple(names[:FILES_NAMED_MAX])


@frozen
class _Inside:
    """The checkout of one sandbox, and its git under the name it has at this moment."""

    access: SandboxAccess
    ref: SandboxRef
    git_folder: str

    async def folder(self) -> frozenset[str]:
        """What stands in the checkout's folder, which is made when it is missing."""
        await self.run("mkdir", "-p", _CHECKOUT, cwd=".")
        return frozenset((await self.run("ls", "-A", ".")).splitlines())

    async def clear(self, found: frozenset[str]) -> None:
        """Take a half-made checkout away, its proof last."""
        if found and _HALF not in found:
            raise Permanent(
                f"the checkout holds {', '.join(sorted(found)[:3])} and no git repository: "
                "move these files away in the sandbox, or give the task a new one"
            )
        if found:
            await self.run(
                "find",
                ".",
                "-mindepth",
                "1",
                "-maxdepth",
                "1",
                "!",
                "-name",
                _HALF,
                "-exec",
                "rm",
                "-rf",
                "{}",
                "+",
            )
            await self.run("rm", "-rf", _HALF)

    async def exists(self, path: str) -> bool:
        """Tell whether a path below the checkout exists."""
        result = await self.access.exec(self.ref, Exec(argv=("ls", "-d", path), cwd=_CHECKOUT))
        return result.exit_code == 0

    async def commit(self, revision: str) -> str | None:
        """The commit of a ref, or None when there is none (or no repository)."""
        result = await self.try_git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        return result.stdout.decode().strip() if result.exit_code == 0 else None

    async def existing(self, commits: Sequence[str]) -> list[str]:
        """Those of the commits that this repository has; git refuses to exclude what it does not know."""
        asked = "".join(f"{commit}\n" for commit in commits).encode()
        listing = await self.git("cat-file", "--batch-check=%(objectname)", stdin=asked)
        return [line for line in listing.splitlines() if line in commits]

    async def git(self, *arguments: str, env: Mapping[str, str] | None = None, stdin: bytes = b"") -> str:
        """Run git on the checkout; it must succeed."""
        return _text(_must(await self.try_git(*arguments, env=env, stdin=stdin), f"git {arguments[0]}"))

    async def try_git(
        self, *arguments: str, env: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> ExecResult:
        """Run git on the checkout; any exit code is a result."""
        # Named outright, so that git never finds a repository above a checkout that lost its own.
        place = (f"--git-dir={self.git_folder}", "--work-tree=.")
        argv = ("git", *_SAFE_OPTIONS, *place, *arguments)
        variables = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", **(env or {})}
        command = Exec(argv=argv, cwd=_CHECKOUT, env=variables, stdin=stdin, timeout_seconds=_SLOW_SECONDS)
        return await self.access.exec(self.ref, command)

    async def run(self, *argv: str, cwd: str = _CHECKOUT) -> str:
        """Run a small program; it must succeed."""
        command = Exec(argv=argv, cwd=cwd, env={"LC_ALL": "C"}, timeout_seconds=_SLOW_SECONDS)
        return _text(_must(await self.access.exec(self.ref, command), argv[0]))


async def _fill(inside: _Inside, checkout: Checkout, branch: str, identity: Identity | None) -> None:
    """Make the repository and its files from the bundle, under the name of a half-made one."""
    bundle = f"../{_BUNDLE_IN}"
    await inside.git("init", "--quiet", "--template=")
    listing = await inside.git("bundle", "list-heads", bundle)
    heads = [line.partition(" ")[2] for line in listing.splitlines()]
    pairs = [f"+{checkout.ref}:{_START}"]
    pairs += [f"+{ref}:{_BASE}" for ref in heads if ref.endswith("/base")]
    pairs += [f"+{ref}:{_DIRTY}" for ref in heads if ref.endswith("-dirty")]
    await inside.git("fetch", "--quiet", "--no-tags", bundle, *pairs)
    if await inside.commit(_START) != checkout.head:
        raise Permanent("the bundle of the code does not hold the commit that it was made for")
    await inside.git("checkout", "--quiet", "--force", "-B", branch, _START)
    if await inside.commit(_DIRTY) is not None:
        # Files as they were, index as the commit has it: the agent finds its changes uncommitted again.
        await inside.git("read-tree", "-m", "-u", _START, _DIRTY)
        await inside.git("read-tree", "--reset", _START)
    # git noted where the files are, because its folder is not called .git yet; right as it is, but .git needs no note.
    await inside.try_git("config", "--local", "--unset", "core.worktree")
    if identity is not None:
        await inside.git("config", "--local", "--", "user.name", identity.name)
        await inside.git("config", "--local", "--", "user.email", identity.email)


async def _note_uncommitted(inside: _Inside) -> bool:
    """Put the files as they are into a commit under `refs/taskdock/dirty`; False when they are as HEAD has them.

    Done in an index of its own. A clean tree is noted too when a dirty one was noted before: else the old one would come
    back with the next checkout.
    """
    if await inside.exists(f"{_GIT}/index"):
        # With its time: git looks into files that are as old as the index, and takes older ones for what it noted of them.
        await inside.run("cp", "-p", f"{_GIT}/index", _INDEX)
    index = {"GIT_INDEX_FILE": _INDEX}
    # What cannot be read is left out and stays visible as such in `uncommitted_files`.
    await inside.try_git("add", "--all", "--ignore-errors", ".", env=index)
    tree = await inside.git("write-tree", env=index)
    if tree == await inside.git("rev-parse", "HEAD^{tree}") and await inside.commit(_DIRTY) is None:
        return False
    commit = await inside.git("commit-tree", tree, "-p", "HEAD", "-m", "Uncommitted work", env=_AUTHOR)
    await inside.git("update-ref", _DIRTY, commit)
    return True


def _left_behind(entry: str, *, is_noted: bool) -> str | None:
    """The file of one `git status` entry if its content is in no commit; `is_noted`: the index is the noted one."""
    kind, _, rest = entry.partition(" ")
    if kind == "?":
        return rest
    if kind not in {"1", "u"}:
        return None
    fields = rest.split(" ", 7 if kind == "1" else 9)
    status, mode, path = fields[0], fields[3], fields[-1]
    is_new_repository = mode == _SUBMODULE_MODE and status[0] != "."
    return path if not is_noted or status[1] != "." or is_new_repository else None


def _must(result: ExecResult, doing: str) -> ExecResult:
    """Give a success back. What failed inside may be mended by beginning anew, so it is Transient."""
    if result.exit_code == 0:
        return result
    tail = (result.stderr or result.stdout)[-_TAIL_BYTES:].decode(errors="replace").strip()
    last = tail.splitlines()[-1] if tail else f"exit code {result.exit_code}"
    raise Transient(f"{doing} failed in the sandbox: {last}", log_tail=tail or None)


def _text(result: ExecResult) -> str:
    return result.stdout.decode(errors="surrogateescape").rstrip("\n")


def _written(content: bytes, into: Path | None) -> Path:
    descriptor, name = tempfile.mkstemp(prefix="taskdock-", suffix=".bundle", dir=into)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return Path(name)
