"""Providers: on which one the end-to-end tests run (TASKDOCK_PROVIDER), and how its sandboxes are seen from outside.

Owns: `PROVIDERS`, the one list of them; `prepared`, `under_test`, `eyes_on`, and what the eyes see: `Box`.
Never: a call of a port; a process, a file or a container is looked at where the system or the engine has it.
Reads as: conftest.py -> `prepared`; world.py, installation.py, work.py, loss.py, counting.py -> `under_test` -> the machine.

One more provider is one more line in `PROVIDERS`, and a class with the methods of `Provider`.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest
from attrs import field, frozen

from container_engine import EXAMPLE, Engine, NoEngine, running_engine
from local_process import ground
from owned import owner_of
from stand_in import StandIn, running_stand_in
from taskdock.adapters.sandbox.local.levels import Level
from taskdock.app.providers import find_provider

VARIABLE = "TASKDOCK_PROVIDER"


@frozen
class Box:
    """One sandbox. `path` holds its `home`, for reading and writing, for as long as it is neither stopped nor started."""

    name: str
    path: Path
    pids: tuple[int, ...]

    @property
    def generation(self) -> str:
        """Which one of its task it is, as its name ends: `g1`."""
        return self.name.rpartition("-")[2]


class Provider(Protocol):
    """What tests have to know of a provider."""

    @property
    def name(self) -> str:
        """Its name in a config."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """Its table in a config."""
        ...

    def boxes(self, home: Path) -> list[Box]:
        """Every sandbox of an installation, by name."""
        ...

    def take_away(self, home: Path, name: str) -> None:
        """Take a sandbox away with all that is in it, behind the provider's back."""
        ...

    def end(self, home: Path) -> None:
        """End all that an installation has left at the provider, so that no test leaves anything behind."""
        ...


@frozen
class Local:
    """Folders below the home, and processes that have one of them in their environment or command line."""

    name: str

    @property
    def settings(self) -> dict[str, Any]:
        """None are needed."""
        return {}

    def boxes(self, home: Path) -> list[Box]:
        """Look into the folder, and into /proc."""
        folders = sorted(path for path in self._root(home).glob("td-*") if path.is_dir())
        return [Box(path.name, path, tuple(processes_of(path))) for path in folders]

    def take_away(self, home: Path, name: str) -> None:
        """First what runs, then the folder."""
        path = self._root(home) / name
        kill_all(processes_of(path))
        shutil.rmtree(path)

    def end(self, home: Path) -> None:
        """Only processes: the folders are the test's own."""
        kill_all(processes_of(home / "sandboxes"))

    def _root(self, home: Path) -> Path:
        return home / self.name.replace("local", "sandboxes", 1)


@frozen
class Docker:
    """Containers of the engine, and the processes in their namespaces."""

    engine: Engine
    name: str = "docker"

    @property
    def settings(self) -> dict[str, Any]:
        """Where the engine is, and the image."""
        return {"image": self.engine.image, "socket": str(self.engine.socket)}

    def boxes(self, home: Path) -> list[Box]:
        """Ask the engine for the containers, and look for processes in their namespaces."""
        return [self._box(one) for one in self.engine.containers_of(home)]

    def take_away(self, home: Path, name: str) -> None:
        """Remove the container."""
        assert name in [box.name for box in self.boxes(home)]
        self.engine.remove(name)

    def end(self, home: Path) -> None:
        """Remove every container of the installation."""
        self.engine.remove_all(home)

    def _box(self, told: dict[str, Any]) -> Box:
        name, main = told["Name"].removeprefix("/"), told["State"]["Pid"]
        layers = told["GraphDriver"]["Data"]
        if not main:
            return Box(name, Path(layers["UpperDir"], "box"), ())
        inside = [pid for pid in _pids() if _namespace(pid) == _namespace(main)]
        return Box(name, Path(layers["MergedDir"], "box"), tuple(pid for pid in inside if not _keeps(pid)))


@frozen
class Daytona:
    """Boxes of a stand-in of Daytona, which are folders and processes of this machine."""

    stand_in: StandIn
    more: Mapping[str, float] = field(factory=dict)
    """Settings besides those below, or in their place."""
    name: str = "daytona"

    @property
    def settings(self) -> dict[str, Any]:
        """Where it is, and for how long a create that was not answered may still land; the key is in the environment."""
        config = self.stand_in.config
        window = {"create_window_seconds": config.create_window_seconds}
        return {"api_url": config.api_url, **window, **self.more}

    def boxes(self, home: Path) -> list[Box]:
        """Ask its door for tests, which no adapter knows."""
        told = sorted(self._told(home), key=lambda box: str(box["name"]))
        return [Box(box["name"], Path(box["folder"]), tuple(box["pids"])) for box in told]

    def take_away(self, home: Path, name: str) -> None:
        """As if it had never been made."""
        assert name in [box["name"] for box in self._told(home)]
        self.stand_in.act(name, "take-away")

    def end(self, home: Path) -> None:
        """Take away all of an installation."""
        for box in self._told(home):
            self.stand_in.act(box["id"], "take-away")

    def _told(self, home: Path) -> list[dict[str, Any]]:
        owner = owner_of(home)
        return [] if owner is None else self.stand_in.opened(owner)


@contextmanager
def _local(name: str) -> Iterator[Provider]:
    level = name.removeprefix("local-")
    wrong = None if level == name else ground(Level(level)).wrong
    if wrong is not None:
        pytest.skip(f"{name} does not work here: {wrong}")
    yield Local(name)


@contextmanager
def _docker() -> Iterator[Provider]:
    """With the example's entry point in this process, and in those that it starts."""
    entry_points = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in table.items())
        for group, table in entry_points.items()
    ]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        metadata = Path(folder, "taskdock_docker_provider-0.1.0.dist-info")
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: taskdock-docker-provider\nVersion: 0.1.0\n"
        )
        (metadata / "entry_points.txt").write_text("".join(lines))
        paths = [folder, str(EXAMPLE)]
        patch.setattr(sys, "path", [*sys.path, *paths])
        patch.setenv("PYTHONPATH", os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), *paths]))
        try:
            with running_engine() as engine:
                yield Docker(engine)
        except NoEngine as error:
            pytest.skip(f"no containers here: {error}")


@contextmanager
def _daytona() -> Iterator[Provider]:
    """With its key in the environment, and with nothing to say for its referee at the end."""
    with running_stand_in() as stand_in, pytest.MonkeyPatch.context() as patch:
        patch.setenv(stand_in.config.key_variable, stand_in.key)
        yield Daytona(stand_in)
        assert stand_in.seen()["referee"]["violations"] == []


PROVIDERS: dict[str, Callable[[], AbstractContextManager[Provider]]] = {
    "local": partial(_local, "local"),
    "local-process": partial(_local, "local-process"),
    "local-bubblewrap": partial(_local, "local-bubblewrap"),
    "docker": _docker,
    "daytona-standin": _daytona,
}
"""By what TASKDOCK_PROVIDER may say."""

_under_test: list[Provider] = []


@contextmanager
def prepared(name: str | None = None) -> Iterator[Provider]:
    """Make a provider, or the one that the environment names, the chosen one."""
    with PROVIDERS[name or os.environ.get(VARIABLE) or "local"]() as provider, chosen(provider):
        yield provider


@contextmanager
def chosen(provider: Provider) -> Iterator[None]:
    """Let the tests run on this one, whatever was chosen before."""
    _under_test.append(provider)
    try:
        yield
    finally:
        _under_test.remove(provider)


def under_test() -> Provider:
    """The provider that the tests run on."""
    return _under_test[-1] if _under_test else Local("local")


def eyes_on(name: str) -> Provider:
    """How the sandboxes of a provider are seen, which may be another one than the chosen."""
    return Local(name) if name.startswith("local") else under_test()


def only_on_local(why: str) -> None:
    """Skip a test that makes no sense for sandboxes that are no folders of this machine."""
    if not isinstance(under_test(), Local):
        pytest.skip(f"not on {under_test().name}: {why}")


def config_of(provider: Provider) -> dict[str, Any]:
    """What makes a `Config` run on it."""
    spec = find_provider(provider.name)
    settings = {key: Path(value) if key == "socket" else value for key, value in provider.settings.items()}
    return {"providers": (provider.name,), "provider": {provider.name: spec.config(**settings)}}


def toml_of(provider: Provider) -> tuple[str, str]:
    """The same for a file: a line for its top, and a table."""
    table = "".join(f"{key} = {json.dumps(value)}\n" for key, value in provider.settings.items())
    return f'providers = ["{provider.name}"]\n', f"[provider.{provider.name}]\n{table}" if table else ""


def processes_of(folder: Path, words: str = "") -> list[int]:
    """Live processes that carry a folder in their environment or command line; zombies do not count."""
    others = [pid for pid in _pids() if pid != os.getpid()]
    return [pid for pid in others if _carries(pid, os.fsencode(folder), words.encode())]


def hand_over(path: Path) -> None:
    """Give what a test wrote into a checkout to whom the checkout belongs, as if it had been written inside."""
    owner = path.parent.stat()
    for one in (path, *path.rglob("*")):
        os.chown(one, owner.st_uid, owner.st_gid)


def command_of(pid: int) -> str:
    """The command line of a process; nothing of one that has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def kill_all(pids: list[int]) -> None:
    """SIGKILL processes, of which some may have ended by then."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _carries(pid: int, folder: bytes, words: bytes) -> bool:
    entry = Path(f"/proc/{pid}")
    try:
        command = (entry / "cmdline").read_bytes()
        environment = (entry / "environ").read_bytes()
        zombie = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return not zombie and (folder in environment or folder in command) and words in command


def _namespace(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""


def _keeps(pid: int) -> bool:
    """Whether it only keeps the box, or has ended."""
    command = command_of(pid)
    return not command or "taskdock-keeper" in command
