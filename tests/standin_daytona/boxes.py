"""Boxes: the sandboxes of the stand-in, from their create to their end.

Owns: `Box`, `Boxes`: states, names, labels, tokens, and what is told of a box.
Never: HTTP; an answer about a box that was not read at that moment, the list excepted, which may lag.
Reads as: control.py -> this -> jail.py.
"""

import asyncio
import secrets
import shutil
import subprocess
import time
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import define, field, mutable

from standin_daytona.jail import Jail

CHANGING = ("creating", "starting", "stopping")
_REMEMBERED_SECONDS = 60.0
"""How far back a list can lag."""


class Refusal(Exception):
    """What is asked is refused with a status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@mutable(eq=False)
class Box:
    """One sandbox."""

    asked: dict[str, Any]
    root: Path
    base_url: str
    key_id: str = field(factory=lambda: str(uuid.uuid4()), init=False)
    name: str = field(init=False)
    given_name: str = field(init=False)
    """The name that it was made under."""
    state: str = field(default="creating", init=False)
    desired: str = field(default="started", init=False)
    error: str | None = field(default=None, init=False)
    created_at: str = field(factory=_now, init=False)
    token: str = field(factory=lambda: secrets.token_hex(12), init=False)
    signed: dict[str, tuple[int, float]] = field(factory=dict, init=False)
    released: asyncio.Event = field(factory=asyncio.Event, init=False)
    jail: Jail = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.name = self.asked.get("name") or self.key_id
        self.given_name = self.name
        env = {str(key): str(value) for key, value in (self.asked.get("env") or {}).items()}
        self.jail = Jail(self.folder, self.root / "run" / self.key_id[:8], env)

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.root / "boxes" / f"{self.given_name}~{self.key_id[:8]}"

    def told(self) -> dict[str, Any]:
        """What is said of it when it is asked for."""
        asked = self.asked
        return {
            **self.listed(),
            "env": asked.get("env") or {},
            "kvm": False,
            "volumes": [],
        }

    def listed(self) -> dict[str, Any]:
        """What is said of it in a list."""
        asked = self.asked
        told: dict[str, Any] = {
            "id": self.key_id,
            "organizationId": "6d3d8a0e-0000-4000-8000-000000000001",
            "name": self.name,
            "target": asked.get("target") or "eu",
            "user": asked.get("user") or "daytona",
            "labels": asked.get("labels") or {},
            "public": bool(asked.get("public")),
            "networkBlockAll": bool(asked.get("networkBlockAll")),
            "snapshot": asked.get("snapshot"),
            "cpu": asked.get("cpu") or 1,
            "gpu": 0,
            "memory": asked.get("memory") or 1,
            "disk": asked.get("disk") or 3,
            "state": self.state,
            "desiredState": self.desired,
            "errorReason": self.error,
            "autoStopInterval": asked.get("autoStopInterval", 15),
            "autoArchiveInterval": asked.get("autoArchiveInterval", 10080),
            "autoDeleteInterval": asked.get("autoDeleteInterval", -1),
            "createdAt": self.created_at,
            "updatedAt": _now(),
            "toolboxProxyUrl": f"{self.base_url}/toolbox",
        }
        return {key: value for key, value in told.items() if value is not None}


@define
class Boxes:
    """All of them, those that are gone included: what is counted afterwards must still be found."""

    root: Path
    base_url: str = ""
    all: dict[str, Box] = field(factory=dict)
    created: int = 0
    doubles: list[str] = field(factory=list)
    """How often a task of Taskdock's got a box while it had one that was to live."""
    _index: deque[tuple[float, list[dict[str, Any]]]] = field(factory=deque)
    _tasks: set[asyncio.Task[None]] = field(factory=set)

    def find(self, id_or_name: str) -> Box:
        """By id or by name; what is gone is not found."""
        for box in self.all.values():
            if id_or_name in (box.key_id, box.name) and box.state != "destroyed":
                return box
        raise Refusal(404, f"Sandbox with ID or name {id_or_name} not found")

    def add(self, asked: Mapping[str, Any]) -> Box:
        """A new one, on its way; a name that is taken is refused."""
        box = Box(dict(asked), self.root, self.base_url)
        if any(other.name == box.name and other.state != "destroyed" for other in self.all.values()):
            raise Refusal(409, f"Sandbox with name {box.name} already exists")
        task = (box.asked.get("labels") or {}).get("taskdock.task")
        living = [one for one in self.all.values() if one.desired != "destroyed" and one.state != "error"]
        if task is not None:
            beside = [one for one in living if (one.asked.get("labels") or {}).get("taskdock.task") == task]
            self.doubles += [f"{box.name} beside {one.name}, which is {one.state}" for one in beside]
        self.all[box.key_id] = box
        self.created += 1
        return box

    async def bring_up(
        self, box: Box, seconds: float = 0.0, *, fails: bool = False, is_stuck: bool = False
    ) -> None:
        """Start a box that is on its way. Shielded: nobody who hangs up stops it."""
        if is_stuck:
            with suppress(TimeoutError):
                await asyncio.wait_for(box.released.wait(), seconds)
        else:
            await asyncio.sleep(seconds)
        if fails:
            box.state, box.error = "error", "Sandbox failed to start: no runner could take it"
            return
        box.token = secrets.token_hex(12)
        await box.jail.start()
        box.state = "started"

    def ask(self, box: Box, verb: str) -> None:
        """Take a stop, a start or a delete, which is carried out in the background."""
        if box.state in CHANGING:
            raise Refusal(409, "Sandbox state change in progress")
        if verb == "delete":
            if box.desired == "destroyed":
                return
            self._leaves(box)
            self._later(self._end(box))
        elif verb == "stop":
            if box.state != "started":
                raise Refusal(400, "Sandbox is not started")
            box.state, box.desired = "stopping", "stopped"
            self._later(self._halt(box))
        else:
            if box.state == "started":
                return
            if box.state not in ("stopped", "archived"):
                raise Refusal(400, "Sandbox is not in valid state")
            box.state, box.desired = "starting", "started"
            self._later(self.bring_up(box))

    def shown(self, labels: Mapping[str, str], lag_seconds: float) -> list[dict[str, Any]]:
        """As a search index has it: as it was a while ago."""
        self.index()
        now = time.monotonic()
        old = [boxes for at, boxes in self._index if now - at >= lag_seconds]
        return [one for one in (old[-1] if old else ()) if labels.items() <= one["labels"].items()]

    def index(self) -> None:
        """Note how things are now, for a list that lags; what was a minute ago is forgotten."""
        now = time.monotonic()
        while self._index and now - self._index[0][0] > _REMEMBERED_SECONDS:
            self._index.popleft()
        self._index.append((now, [box.listed() for box in self.all.values() if box.state != "destroyed"]))

    def files(self, name: str) -> list[str]:
        """What lies on the disk of boxes that were made under this name."""
        found = [*(self.root / "boxes").glob(f"{name}~*")]
        found += [
            box.jail.run for box in self.all.values() if box.given_name == name and box.jail.run.exists()
        ]
        return [str(path.relative_to(self.root)) for path in found]

    def opened(self, owner: str) -> list[dict[str, Any]]:
        """Those that an owner has a label on: the name they were made under, where their files are, what runs in them."""
        return [
            {
                "id": box.key_id,
                "name": box.given_name,
                "folder": str(box.folder),
                "processes": box.jail.processes(),
            }
            for box in self.all.values()
            if box.state != "destroyed" and (box.asked.get("labels") or {}).get("taskdock.owner") == owner
        ]

    async def take_away(self, box: Box) -> None:
        """End one with all that is in it, as nobody can ask for; back when nothing is left."""
        while box.state in CHANGING:  # noqa: ASYNC110 - whatever is done to it now is done first
            await asyncio.sleep(0.01)
        if box.desired != "destroyed":
            self._leaves(box)
            await self._end(box)
        while box.state != "destroyed":  # noqa: ASYNC110 - somebody else ends it
            await asyncio.sleep(0.01)

    def processes(self, name: str) -> list[str]:
        """The command lines of all that runs in boxes of this name."""
        return [
            line
            for box in self.all.values()
            if box.given_name == name
            for line in box.jail.processes().values()
        ]

    async def close(self) -> None:
        """End all of them."""
        for box in self.all.values():
            await box.jail.stop()

    @staticmethod
    def _leaves(box: Box) -> None:
        """Its name is free from now on."""
        box.desired = "destroyed"
        box.name = f"DESTROYED_{box.name}_{int(time.time() * 1000)}"

    async def _halt(self, box: Box) -> None:
        await box.jail.stop()
        box.state = "stopped"

    async def _end(self, box: Box) -> None:
        await asyncio.sleep(0.05)
        box.state = "destroying"
        await box.jail.stop()
        await asyncio.to_thread(_remove, box.folder)
        await asyncio.to_thread(_remove, box.jail.run)
        box.state = "destroyed"

    def _later(self, work: Any) -> None:  # noqa: ANN401 - a coroutine
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _remove(path: Path) -> None:
    """Remove a folder whatever is in it; Python's own walk stumbles over deep ones."""
    subprocess.run(["chmod", "-R", "u+rwx", str(path)], check=False, capture_output=True)
    subprocess.run(["rm", "-rf", str(path)], check=False, capture_output=True)
    shutil.rmtree(path, ignore_errors=True)
