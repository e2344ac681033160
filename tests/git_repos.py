"""Git repos: real bare remotes with commits, made in milliseconds, for every test that needs one.

Owns: `make_remote` and what looks into or adds to a repository from outside.
Never: the user's config, hooks or identity; every git here runs in an environment of its own.
Reads as: tests -> this -> git.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from taskdock.testing.conformance.clone_repos import ENVIRONMENT

AUTHOR = "Ada Example <ada@example.org> 1700000000 +0000"
# A checkout in a sandbox may belong to another user.
_ENVIRONMENT = {
    **ENVIRONMENT,
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}
DEFAULT_FILES: Mapping[str, str | bytes] = {"README.md": "# Demo\n", "src/app.py": "print('hello')\n"}


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    """Run git in `folder`; gives its stdout without the last line end, raises `CalledProcessError` when it fails."""
    result = subprocess.run(
        ["git", "-C", str(folder), *arguments], env=_ENVIRONMENT, input=stdin, capture_output=True, check=True
    )
    return result.stdout.decode(errors="surrogateescape").rstrip("\n")


def make_remote(
    path: Path,
    files: Mapping[str, str | bytes] | None = None,
    commits: int = 1,
    *,
    branch: str = "main",
) -> Path:
    """Make a bare remote at `path` (which must not exist) with `commits` commits on its default `branch`; gives `path`.

    Every commit holds `files` (a README and a program when None); each after the first also changes `history.txt`.
    No commits make an empty remote, as a forge gives it to a new project.
    """
    path.mkdir(parents=True)
    git(path, "init", "--quiet", "--bare", f"--initial-branch={branch}", ".")
    content = DEFAULT_FILES if files is None else files
    for number in range(1, commits + 1):
        commit_to(
            path, branch, content if number == 1 else {"history.txt": f"{number}\n"}, f"commit {number}"
        )
    return path


def commit_to(
    remote: Path,
    branch: str,
    files: Mapping[str, str | bytes],
    message: str = "a change",
    *,
    parent: str | None = None,
) -> str:
    """Add one commit with `files` on top of `branch`, which begins at `parent` if it is new; gives the commit's id."""
    ref = f"refs/heads/{branch}"
    start = head_of(remote, ref) or (head_of(remote, parent) if parent else None)
    stream = [f"commit {ref}\ncommitter {AUTHOR}\n".encode(), _data(message)]
    stream += [f"from {start}\n".encode()] if start else []
    for name, content in files.items():
        stream += [f"M 100644 inline {name}\n".encode(), _data(content)]
    git(remote, "fast-import", "--quiet", "--date-format=raw", stdin=b"".join(stream))
    return git(remote, "rev-parse", ref)


def head_of(folder: Path, revision: str) -> str | None:
    """Give the commit that a revision stands for, or None."""
    try:
        return git(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except subprocess.CalledProcessError:
        return None


def refs_of(folder: Path, prefix: str = "refs/") -> dict[str, str]:
    """Give every ref below `prefix` with what it points to."""
    listing = git(folder, "for-each-ref", "--format=%(refname) %(objectname)", prefix)
    return dict(line.split(" ") for line in listing.splitlines())


def work_copy(source: Path, path: Path, branch: str = "main") -> Path:
    """Clone `source` to `path` with `branch` checked out, as a person or an agent would have it; gives `path`."""
    git(source, "clone", "--quiet", "--no-local", "--branch", branch, "--", str(source), str(path))
    return path


def commit_in(folder: Path, files: Mapping[str, str], message: str = "work") -> str:
    """Commit `files` in a work copy, on whatever it has checked out; gives the commit's id."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def bundle_of(folder: Path, path: Path, *revisions: str) -> Path:
    """Bundle revisions of a repository (HEAD and all branches unless named) into `path`; gives `path`."""
    git(folder, "bundle", "create", "--quiet", str(path), *(revisions or ("HEAD", "--branches")))
    return path


def _data(content: str | bytes) -> bytes:
    payload = content.encode() if isinstance(content, str) else content
    return f"data {len(payload)}\n".encode() + payload + b"\n"
