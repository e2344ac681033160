"""Stand-in of Daytona under test: starts it in a process of its own, orders its faults, and looks at it from outside.

Owns: `StandIn`, `running_stand_in`, and how a provider is made for it.
Never: the code under test, but in `sandboxes` and `under_test`, which make it.
Reads as: tests -> this -> `python -m standin_daytona`.
"""

import itertools
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anyio import to_thread
from attrs import evolve, frozen

from taskdock.adapters.sandbox.daytona.provider import DaytonaSandboxes
from taskdock.adapters.sandbox.daytona.settings import DaytonaConfig
from taskdock.ports.sandbox import SandboxRef, SandboxSpec
from taskdock.testing.conformance.sandbox import SandboxUnderTest

OWNER = "tests"
WINDOW_SECONDS = 4.0
_TESTS = Path(__file__).parent
_MACHINERY = ("toolboxd.py", ".taskdock/provider/inside-", "bwrap ", "python3 -m zipfile")
_numbers = itertools.count(1)


@frozen
class StandIn:
    """A stand-in that runs."""

    url: str
    key: str
    folder: Path

    @property
    def config(self) -> DaytonaConfig:
        """The settings of a provider that uses it."""
        return DaytonaConfig(f"{self.url}/api", create_window_seconds=WINDOW_SECONDS)

    def sandboxes(self, **changes: Any) -> DaytonaSandboxes:
        """A fresh adapter, as another process would have it."""
        return DaytonaSandboxes(evolve(self.config, **changes), self.key, lambda: datetime.now(UTC))

    def new_spec(self, name: str | None = None) -> SandboxSpec:
        """A spec of a fresh name, unless one is given."""
        fresh = f"taskdock-{secrets.token_hex(3)}-{next(_numbers)}"
        return SandboxSpec(SandboxRef("daytona", name or fresh), OWNER, "task-1", 1)

    def order(self, *faults: dict[str, Any], **always: Any) -> None:
        """Order faults (see standin_daytona/faults.py), or change what is always so."""
        self._post("faults", {"faults": list(faults), **always})

    def clear(self) -> None:
        """No faults any more."""
        self._post("faults", {"clear": True})

    def act(self, name: str, act: str) -> None:
        """Let something happen to a box: `rotate` its token, `stop`, `take-away`, `release`, or give it a state."""
        self._post("act", {"name": name, "act": act})

    def seen(self, name: str | None = None) -> dict[str, Any]:
        """What there is, from outside."""
        told: dict[str, Any] = self._get("" if name is None else f"?name={name}")
        return told

    def processes(self, name: str) -> list[str]:
        """What runs in boxes of this name, without the machinery that holds them together."""
        return [line for line in self.seen(name)["processes"] if not _is_machinery(line)]

    def opened(self, owner: str) -> list[dict[str, Any]]:
        """The boxes of an owner: the name they were made under, their folder, and the processes but for the machinery."""
        boxes: list[dict[str, Any]] = self._get(f"/boxes?owner={owner}")
        for box in boxes:
            box["pids"] = [int(pid) for pid, line in box.pop("processes").items() if not _is_machinery(line)]
        return boxes

    def names(self) -> list[str]:
        """The names of all boxes there are, those that are being destroyed too."""
        return sorted(box["name"] for box in self.seen()["boxes"])

    def boxes_of(self, *task_ids: str) -> list[dict[str, Any]]:
        """The boxes that are labelled with one of these tasks."""
        return [box for box in self.seen()["boxes"] if box["labels"].get("taskdock.task") in task_ids]

    def under_test(self, **changes: Any) -> SandboxUnderTest:
        """The record that the conformance checks take."""
        adapter = self.sandboxes(**changes)

        def second() -> tuple[DaytonaSandboxes, DaytonaSandboxes]:
            other = self.sandboxes(**changes)
            return other, other

        async def count_processes(ref: SandboxRef) -> int:
            return len(await to_thread.run_sync(self.processes, ref.name))

        async def leftovers(ref: SandboxRef) -> list[str]:
            found: list[str] = (await to_thread.run_sync(self.seen, ref.name))["files"]
            return found

        return SandboxUnderTest(
            adapter, adapter, self.new_spec, second, count_processes, leftovers, settle_seconds=30
        )

    def _get(self, rest: str) -> Any:  # noqa: ANN401 - as it is told
        with urllib.request.urlopen(f"{self.url}/_standin{rest}") as answer:  # noqa: S310 - our own server
            return json.load(answer)

    def _post(self, place: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.url}/_standin/{place}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            answer.read()


def _is_machinery(line: str) -> bool:
    """Whether it only holds a box together."""
    return any(part in line for part in _MACHINERY)


@contextmanager
def running_stand_in() -> Iterator[StandIn]:
    """Start one, and end it with every sandbox of it."""
    # Short, since a unix socket's path is.
    folder = Path(tempfile.mkdtemp(prefix="td-"))
    key = f"dtn_{secrets.token_hex(24)}"
    environment = {**os.environ, "PYTHONPATH": str(_TESTS), "STANDIN_KEY": key}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "standin_daytona", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
        )
    assert process.stdin is not None and process.stdout is not None
    try:
        port = process.stdout.readline().decode().strip()
        assert port, (folder / "log").read_text()
        yield StandIn(f"http://127.0.0.1:{port}", key, folder)
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)
