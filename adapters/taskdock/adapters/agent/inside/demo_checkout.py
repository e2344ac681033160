"""Demo checkout: what the demo agent does to files and to git.

Owns: the note that a prompt leaves, its name, and its commit.
Never: more than the standard library (see demo_agent.py); a commit of what somebody else changed.
Reads as: demo_directives.py -> this -> git.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from taskdock.adapters.agent.inside.demo_wire import Message

GIT_SECONDS_MAX = 30.0
SLUG_CHARACTERS_MAX = 40

DIRECTIVE = re.compile(r"^\s*demo:\s*(\w+)[ \t]*(.*)$", re.MULTILINE)


def list_files(cwd: Path) -> list[Message]:
    """Name the first files of a folder."""
    return [text_content("\n".join(sorted(entry.name for entry in cwd.iterdir())[:20]))]


def write_note(cwd: Path, path: Path, prompt: str) -> list[Message]:
    """Write the note; returns the difference."""
    difference = note_difference(cwd, path, prompt)
    target = cwd / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(str(difference["newText"]))
    return [difference]


def note_difference(cwd: Path, path: Path, prompt: str) -> Message:
    """Append the prompt to the note, so that every turn changes it; nothing is written."""
    target = cwd / path
    old = target.read_text() if target.exists() else None
    new = f"{old}\n" if old is not None else f"# {title_of(prompt)}\n\n"
    return {"type": "diff", "path": str(target), "oldText": old, "newText": new + prompt.strip() + "\n"}


def commit_note(cwd: Path, path: Path, subject: str, commit: list[str]) -> list[Message]:
    """Commit one file under the identity that git finds, else our own; its short id is appended to `commit`."""
    identity: tuple[str, ...] = ()
    if git(cwd, "config", "user.email", is_checked=False) == "":
        identity = ("-c", "user.name=Taskdock demo agent", "-c", "user.email=demo@taskdock.invalid")
    git(cwd, "add", "--", str(path))
    output = git(cwd, *identity, "-c", "commit.gpgsign=false", "commit", "-m", subject, "--", str(path))
    commit.append(git(cwd, "rev-parse", "--short", "HEAD"))
    return [text_content(output)]


def git(cwd: Path, *arguments: str, is_checked: bool = True) -> str:
    """Run git; returns what it printed. A failure is an OSError with git's words, when checked."""
    done = subprocess.run(  # noqa: S603 (arguments are our own, a path stands after --)
        ["git", *arguments],  # noqa: S607 (the sandbox's PATH decides)
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GIT_SECONDS_MAX,
        check=False,
    )
    if is_checked and done.returncode != 0:
        raise OSError((done.stderr or done.stdout).strip() or f"git ended with code {done.returncode}")
    return done.stdout.strip()


def text_content(text: str) -> Message:
    """Wrap a text as ACP content."""
    return {"type": "content", "content": {"type": "text", "text": text}}


def title_of(prompt: str) -> str:
    """Take the first line that is no directive."""
    found = [line.strip() for line in prompt.splitlines() if line.strip() and not DIRECTIVE.match(line)]
    return found[0] if found else "Notes"


def slug_of(prompt: str) -> str:
    """Make a file name of the title."""
    words = "-".join(re.findall(r"[a-z0-9]+", title_of(prompt).lower()))
    return words[:SLUG_CHARACTERS_MAX].strip("-") or "notes"
