"""Example provider: a distribution of its own, installed beside our built wheel, keeps its promises and carries a task.

It is written by the wheel itself and sees nothing of this checkout, so it is what somebody has who read the guide and ran
pip.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from agent_server import CACHE
from architecture.source_tree import REPOSITORY
from clean_install import install, make_environment, run
from e2e.providers import kill_all, processes_of
from example_task import carried
from git_repos import make_remote, work_copy

EXAMPLE = REPOSITORY / "examples/taskdock-folder-provider"
TEST_LINES_MAX = 30


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install our wheel into an environment, and the example that it writes; answers the folder of its programs."""
    programs = make_environment(tmp_path_factory.mktemp("example"))
    install(programs, wheel)
    folder = programs.parent / "written"
    run(programs / "python", "-m", "taskdock.testing.conformance", "--example", folder, cwd=programs)
    written = {path.name: path.read_text() for path in folder.iterdir()}
    assert written == {path.name: path.read_text() for path in EXAMPLE.iterdir() if path.is_file()}
    install(programs, folder)
    return programs


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose only provider is the example's."""
    home = tmp_path / "home"
    home.mkdir()
    boxes = json.dumps(str(tmp_path / "boxes"))
    (home / "taskdock.toml").write_text(
        f'providers = ["folder"]\ncache = {json.dumps(str(CACHE))}\n\n[provider.folder]\nroot = {boxes}\n'
    )
    return home


def test_its_own_test_passes(programs: Path, tmp_path: Path) -> None:
    """Its one test file runs every check of the kit against the installed provider, on asyncio and on trio."""
    source = EXAMPLE / "test_taskdock_folder.py"
    (tmp_path / source.name).write_text(source.read_text())
    options = ("-q", "-n", "4", "-p", "no:cacheprovider", "-W", "error")
    said = run(programs / "python", "-m", "pytest", *options, source.name, cwd=tmp_path)
    assert " passed" in said and "skipped" not in said
    located = run(
        programs / "python", "-c", "import taskdock_folder; print(taskdock_folder.__file__)", cwd=tmp_path
    )
    assert Path(located.strip()).is_relative_to(programs.parent)


def test_it_is_as_small_as_the_guide_says() -> None:
    """One source file and one test file of less than 30 lines, which knows nothing of our own adapters."""
    assert sorted(path.name for path in EXAMPLE.glob("*.py")) == [
        "taskdock_folder.py",
        "test_taskdock_folder.py",
    ]
    assert len((EXAMPLE / "test_taskdock_folder.py").read_text().splitlines()) < TEST_LINES_MAX
    assert not any("taskdock.adapters" in path.read_text() for path in EXAMPLE.glob("*.py"))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_task_runs_from_end_to_end(programs: Path, home: Path, tmp_path: Path, backend: str) -> None:
    """With `providers = ["folder"]` the demo agent commits in such a sandbox, and the kill leaves nothing of it."""
    repo, boxes = work_copy(make_remote(tmp_path / "remote"), tmp_path / "checkout"), tmp_path / "boxes"
    try:
        carrying = carried(programs, home, repo, boxes, backend)
    finally:
        left = processes_of(boxes)
        kill_all(left)
    provider, failure, status, branch, names = carrying
    assert (provider, failure, status, branch is not None) == ("folder", None, "running", True)
    assert len(names) == 1
    assert (left, list(boxes.glob("td-*"))) == ([], [])


def test_the_command_line_knows_it(programs: Path, home: Path, tmp_path: Path) -> None:
    """The doctor says what it cannot hold; a misspelt setting is told by file, line and the one that was meant."""
    doctor = json.loads(run(programs / "taskdock", "--home", home, "doctor", "--json", cwd=tmp_path))
    (check,) = [one for one in doctor["checks"] if one["name"] == "provider folder"]
    assert check["ok"] and "isolation none. What runs inside may do whatever your user may" in check["detail"]
    path = home / "taskdock.toml"
    path.write_text('providers = ["folder"]\n\n[provider.folder]\ncommand_max = 5\n')
    told = subprocess.run(
        [programs / "taskdock", "--home", home, "task", "list"],
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 2
    assert f"{path}:4: unknown key 'provider.folder.command_max'; did you mean 'commands_max'?" in told.stderr
