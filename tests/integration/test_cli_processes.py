"""The command line on the real app, in pipes: two processes on one home, signals, and readers that go away."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_server import CACHE
from e2e.world import World
from git_repos import make_remote
from stack_fixture import GIT_SPICE, require_git_spice
from unit.cli.processes import Shell

STEPS = [
    "init_enqueue_provision",
    "init_ensure_name",
    "init_create_sandbox",
    "init_ensure_agent",
    "init_create_session",
]


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


def test_the_demo_runs_in_a_build_log(shell: Shell, world: World) -> None:
    """Each step once with its duration, the answer, and a commit that is really in the service clone; nothing is left running."""
    done = shell.run("demo")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    steps = [line.split() for line in lines if line.startswith("init_")]
    assert [words[0] for words in steps] == STEPS
    assert all(float(words[1]) >= 0 and words[2] == "s" for words in steps)
    assert "\x1b" not in done.out
    commit, subject = next(line for line in lines if line.startswith("  ")).split(maxsplit=1)
    clone = next((shell.home / "repos").glob("repo-*[0-9a-f]"))
    argv = ["git", "-C", str(clone), "log", "-1", "--format=%s", commit]
    told = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == subject == "Note: Write a note on how to greet people in French"
    assert world.processes() == []


def test_the_demo_restacks_three_branches_and_puts_them_back(shell: Shell, world: World) -> None:
    """Trunk moves, each branch is told from where to where, the task's own among them, and the undo tells it the other way round."""
    require_git_spice()
    settings = (world.home / "taskdock.toml").read_text()
    (world.home / "taskdock.toml").write_text(f'git_spice = "{GIT_SPICE}"\n{settings}')
    done = shell.run("demo")
    assert done.code == 0, done.err
    (task,) = shell.run("task", "list", "--json").document["tasks"]
    moves = [line for line in done.out.splitlines() if " -> " in line]
    branches = ["greet/french", "greet/german", "greet/polite", "main", task["branch"]]
    assert [line.partition(":")[0] for line in moves] == 2 * branches
    there = [line.split(": ")[1].split(" -> ") for line in moves[: len(branches)]]
    back = [line.split(": ")[1].split(" -> ") for line in moves[len(branches) :]]
    assert back == [[new, old] for old, new in there]
    again = shell.run("demo", "--json").document
    assert (again["ok"], len(again["job_ids"])) == (True, 2)


def test_without_git_spice_the_demo_says_how_to_get_it(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task is shown all the same, and the demo succeeds."""
    folders = os.environ["PATH"].split(os.pathsep)
    kept = [folder for folder in folders if not (Path(folder) / "git-spice").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(kept))
    done = shell.run("demo")
    assert done.code == 0, done.err
    assert "`make git-spice` builds it" in done.out


def test_a_second_process_works_while_the_first_schedules(shell: Shell, world: World, remote: str) -> None:
    """Add, create, list, send and kill in processes that do not schedule; then SIGTERM drains the one that does."""
    with shell.running("demo", "--stay") as demo:
        said = demo.until_out(" task list\n")
        assert f"--home {world.home} task list" in said
        first = shell.run("task", "list").out
        repo = shell.run("repo", "add", remote)
        assert (repo.code, repo.out.startswith("repo-")) == (0, True), repo.err
        created = shell.run("task", "create", "--repo", repo.out.strip(), "Write something down")
        task = created.out.strip()
        assert created.code == 0, created.err
        assert [line.split()[0] for line in created.err.splitlines()[:5]] == STEPS
        assert created.err.splitlines()[-1].startswith("commit ")
        assert shell.run("task", "list").out == f"{task}\n{first}"
        assert "committed it as" in shell.run("task", "send", task, "And something else").err
        assert shell.run("task", "kill", task).code == 0
        assert [task in box.name for box in world.sandboxes()] == [False]
        demo.signal(signal.SIGTERM)
        ended = demo.end()
    assert ended.code == 0
    assert ended.err == "Ending short work in order; a second signal ends at once.\n"
    scheduler = shell.run("doctor", "--json").document["checks"][-1]
    assert scheduler["detail"] == "no process schedules this home now"


def test_what_is_followed_comes_from_another_process(shell: Shell, remote: str) -> None:
    """Transcript and history go on with what another process drives, in their order and without a double line."""
    task = shell.run("task", "create", "--repo", remote, "Write something down").out.strip()
    transcript = shell.run("transcript", task).out
    with (
        shell.running("transcript", task, "--follow") as said,
        shell.running("history", task, "--follow", "--json") as happened,
    ):
        said.until_out(transcript.rstrip("\n"))
        happened.until_out('"kind": "work.collected"')
        assert shell.run("task", "send", task, "demo: echo And this").code == 0
        said.until_out("> demo: echo And this\nAnd this")
        events = shell.run("history", task, "--json").document["events"]
        happened.until_out(f'"number": {events[-1]["number"]},')
        for followed in (said, happened):
            followed.signal(signal.SIGINT)
        ends = [followed.end() for followed in (said, happened)]
    assert [(end.code, end.err) for end in ends] == [(130, ""), (130, "")]
    assert ends[0].out == shell.run("transcript", task).out
    numbers = [json.loads(line)["number"] for line in ends[1].out.splitlines()]
    assert numbers == [event["number"] for event in events]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_was_accepted(
    shell: Shell, world: World, remote: str, number: signal.Signals, code: int
) -> None:
    """An interrupted create says how to go on; the turn is then followed to its end, and its prompt was sent once."""
    with shell.running("task", "create", "--repo", remote, "Count\ndemo: crawl 3") as create:
        task = create.until_out("\n").strip()
        create.until_err("word 2")
        create.signal(number)
        ended = create.end()
    assert ended.code == code
    assert f"{task} is kept and goes on when a process schedules: " in ended.err
    assert "Traceback" not in ended.err
    watched = shell.run("task", "watch", task)
    assert watched.code == 0, watched.err
    assert "word 2 word 3 " in watched.out and "word 29 " in watched.out
    assert len(world.prompts_seen()) == 1


def test_a_second_signal_ends_at_once(shell: Shell, world: World, remote: str) -> None:
    """While a drain waits for a step that does not end, a second signal is enough."""
    config = world.home / "taskdock.toml"
    config.write_text(config.read_text().replace("drain_seconds = 2.0", "drain_seconds = 600.0"))
    gate = world.gate("provider.ensure.before")
    with shell.running("task", "create", "--repo", remote, "x") as create:
        create.until_out("\n")
        create.until_err("init_ensure_name")
        deadline = time.monotonic() + 30
        while not gate.with_name(f"{gate.name}.reached").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        create.signal(signal.SIGINT)
        create.until_err("a second signal ends at once")
        create.signal(signal.SIGINT)
        ended = create.end()
    assert ended.code == 130


def test_a_reader_that_goes_away_ends_it_in_order(shell: Shell, remote: str) -> None:
    """Like `| head -1`: no traceback, no hanging process, and the seat is free again."""
    with shell.running("demo") as demo:
        demo.until_out("init_create_sandbox")
        assert demo.process.stdout is not None
        demo.process.stdout.close()
        assert demo.process.stderr is not None
        said = demo.process.stderr.read()
        demo.process.wait(30)
    assert demo.process.returncode == 1
    assert b"Traceback" not in said
    assert shell.run("task", "create", "--repo", remote, "x").code == 0


def test_a_reader_that_stands_still_does_not_stop_the_work(shell: Shell, remote: str) -> None:
    """A full pipe holds up what is shown, not the turn that this process drives, nor its end by a signal."""
    with shell.running("task", "create", "--repo", remote, "Much\ndemo: flood 30000") as create:
        task = create.until_out("\n").strip()
        watched = shell.run("task", "watch", task)
        assert watched.code == 0, watched.err
        assert " 29999 " in watched.out
        assert create.process.poll() is None
        create.signal(signal.SIGTERM)
        assert create.process.wait(30) == 143
