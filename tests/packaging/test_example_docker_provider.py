"""Docker provider: the second example, installed beside our built wheel, keeps its promises and carries a task.

It runs on a real podman; where there is none, and outside CI, these tests are skipped with the reason.
"""

import json
import socket
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from agent_server import CACHE
from clean_install import install, make_environment, run
from container_engine import EXAMPLE, Engine
from example_task import carried
from git_repos import make_remote, work_copy
from taskdock.core.errors import QuotaExceeded
from taskdock.ports.sandbox import Phase, SandboxRef, SandboxSpec

SOURCE_LINES_MAX, TEST_LINES_MAX = 950, 40


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install our wheel and the example into an environment; answers the folder of its programs."""
    programs = make_environment(tmp_path_factory.mktemp("docker-example"))
    install(programs, wheel)
    install(programs, EXAMPLE)
    return programs


def test_its_own_test_passes(programs: Path, engine: Engine, tmp_path: Path) -> None:
    """Its one test file runs every check of the kit against the installed provider, on asyncio and on trio."""
    source = EXAMPLE / "test_taskdock_docker.py"
    (tmp_path / source.name).write_text(source.read_text())
    options = ("-q", "-n", "4", "-p", "no:cacheprovider", "-W", "error", source.name)
    variables = {"DOCKER_SOCKET": str(engine.socket), "DOCKER_IMAGE": engine.image}
    said = run(programs / "python", "-m", "pytest", *options, cwd=tmp_path, **variables)
    assert " passed" in said and "skipped" not in said


@pytest.mark.anyio
async def test_a_port_that_somebody_took_stops_no_box(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A box that cannot start for its ports is made afresh with others; those of a stopped box stay its own."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    from taskdock_docker import DockerConfig, DockerSandboxes  # noqa: PLC0415 - it is not installed beside the tests

    one, other = (SandboxSpec(SandboxRef("docker", f"td-{uuid4().hex}"), "me", "task", 1) for _ in range(2))
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        first = theirs.getsockname()[1]
        two_boxes, its_own = (
            DockerSandboxes(
                DockerConfig(engine.image, engine.socket, services_max=1, port_min=port, port_max=first + 3),
                lambda: datetime.now(UTC),
            )
            for port in (first, first + 2)
        )
        try:
            assert (await two_boxes.ensure(one)).phase is Phase.RUNNING
            await two_boxes.stop(one.ref, "me")
            with pytest.raises(QuotaExceeded, match="widen"):
                await its_own.ensure(other)
            assert (await two_boxes.start(one.ref, "me")).phase is Phase.RUNNING
        finally:
            await two_boxes.destroy(one.ref, "me")
            await two_boxes.aclose()
            await its_own.aclose()


def test_it_is_a_distribution_of_one_file() -> None:
    """One source file, one test file and the program that makes the tests' image; nothing of our own adapters."""
    files = {path.name: path.read_text() for path in EXAMPLE.glob("*.py")}
    assert sorted(files) == ["make_image.py", "taskdock_docker.py", "test_taskdock_docker.py"]
    assert len(files["taskdock_docker.py"].splitlines()) <= SOURCE_LINES_MAX
    assert len(files["test_taskdock_docker.py"].splitlines()) <= TEST_LINES_MAX
    assert not any("taskdock.adapters" in text for text in files.values())


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_task_runs_from_end_to_end(programs: Path, engine: Engine, tmp_path: Path, backend: str) -> None:
    """With `providers = ["docker"]` the demo agent commits in a container, and the kill leaves none."""
    home = tmp_path / "home"
    home.mkdir()
    settings = f"image = {json.dumps(engine.image)}\nsocket = {json.dumps(str(engine.socket))}\n"
    config = f'providers = ["docker"]\ncache = {json.dumps(str(CACHE))}\n\n[provider.docker]\n{settings}'
    (home / "taskdock.toml").write_text(config)
    repo = work_copy(make_remote(tmp_path / "remote"), tmp_path / "checkout")
    try:
        provider, failure, status, branch, _ = carried(programs, home, repo, tmp_path / "none", backend)
    finally:
        left = engine.remove_all(home)
    assert (provider, failure, status, branch is not None) == ("docker", None, "running", True)
    assert left == []
    doctor = json.loads(run(programs / "taskdock", "--home", home, "doctor", "--json", cwd=tmp_path))
    (check,) = [one for one in doctor["checks"] if one["name"] == "provider docker"]
    assert check["ok"] and "isolation container" in check["detail"]
