"""Jail: the processes of one sandbox, in namespaces of their own where bubblewrap works.

Owns: `Jail`: its start, its end, and which processes are its own, seen from outside.
Never: a process left behind; with bubblewrap the kernel ends all of them with the first one.
Reads as: boxes.py -> this -> bwrap -> toolboxd.py.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from attrs import field, mutable

DAEMON = Path(__file__).with_name("toolboxd.py")
HOME = "/home/daytona"
_RUN = "/run/standin"
_ETC = ("passwd", "group", "hosts", "nsswitch.conf", "ld.so.cache", "alternatives", "ssl")
_START_SECONDS = 60.0


@cache
def has_bubblewrap() -> bool:
    """Whether namespaces work on this machine; without them a sandbox is a process tree and no more."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return False
    argv = [
        bwrap,
        "--unshare-user",
        "--unshare-pid",
        "--unshare-net",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "true",
    ]
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0


@mutable(eq=False)
class Jail:
    """One start of a sandbox. `folder` holds its home and its /tmp, which outlive it; `run` its sockets."""

    folder: Path
    run: Path
    env: dict[str, str]
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)
    _first: int = field(default=0, init=False)
    _space: int | None = field(default=None, init=False)

    @property
    def socket(self) -> Path:
        """Where the daemon listens."""
        return self.run / "toolbox.sock"

    async def start(self) -> None:
        """Start it, and wait until its daemon is ready."""
        for path in (self.folder / "home", self.folder / "tmp"):
            path.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.run, ignore_errors=True)
        self.run.mkdir(parents=True)
        argv, env = self._bubblewrapped() if has_bubblewrap() else self._plain()
        # Its own limit of files is not ours to lower; its parent's death is its own, so nothing outlives the stand-in.
        self._process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=env,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        said = await asyncio.wait_for(self._process.stdout.readline(), _START_SECONDS)
        if said != b"ready\n":
            raise RuntimeError(f"a sandbox does not come up: {said!r}")
        self._first = self._process.pid
        if has_bubblewrap():
            self._first = int(json.loads((self.run / "info").read_text())["child-pid"])
            # Held open, so that its number is not given to another one while we count.
            self._space = os.open(f"/proc/{self._first}/ns/pid", os.O_RDONLY)

    async def stop(self) -> None:
        """End all of it, and wait until nothing is left."""
        if self._process is None:
            return
        for pid in {self._first, *self.processes(), self._process.pid} - {0}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self._process.wait()
        while self.processes():  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.005)
        if self._space is not None:
            os.close(self._space)
        self._process, self._space = None, None

    def processes(self) -> dict[int, str]:
        """The command lines of its processes by pid, its machinery included."""
        return dict(self._found())

    def _found(self) -> Iterator[tuple[int, str]]:
        space = None if self._space is None else os.fstat(self._space).st_ino
        mark = f"STANDIN_RUN={self.run}".encode()
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            with contextlib.suppress(OSError):
                if space is not None:
                    is_ours = os.stat(f"/proc/{entry}/ns/pid").st_ino == space
                else:
                    is_ours = mark in Path(f"/proc/{entry}/environ").read_bytes() and not has_bubblewrap()
                state = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0]
                if is_ours and state not in "ZX":
                    yield (
                        int(entry),
                        Path(f"/proc/{entry}/cmdline")
                        .read_bytes()
                        .replace(b"\0", b" ")
                        .decode(errors="replace"),
                    )

    def _bubblewrapped(self) -> tuple[list[str], dict[str, str]]:
        python = Path(sys.base_prefix).resolve()
        path = "/usr/local/bin:/usr/bin:/bin"
        binds = ["--ro-bind", "/usr", "/usr", "--ro-bind", str(DAEMON), f"{_RUN}/toolboxd.py"]
        if not python.is_relative_to("/usr"):
            binds += ["--ro-bind", str(python), str(python)]
            path = f"{python}/bin:{path}"
        for name in ("bin", "lib", "lib64", "sbin"):
            if (found := Path("/", name)).is_symlink():
                binds += ["--symlink", str(found.readlink()), f"/{name}"]
            elif found.is_dir():
                binds += ["--ro-bind", f"/{name}", f"/{name}"]
        for name in _ETC:
            if Path("/etc", name).exists():
                binds += ["--ro-bind", f"/etc/{name}", f"/etc/{name}"]
        info = os.open(self.run / "info", os.O_WRONLY | os.O_CREAT, 0o600)
        os.close(info)
        inner = [
            *("bwrap", "--unshare-user", "--uid", "1000", "--gid", "1000", "--unshare-pid", "--unshare-ipc"),
            *("--unshare-uts", "--hostname", "daytona", "--unshare-net", "--die-with-parent"),
            *("--proc", "/proc", "--dev", "/dev", "--bind", str(self.run), _RUN, *binds),
            *("--bind", str(self.folder / "home"), HOME, "--bind", str(self.folder / "tmp"), "/tmp"),  # noqa: S108
            *("--chdir", HOME, "--clearenv", "--setenv", "PATH", path, "--setenv", "HOME", HOME),
            *("--setenv", "STANDIN_RUN", _RUN, "--info-fd", "3"),
        ]
        for name, value in self.env.items():
            inner += ["--setenv", name, value]
        inner += ["python3", "-I", "-S", f"{_RUN}/toolboxd.py"]
        # The shell only opens the file for --info-fd; it becomes bwrap, so that the death of its parent is seen.
        argv = ["sh", "-c", 'exec "$@" 3> "$0"', str(self.run / "info"), *inner]
        return argv, {"PATH": os.environ.get("PATH", os.defpath)}

    def _plain(self) -> tuple[list[str], dict[str, str]]:
        environment = {
            **self.env,
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder / "home"),
            "STANDIN_RUN": str(self.run),
        }
        return [sys.executable, "-I", "-S", str(DAEMON)], environment
