"""Levels of the local provider: which one is taken, what is said of it, what it limits, and an agent at work in each."""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from anyio import to_thread
from attrs import evolve

from agent_server import conversation, gateway, silent, until_replied
from local_process import OWNER, files, new_spec, processes, running_sandbox, sandboxes
from taskdock.adapters.clock import SystemClock
from taskdock.adapters.sandbox.local import bubblewrap
from taskdock.adapters.sandbox.local.levels import Level, best, prepare
from taskdock.adapters.sandbox.local.limits import LimitFigures
from taskdock.adapters.sandbox.local.provider import LocalSandboxes
from taskdock.app import Config, load_config
from taskdock.app.doctor import examine
from taskdock.app.providers import open_provider
from taskdock.core.errors import InvalidCommand, Permanent, Unreachable, Unsupported
from taskdock.ports.agent import StopReason
from taskdock.ports.sandbox import Exec, Phase, ProgramFile, SandboxRef

pytestmark = pytest.mark.anyio

namespaced = pytest.mark.parametrize("level", [Level.BUBBLEWRAP, Level.BUBBLEWRAP_NETNS], indirect=True)
Lay = Callable[[str | None], None]


@pytest.fixture
def lay_bwrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lay:
    """Let PATH lead to a few programs, and to a bwrap of these lines of shell, or to none."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("git", "sh", "sleep", "apt-get"):
        (folder / name).symlink_to(shutil.which(name) or "/bin/true")
    monkeypatch.setenv("PATH", str(folder))

    def lay(script: str | None) -> None:
        if script is not None:
            (folder / "bwrap").write_text(f"#!/bin/sh\n{script}\n")
            (folder / "bwrap").chmod(0o755)

    return lay


@pytest.mark.parametrize(
    ("script", "wrong", "mend"),
    [
        (None, "not installed", "install bubblewrap"),
        ("echo 'no such map' >&2; exit 1", "no such map", "user namespaces"),
        ("exec sleep 600", "not ready", "user namespaces"),
    ],
    ids=["missing", "broken", "silent"],
)
async def test_what_does_not_work_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, lay_bwrap: Lay, script: str | None, wrong: str, mend: str
) -> None:
    """Where bwrap is missing, fails or never answers, `local` is of level `process` and says what mends it."""
    monkeypatch.setattr(bubblewrap, "START_SECONDS", 0.5)
    lay_bwrap(script)
    tried = await to_thread.run_sync(prepare, Level.BUBBLEWRAP)
    assert wrong in (tried.wrong or "")
    taken = await to_thread.run_sync(best)
    assert (taken.level, taken.wrong) == (Level.PROCESS, None)
    assert mend in (taken.mend or "")


@namespaced
async def test_what_works_is_taken(level: Level) -> None:
    """Where bwrap works, `local` is of level `bubblewrap`: without a network only who asks for it is."""
    assert (await to_thread.run_sync(prepare, level)).wrong is None
    taken = await to_thread.run_sync(best)
    assert (taken.level, taken.wrong, taken.mend) == (Level.BUBBLEWRAP, None, None)


async def test_level_asked_for_by_name_is_never_lowered(tmp_path: Path, lay_bwrap: Lay) -> None:
    """A provider named after a level that does not work is Unsupported, and the doctor says the command that mends it."""
    lay_bwrap(None)
    home = tmp_path / "home"
    home.mkdir()
    (home / "taskdock.toml").write_text('providers = ["local", "local-bubblewrap"]\n')
    config = Config(home=home)
    with pytest.raises(Unsupported, match="apt-get install bubblewrap"):
        await open_provider("local-bubblewrap", config, SystemClock())
    checks = {check.name: check for check in await examine(home)}
    degraded, failed = checks["provider local"], checks["provider local-bubblewrap"]
    assert (degraded.ok, degraded.essential) == (False, False)
    assert (failed.ok, failed.essential) == (False, True)
    assert degraded.mend == failed.mend == "apt-get install bubblewrap"
    assert "isolation process" in degraded.detail


async def test_each_provider_has_a_folder_of_its_own(tmp_path: Path, level: Level) -> None:
    """Each level is a provider with a name; their sandboxes do not meet, and an unknown name names the known ones."""
    config = Config(home=tmp_path)
    name = f"local-{level.value}"
    local = await open_provider(name, config, SystemClock())
    assert (local.id, local.capabilities.isolation) == (name, level.value)
    spec = evolve(new_spec(), ref=SandboxRef(name, "box"))
    await local.ensure(spec)
    assert files(tmp_path / f"sandboxes-{level.value}", "box")
    await local.destroy(spec.ref, OWNER)
    assert (await open_provider("local", config, SystemClock())).id == "local"
    with pytest.raises(InvalidCommand, match=r"'local-bubblewrap'"):
        await open_provider("locall", config, SystemClock())


@namespaced
async def test_a_sandbox_is_never_used_with_less_isolation(tmp_path: Path, level: Level) -> None:
    """What was made in a namespace does not run without one when that stops working; it can still be ended."""
    weaker = sandboxes(tmp_path, Level.PROCESS)
    async with running_sandbox(tmp_path, level) as spec:
        with pytest.raises(Permanent, match="taskdock doctor"):
            await weaker.exec(spec.ref, Exec(("true",)))
        assert (await sandboxes(tmp_path, level).exec(spec.ref, Exec(("true",)))).exit_code == 0
        assert (await weaker.destroy(spec.ref, OWNER)).phase is Phase.ABSENT


async def test_level_process_says_what_it_cannot_hold(tmp_path: Path) -> None:
    """At level `process` another sandbox's file is read and a host process is seen; its capabilities say both."""
    adapter = sandboxes(tmp_path, Level.PROCESS)
    async with (
        running_sandbox(tmp_path, Level.PROCESS) as one,
        running_sandbox(tmp_path, Level.PROCESS) as two,
    ):
        await adapter.put_files(one.ref, [ProgramFile("file", content=b"secret")])
        theirs = tmp_path / one.ref.name / "home/file"
        result = await adapter.exec(
            two.ref, Exec(("sh", "-c", f"cat {theirs}; kill -0 {os.getpid()} && echo seen"))
        )
        assert result.stdout == b"secretseen\n"
    said = " ".join(adapter.capabilities.not_enforced)
    assert "reads and changes every file that your user may" in said
    assert "sees and can signal all processes of your user" in said
    assert adapter.capabilities.limits == ()


@namespaced
async def test_limits_hold_or_are_said_not_to(tmp_path: Path, level: Level) -> None:
    """Memory, processes and processor are limited where the capabilities say so, and nothing of that is left afterwards."""
    figures = LimitFigures(memory_mib=64, processes_max=30, cpus=0.5)
    ground = await to_thread.run_sync(prepare, level, figures)
    adapter = LocalSandboxes(tmp_path, "here", lambda: datetime.now(UTC), ground=ground)
    spec = new_spec()
    await adapter.ensure(spec)
    try:
        said, unsaid = " ".join(adapter.capabilities.limits), " ".join(adapter.capabilities.not_enforced)
        eat = "data = bytearray(256 << 20); print(len(data))"
        eaten = await adapter.exec(spec.ref, Exec(("python3", "-c", eat)))
        assert (eaten.exit_code == 0) == ("Memory" not in said) == ("memory" in unsaid)
        multiply = "for i in $(seq 60); do sleep 2 & done; wait"
        multiplied = await adapter.exec(spec.ref, Exec(("sh", "-c", multiply)))
        is_limited = b"fork" in multiplied.stderr
        assert is_limited == ("Processes: 30" in said) == ("number of processes" not in unsaid)
        assert ("Processor: 0.5" in said) == ("processor time" not in unsaid)
        groups = control_groups(tmp_path, spec.ref.name)
        assert bool(groups) == ("all of a sandbox together" in said)
    finally:
        await adapter.destroy(spec.ref, OWNER)
    assert not [group for group in groups if group.exists()]


async def test_limits_are_read_from_the_file(tmp_path: Path) -> None:
    """`[provider.local]` sets what a sandbox may take; what is no such figure is told by its line."""
    path = tmp_path / "taskdock.toml"
    path.write_text("[provider.local]\nmemory_mib = 512\nprocesses_max = 100\ncpus = 1.5\n")
    assert load_config(path).provider == {"local": LimitFigures(512, 100, 1.5)}
    for wrong in ("memory_mib = -1", "processes_max = 0", 'cpus = "two"', "cpus = nan", "memory = 1"):
        path.write_text(f"[provider.local]\n{wrong}\n")
        with pytest.raises(InvalidCommand, match=r"taskdock.toml:2: "):
            load_config(path)


async def test_agent_works_in_its_sandbox(tmp_path: Path, level: Level) -> None:
    """The real server, relay and agent answer a prompt at every level, edit the checkout, and end with their sandbox."""
    adapter = sandboxes(tmp_path)
    async with gateway() as agents, running_sandbox(tmp_path, level) as spec:
        begin = "git init -q -b main . && git -c user.name=T -c user.email=t@example.org commit -q --allow-empty -m first"
        assert (await adapter.exec(spec.ref, Exec(("sh", "-c", begin), cwd="checkout"))).exit_code == 0
        service = await agents.service("demo", silent)
        endpoint = await adapter.ensure_service(spec.ref, service)
        assert (endpoint.uds is not None) == (level is Level.BUBBLEWRAP_NETNS)
        tab = conversation()
        session = await agents.open_session(endpoint, tab, endpoint.checkout)
        async with agents.attach(endpoint, tab) as stream:
            await agents.prompt(endpoint, tab, session.session_id, "msg-1", "Explain the parser")
            _, end = await until_replied(stream, "msg-1")
        assert end.stop is StopReason.COMPLETED
        assert await adapter.get_file(spec.ref, "checkout/notes/explain-the-parser.md")
        # Whoever comes next, in another process, finds the same server.
        assert (
            await sandboxes(tmp_path, level).endpoint(spec.ref, service.name)
        ).incarnation == endpoint.incarnation
        await adapter.stop_service(spec.ref, service.name)
        assert not processes(tmp_path, spec.ref.name)
        with pytest.raises(Unreachable):
            await agents.open_session(endpoint, tab, endpoint.checkout)


def control_groups(root: Path, name: str) -> list[Path]:
    """Which control groups there are for a sandbox, as it wrote them down."""
    noted = root / name / "groups"
    groups = [Path(one) for one in noted.read_text().split("\0")] if noted.exists() else []
    assert all(group.is_dir() for group in groups)
    return groups
