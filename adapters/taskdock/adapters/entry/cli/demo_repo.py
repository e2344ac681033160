"""Demo repo: a small bare remote with a few commits, made by real git, for a task to work on.

Owns: what is in it, where it is made, and the stack of branches and the move of trunk that the demo adds.
Never: the git config, identity or hooks of the person who runs the demo.
Reads as: demo.py -> `demo_repo(folder)` -> git.
"""

import os
import shutil
import tempfile
from pathlib import Path

import anyio
import anyio.to_thread

from taskdock.core.errors import Unsupported

NAME = "greetings"
_AUTHOR = "Taskdock Demo <demo@example.invalid> 1700000000 +0000"
_COMMITS: tuple[tuple[str, dict[str, str]], ...] = (
    ("Begin", {"README.md": "# Greetings\n\nA very small program, to try a task on.\n"}),
    (
        "Greet in English",
        {"greetings.py": 'GREETINGS = {"en": "Hello"}\n\n\ndef greet(language: str) -> str:\n'
         "    return GREETINGS[language]\n"},
    ),
    ("Say how to run it", {"README.md": "# Greetings\n\n    python -c 'import greetings'\n"}),
)  # fmt: skip

STACK = {"greet/french": "main", "greet/german": "greet/french", "greet/polite": "greet/german"}
"""Each branch of the demo's stack with the one it stands on, the lowest first."""


async def demo_repo(folder: Path) -> Path:
    """The remote below `folder`: made, unless it is there already. Unsupported without git."""
    path = folder / f"{NAME}.git"
    if await anyio.Path(path).exists():
        return path
    await anyio.Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    made = Path(await anyio.to_thread.run_sync(lambda: tempfile.mkdtemp(prefix=".making-", dir=folder)))
    try:
        await git(made, "init", "--quiet", "--bare", "--initial-branch=main", ".")
        await git(made, "fast-import", "--quiet", "--date-format=raw", stdin=_stream())
        # Only a whole one gets the name, so that a demo that was interrupted leaves none that is not.
        await anyio.Path(made).rename(path)
    finally:
        await anyio.to_thread.run_sync(lambda: shutil.rmtree(made, ignore_errors=True))
    return path


async def add_stack(remote: Path) -> dict[str, str]:
    """Give the remote the branches of `STACK`, each with a commit on its parent, unless it has them."""
    there = (await git(remote, "for-each-ref", "--format=%(refname:short)", "refs/heads/greet")).split()
    for branch, parent in STACK.items():
        if branch not in there:
            await _commit(remote, branch, parent, f"Greet: {branch}", f"{branch.partition('/')[2]}.md")
    return STACK


async def move_trunk(remote: Path) -> None:
    """Add a commit to the remote's trunk, as a colleague would."""
    count = (await git(remote, "rev-list", "--count", "main")).strip()
    await _commit(remote, "main", "main", f"News {count}", f"news-{count}.md")


async def _commit(remote: Path, branch: str, parent: str, message: str, name: str) -> None:
    stream = (
        f"commit refs/heads/{branch}\ncommitter {_AUTHOR}\n{_data(message)}from refs/heads/{parent}^0\n"
        f"M 100644 inline {name}\n{_data(message)}"
    )
    await git(remote, "fast-import", "--quiet", "--date-format=raw", stdin=stream.encode())


async def git(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    """Run git in `folder`; gives stdout. Unsupported without git; CalledProcessError when it fails."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
    }
    try:
        done = await anyio.run_process(
            ["git", "-C", str(folder), "--no-pager", *arguments], input=stdin, env=environment
        )
    except FileNotFoundError as error:
        raise Unsupported("git was not found on PATH: install it.") from error
    return done.stdout.decode(errors="replace")


def _stream() -> bytes:
    """The commits as `git fast-import` reads them."""
    parts = []
    for message, files in _COMMITS:
        parts.append(f"commit refs/heads/main\ncommitter {_AUTHOR}\n{_data(message)}")
        parts += [f"M 100644 inline {name}\n{_data(content)}" for name, content in files.items()]
    return "".join(parts).encode()


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"
