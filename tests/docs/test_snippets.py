"""Snippets: every Python program in the documents runs as it stands there, on the real app, and prints what they say.

A `python` block is a whole program. A `text` block right after it is its output, `…` standing for any text. A program
runs in a git checkout with one commit, with a home of its own; what it leaves running is killed as a user would kill it.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import taskdock.app
from agent_server import CACHE
from docs.pages import Block, blocks, documents
from e2e.installation import rest
from git_repos import make_remote, work_copy
from taskdock.app import Config

PROGRAM_SECONDS_MAX = 120.0
ANY_TEXT = "…"


def programs() -> list[tuple[Block, Block | None]]:
    """Every Python program of the documents, with the block that holds its output, if one does."""
    found: list[tuple[Block, Block | None]] = []
    for path in documents():
        all_of_it = blocks(path)
        for number, block in enumerate(all_of_it):
            after = all_of_it[number + 1] if number + 1 < len(all_of_it) else None
            if block.language == "python":
                found.append((block, after if after is not None and after.language == "text" else None))
    return found


def pattern(text: str) -> re.Pattern[str]:
    """What an output must match."""
    return re.compile(".*?".join(re.escape(part) for part in text.split(ANY_TEXT)), re.DOTALL)


def run(program: str, folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a program as a reader would, warnings being errors."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONWARNINGS": "error",
        "TASKDOCK_HOME": str(home),
        "TASKDOCK_CACHE": str(CACHE),
    }
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PROGRAM_SECONDS_MAX,
        check=False,
    )


async def kill_all(home: Path) -> None:
    """End every task of a home, and so every process that its sandboxes have.

    What has no sandbox is killed by the command alone, so a program that scheduled nothing does not begin to here.
    """
    config = Config(home=home, cache=CACHE)
    async with taskdock.app.open(config, schedule=False) as dock:
        receipts = [await dock.kill_task(task.id, force=True) for task in await dock.tasks()]
    dying = [receipt.task_id for receipt in receipts if receipt.status != "killed"]
    if dying:
        async with taskdock.app.open(config) as dock:
            for task_id in dying:
                await rest(dock, task_id, "killed")


@pytest.fixture
def anyio_backend() -> str:
    """The program under test chooses its own loop; only the tidying up runs here."""
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize(("program", "output"), [pytest.param(*one, id=one[0].name) for one in programs()])
async def test_program_runs_and_prints_what_the_document_says(
    program: Block, output: Block | None, tmp_path: Path
) -> None:
    """The program ends well, and where its output is shown, that is its output."""
    home = tmp_path / "home"
    checkout = work_copy(make_remote(tmp_path / "remote"), tmp_path / "checkout")
    try:
        done = run(program.text, checkout, home)
    finally:
        if home.exists():
            await kill_all(home)
    assert (done.returncode, done.stderr) == (0, "")
    if output is not None:
        assert pattern(output.text).fullmatch(done.stdout), done.stdout


def test_there_are_programs() -> None:
    """The front page and the guide have programs at all, each with its output."""
    places = [block.path.name for block, output in programs() if output is not None]
    assert places.count("README.md") == 1
    assert places.count("embed.md") >= 3


def test_output_stands_right_after_its_program() -> None:
    """A `text` block that follows a program belongs to it, so only a sentence about the output may stand between."""
    longest = max(len(output.before.split()) for _, output in programs() if output is not None)
    assert longest <= 30


@pytest.mark.parametrize(
    ("shown", "printed", "holds"),
    [
        ("a…\nz\n", "a, b\nc\nz\n", True),
        ("a\n", "a\nb\n", False),
        ("a (b)\n", "a (b)\n", True),
        ("…z\n", "\nz\n", True),
        ("a.c\n", "abc\n", False),
    ],
)
def test_output_is_compared_to_the_letter(shown: str, printed: str, holds: bool) -> None:
    """Only `…` stands for something else; everything beside it is meant as it is."""
    assert bool(pattern(shown).fullmatch(printed)) is holds
