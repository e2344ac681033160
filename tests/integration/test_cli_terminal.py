"""The command line on the real app, at a terminal: what a person sees while it moves, and when it is over."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_server import CACHE
from e2e.world import World
from git_repos import make_remote
from unit.cli.processes import COLUMNS, Shell, screen_of


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One installation; its sandboxes end with it."""
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def shell(world: World) -> Shell:
    """Commands on it."""
    return Shell(world.home, CACHE)


@pytest.fixture
def remote(tmp_path: Path) -> str:
    """A real remote."""
    return str(make_remote(tmp_path / "remote"))


def is_waiting_whole(lines: list[str]) -> bool:
    """The first row says what it waits for, and the four below stand there, too: a frame may come in pieces."""
    waits = any("waits for the clone of remote" in line for line in lines)
    return waits and [line[:1] for line in lines[2:6]] == ["·"] * 4


def test_create_moves_and_then_stands_still(shell: Shell, world: World, remote: str) -> None:
    """While a step is under way its row says so; in the end five rows are done, and the conversation stands below."""
    gate = world.gate("clones.clone.before")
    with shell.terminal("task", "create", "--repo", remote, "Write something down") as terminal:
        moving = terminal.until(is_waiting_whole)
        assert re.match(r"\S  init_enqueue_provision  +\d", moving[1])
        world.open_gate(gate)
        assert terminal.end() == 0
    screen = terminal.screen
    assert re.fullmatch(r"task-\w+ created", screen[0])
    assert [line.split()[1] for line in screen[1:6]] == [
        "init_enqueue_provision",
        "init_ensure_name",
        "init_create_sandbox",
        "init_ensure_agent",
        "init_create_session",
    ]
    assert all(re.match(r"✓  \w+  +\d+\.\d s", line) for line in screen[1:6])
    assert screen[6] == "> Write something down"
    assert re.fullmatch(r"commit [0-9a-f]{7} on \S+", screen[-2])
    assert screen[-1] == ""
    assert terminal.shows_cursor


def test_an_attempt_that_fails_is_seen_while_it_waits(shell: Shell, world: World, remote: str) -> None:
    """The row says which attempt this is and why the last one failed; when it is over, only what it brought."""
    world.fail("provider.ensure", "transient the box is shy", "permanent the box is gone")
    with shell.terminal("task", "create", "--repo", remote, "x") as terminal:
        assert terminal.end() == 1
    text = "\n".join(terminal.screen)
    assert re.search(r"✗  init_create_sandbox ", text)
    assert "failed in init_create_sandbox/create, attempt 2 (permanent): the box is gone" in text
    assert terminal.screen[-2] == "taskdock: the box is gone"
    assert b"attempt 1 failed (transient): the box is shy" in terminal.raw
    assert terminal.shows_cursor


def test_ctrl_c_leaves_the_terminal_in_order(shell: Shell, world: World, remote: str) -> None:
    """The cursor is back, the last line says how to go on, and the exit code is that of an interrupt."""
    gate = world.gate("provider.ensure.before")
    with shell.terminal("task", "create", "--repo", remote, "x") as terminal:
        terminal.until(lambda lines: any("init_create_sandbox     1." in line for line in lines))
        terminal.press(b"\x03")
        terminal.until(lambda lines: any("a second signal ends at once" in line for line in lines))
        world.open_gate(gate)
        assert terminal.end() == 130
    assert terminal.shows_cursor
    assert any(" is kept and goes on when a process schedules: " in line for line in terminal.screen)
    assert not any("Traceback" in line for line in terminal.screen)


def test_a_list_is_a_table_that_fits(shell: Shell, remote: str) -> None:
    """Columns line up, ids are whole, and no line is longer than the terminal."""
    title = "A title that is far too long " * 5
    for _ in range(2):
        shell.run("task", "create", "--repo", remote, "x", "--title", title, "--detach")
    with shell.terminal("task", "list") as terminal:
        assert terminal.end() == 0
    heading, *rows = terminal.screen[:3]
    assert heading.split() == ["ID", "STATUS", "REPO", "BRANCH", "AGE", "TITLE"]
    column = heading.index("STATUS")
    assert [row[column:].split()[0] for row in rows] == ["init_enqueue_provision"] * 2
    assert all(len(row) <= COLUMNS and row.endswith("…") for row in rows)
    assert b"\x1b" not in terminal.raw


def test_a_dumb_terminal_gets_plain_lines(shell: Shell, remote: str) -> None:
    """Where the cursor cannot be moved, nothing tries to."""
    with shell.terminal("task", "create", "--repo", remote, "x", TERM="dumb") as terminal:
        assert terminal.end() == 0
    assert b"\x1b" not in terminal.raw
    assert sum(line.startswith("init_") for line in terminal.screen) == 5


def test_the_screen_is_played_right() -> None:
    """The tests' own terminal: up, erase, carriage return and overwriting."""
    assert screen_of("a\r\nb\r\n\x1b[1A\x1b[2Kc\x1b[0m\r\nde\rf") == ["a", "c", "fe"]
