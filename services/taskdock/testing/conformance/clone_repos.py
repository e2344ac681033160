"""Clone repos: real git repositories for the clone checks, made with the git of this host.

Owns: `Remote` and `WorkCopy`, and what is read of any repository from outside.
Never: the config, hooks or identity of a user: each git here runs in an environment of its own.
Reads as: clone_under_test.py -> this -> git.
"""

import os
from pathlib import Path

import anyio
from attrs import frozen

ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "LC_ALL": "C",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada Example",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada Example",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


class GitRefused(Exception):
    """A git that a check itself ran did not do what it was asked for."""


async def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and give its stdout without the last line end. Raises `GitRefused` when it fails."""
    result = await anyio.run_process(["git", "-C", str(folder), *arguments], env=ENVIRONMENT, check=False)
    if result.returncode != 0:
        raise GitRefused(f"git {arguments[0]}: {result.stderr.decode(errors='replace').strip()[-300:]}")
    return result.stdout.decode(errors="surrogateescape").rstrip("\n")


async def head_of(folder: Path, revision: str) -> str | None:
    """Which commit a revision stands for in a repository, None when it knows none."""
    try:
        return await git(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except GitRefused:
        return None


async def refs_of(folder: Path, prefix: str = "refs/") -> dict[str, str]:
    """Every ref of a repository below a prefix, with what it points to."""
    listing = await git(folder, "for-each-ref", "--format=%(refname) %(objectname)", prefix)
    return dict(line.split(" ") for line in listing.splitlines())


@frozen
class WorkCopy:
    """A clone with files, as an agent or a person has it."""

    folder: Path

    async def commit(self, name: str, content: str) -> str:
        """Commit one file on what is checked out; gives the commit."""
        await anyio.Path(self.folder / name).write_text(content)
        await git(self.folder, "add", "--all")
        await git(self.folder, "commit", "--quiet", "--allow-empty", "--message", name)
        return await git(self.folder, "rev-parse", "HEAD")

    async def branch(self, name: str, start: str = "HEAD") -> None:
        """Check out a branch that begins at `start`."""
        await git(self.folder, "checkout", "--quiet", "--no-track", "-B", name, start)

    async def bundle(self, path: Path, *revisions: str) -> Path:
        """Write a bundle of revisions; gives its path."""
        await git(self.folder, "bundle", "create", "--quiet", str(path), *revisions)
        return path


@frozen
class Remote:
    """A bare repository that is cloned from, and the copy of somebody who pushes to it."""

    folder: Path
    author: WorkCopy

    @classmethod
    async def make(cls, path: Path) -> "Remote":
        """Make one without a commit, as a forge gives it to a new project."""
        author = path.with_name(f"{path.name}-author")
        for folder, options in ((path, ("--bare",)), (author, ())):
            await anyio.Path(folder).mkdir(parents=True)
            await git(folder, "init", "--quiet", *options, "--initial-branch=main", ".")
        await git(author, "remote", "add", "origin", str(path))
        return cls(path, WorkCopy(author))

    async def push(self, branch: str, name: str, content: str) -> str:
        """Push one more commit to a branch; gives the commit. A new branch begins at what was pushed last."""
        known = await head_of(self.folder, f"refs/heads/{branch}")
        if known is not None:
            await git(self.author.folder, "checkout", "--quiet", "--detach", known)
        commit = await self.author.commit(name, content)
        await git(self.author.folder, "push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch}")
        return commit

    async def head(self, branch: str) -> str | None:
        """Where a branch stands."""
        return await head_of(self.folder, f"refs/heads/{branch}")

    async def copy(self, path: Path) -> WorkCopy:
        """Clone it, as an agent would have it."""
        await git(self.folder, "clone", "--quiet", "--no-local", "--", str(self.folder), str(path))
        return WorkCopy(path)
