"""A task's whole life from the command line, on the real app: real git, sandboxes, agent and store, in processes of their own."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_server import CACHE
from e2e.world import World
from git_repos import make_remote
from unit.cli.processes import Shell


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One installation; its sandboxes end with it."""
    world = World(tmp_path)
    with (world.home / "taskdock.toml").open("a") as config:
        config.write("call_seconds = 0.5\n")
    yield world
    world.close()


@pytest.fixture
def shell(world: World) -> Shell:
    """Commands on it."""
    return Shell(world.home, CACHE)


@pytest.fixture
def task(shell: Shell, tmp_path: Path) -> str:
    """A task with one commit."""
    remote = str(make_remote(tmp_path / "remote"))
    done = shell.run("task", "create", "--repo", remote, "Write something down")
    assert done.code == 0, done.err
    return done.out.strip()


def shown(shell: Shell, task: str) -> dict[str, Any]:
    """The task as it is."""
    return shell.run("task", "show", task, "--json").document


def test_a_task_is_stopped_resumed_archived_brought_back_and_killed(
    shell: Shell, world: World, task: str
) -> None:
    """Each command ends when it is done, with nothing left running that should not; the commit outlives every sandbox."""
    head = shown(shell, task)["head"]
    assert head is not None
    assert shell.run("task", "stop", task).code == 0
    assert (shown(shell, task)["status"], world.processes(), len(world.sandboxes())) == ("stopped", [], 1)
    said = shell.run("task", "send", task, "demo: echo still here")
    assert (said.code, "still here" in said.err) == (0, True), said.err
    archived = shell.run("task", "archive", task)
    assert archived.code == 0, archived.err
    assert (shown(shell, task)["status"], world.processes(), world.sandboxes()) == ("archived", [], [])
    back = shell.run("task", "unarchive", task)
    assert back.code == 0, back.err
    assert (shown(shell, task)["status"], shown(shell, task)["generation"]) == ("running", 2)
    assert shown(shell, task)["head"] == head
    refused = shell.run("task", "resume", task)
    assert refused.code == 0
    assert shell.run("task", "kill", task).code == 0
    assert (world.processes(), world.sandboxes()) == ([], [])
    refused = shell.run("task", "unarchive", task, "--json")
    problem = json.loads(refused.err)
    assert (refused.code, problem["status"], problem["record_id"]) == (4, "killed", task)


def test_a_permission_is_answered_from_another_process(shell: Shell, task: str) -> None:
    """Who sent the prompt waits; who answers elsewhere lets the turn go on; both see its end."""
    with shell.running("task", "send", task, "demo: ask Run make") as sender:
        sender.until_err("the agent asks for a permission: Run make")
        assert shown(shell, task)["activity"] == "needs_you"
        answer = shell.run("task", "allow", task)
        ended = sender.end()
    assert (answer.code, ended.code) == (0, 0), (answer.err, ended.err)
    assert "Allowed (once)" in ended.err
    assert shown(shell, task)["permissions"] == []


def test_the_store_is_checked_copied_and_purged_while_it_is_used(
    shell: Shell, world: World, task: str, tmp_path: Path
) -> None:
    """Sound, of the version that we write, and a copy that is a store of its own with the same task in it."""
    world.start()
    assert shell.run("store", "check", "--json").document == {"ok": True, "problems": []}
    versions = shell.run("store", "migrate", "--json").document
    assert versions["before"] == versions["after"]
    (tmp_path / "copy").mkdir()
    copied = shell.run("store", "backup", str(tmp_path / "copy" / "taskdock.db"), "--json").document
    assert copied["bytes"] == (tmp_path / "copy" / "taskdock.db").stat().st_size
    copy = Shell(tmp_path / "copy", CACHE)
    assert copy.run("task", "list").out == f"{task}\n"
    again = shell.run("store", "backup", str(tmp_path / "copy" / "taskdock.db"))
    assert (again.code, "is" in again.err) == (7, True)
    planned = shell.run("purge", "--dry-run", "--json").document
    assert {one["kind"]: one["rows"] for one in planned["removed"]} == {"history": 0, "feed": 0, "keys": 0}


def test_a_store_that_is_broken_is_named_and_left(shell: Shell, world: World, task: str) -> None:
    """A row that belongs to nothing is found; checking changes nothing, so it is found again."""
    with sqlite3.connect(world.home / "taskdock.db") as store:
        store.execute("DELETE FROM task WHERE id = ?", (task,))
    store.close()
    for _ in range(2):
        run = shell.run("store", "check")
        assert run.code == 1
        assert any("belongs to no task" in line for line in run.out.splitlines())
