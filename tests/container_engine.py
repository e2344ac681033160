"""Container engine: podman as our tests use it, on a socket of its own, with an image made of this machine's files.

Owns: `running_engine`, which raises `NoEngine` with what is wrong, and `Engine`, eyes that share nothing with the adapter.
Never: a registry; the machine's own settings of podman.
Reads as: tests/conftest.py (fixture `engine`), tests/e2e -> this -> podman.

podman has no daemon: the service that is started here only answers, on the machine's usual store. So each process of a
test session has one of its own, and all see the same containers. It ends with the session, or when nobody asks it.
"""

import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from attrs import frozen

from architecture.source_tree import REPOSITORY
from owned import owner_of

EXAMPLE = REPOSITORY / "examples/taskdock-docker-provider"
IDLE_SECONDS = 900
UP_SECONDS_MAX = 60.0

# For machines without systemd, with little room for limits, and with the old and the new cgroups side by side.
SETTINGS = """\
[containers]
default_ulimits = []
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
"""


class NoEngine(Exception):
    """No containers can be run here; the text says why."""


@frozen
class Engine:
    """A socket that answers, and the image for boxes."""

    socket: Path
    image: str = ""

    def ask(self, method: str, path: str, **query: str) -> Any:  # noqa: ANN401 - as the API answers
        """Ask it; None for what is not there."""
        transport = httpx.HTTPTransport(uds=str(self.socket))
        with httpx.Client(transport=transport, base_url="http://engine", timeout=60.0) as client:
            answer = client.request(method, path, params=query)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        answer.raise_for_status()
        return answer.json() if "json" in answer.headers.get("Content-Type", "") else None

    def containers(self, owner: str) -> list[dict[str, Any]]:
        """Every container with this owner's label, as the engine describes it, by name."""
        filters = json.dumps({"label": [f"taskdock.owner={owner}"]})
        ids = [one["Id"] for one in self.ask("GET", "/containers/json", all="1", filters=filters)]
        told = [self.ask("GET", f"/containers/{one}/json") for one in ids]
        return sorted((one for one in told if one is not None), key=lambda one: str(one["Name"]))

    def containers_of(self, home: Path) -> list[dict[str, Any]]:
        """Those of one installation, which is the owner of its sandboxes."""
        owner = owner_of(home)
        return [] if owner is None else self.containers(owner)

    def remove(self, container: str) -> None:
        """Take a container away, running or not."""
        self.ask("DELETE", f"/containers/{container}", force="1", v="1")

    def remove_all(self, home: Path) -> list[str]:
        """Take away what an installation has left; its names."""
        left = self.containers_of(home)
        for one in left:
            self.remove(one["Id"])
        return [one["Name"].removeprefix("/") for one in left]


@contextmanager
def running_engine() -> Iterator[Engine]:
    """Start it, and make the image unless it is there."""
    lacks = [name for name in ("podman", "runc", "busybox") if shutil.which(name) is None]
    if lacks:
        raise NoEngine(f"{' and '.join(lacks)} not installed")
    if os.geteuid() != 0:
        raise NoEngine("podman is tried as root only")
    folder = Path(tempfile.mkdtemp(prefix="td-engine-"))
    settings = folder / "containers.conf"
    settings.write_text(SETTINGS)
    argv = ["podman", "system", "service", f"--time={IDLE_SECONDS}", f"unix://{folder / 'socket'}"]
    environment = {**os.environ, "CONTAINERS_CONF": str(settings)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        _await(folder, process)
        yield Engine(folder / "socket", _image(folder / "socket"))
    finally:
        process.terminate()
        process.wait(UP_SECONDS_MAX)
        shutil.rmtree(folder)


def _await(folder: Path, process: "subprocess.Popen[bytes]") -> None:
    """Wait until it answers; only asking tells."""
    until = time.monotonic() + UP_SECONDS_MAX
    while process.poll() is None and time.monotonic() < until:
        # By hand: a client of httpx leaves the socket of a connect that was refused to the collector.
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(folder / "socket"))
            except OSError:
                time.sleep(0.02)
                continue
        Engine(folder / "socket").ask("GET", "/_ping")
        return
    raise NoEngine(f"podman does not come up: {(folder / 'log').read_text()[-1000:]}")


def _image(path: Path) -> str:
    """Make the image, once for what it is made of; the others that want it wait meanwhile."""
    program = EXAMPLE / "make_image.py"
    made_of = [program.read_bytes()]
    for one in (Path("/usr/bin/python3"), Path("/usr/bin/git")):
        if not one.exists():
            raise NoEngine(f"{one} is not there to make an image of")
        made_of.append(repr(one.stat()[6:9:2]).encode())  # its size, and when it was written
    name = f"taskdock-box:{hashlib.sha256(b''.join(made_of)).hexdigest()[:12]}"
    with (Path(tempfile.gettempdir()) / "taskdock-image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if Engine(path).ask("GET", f"/images/{name}/json") is None:
            argv = [sys.executable, str(program), str(path), name]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise NoEngine(f"the image cannot be made: {done.stderr[-1000:]}")
    return name
