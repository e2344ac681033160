"""Box: a sandbox as Daytona tells of it, and what that means in our words.

Owns: `Box`, the table from its states to phases, and the labels that make a box ours.
Never: an error over a word or a field that is new: what we do not know is `unknown`, what we do not need is not read.
Reads as: control.py -> `Box.read` -> provider.py.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import field, frozen

from taskdock.core.errors import Transient
from taskdock.ports.sandbox import Phase, SandboxSpec

_PREFIX = "taskdock."
NAME = f"{_PREFIX}name"
OWNER = f"{_PREFIX}owner"
"""Labels; the name is one too, since a box that is being destroyed has lost its own."""

CPU, MEMORY, DISK = "vCPU", "GiB of memory", "GiB of disk"

_COMES = (
    *("creating", "restoring", "starting", "resuming", "pending_build", "building_snapshot"),
    *("pulling_snapshot", "resizing", "snapshotting", "forking"),
)
_RESTS = ("stopped", "archived", "paused")
_PHASES = {
    **dict.fromkeys(_COMES, Phase.PENDING),
    **dict.fromkeys(_RESTS, Phase.STOPPED),
    **dict.fromkeys(("stopping", "archiving", "pausing"), Phase.STOPPING),
    **dict.fromkeys(("error", "build_failed"), Phase.FAILED),
    "started": Phase.RUNNING,
    "destroying": Phase.DESTROYING,
    "destroyed": Phase.ABSENT,
}
"""By state. What is desired decides besides: right after a DELETE the state is still what it was."""


@frozen
class Box:
    """One sandbox of theirs. `key_id` is their id, which outlives the name."""

    key_id: str
    name: str
    state: str
    desired: str | None = None
    labels: Mapping[str, str] = field(factory=dict)
    toolbox_url: str | None = None
    error: str | None = None
    created_at: datetime | None = None
    cpu: float = 0.0
    memory_gib: float = 0.0
    disk_gib: float = 0.0

    @classmethod
    def read(cls, body: object) -> "Box":
        """Read one; Transient when it has neither id nor name, which no box of theirs lacks."""
        told: Mapping[str, Any] = body if isinstance(body, dict) else {}
        key_id, name = _text(told.get("id")), _text(told.get("name"))
        if not key_id or not name:
            raise Transient("Daytona answered with something that is no sandbox.")
        return cls(
            key_id,
            name,
            _text(told.get("state")) or "unknown",
            _text(told.get("desiredState")),
            _labels(told.get("labels")),
            _text(told.get("toolboxProxyUrl")),
            _text(told.get("errorReason")),
            _time(told.get("createdAt")),
            _number(told.get("cpu")),
            _number(told.get("memory")),
            _number(told.get("disk")),
        )

    @property
    def phase(self) -> Phase:
        """In our words. A stop or a destroy that was accepted counts before it shows in the state."""
        phase = _PHASES.get(self.state, Phase.UNKNOWN)
        if self.desired == "destroyed" and phase is not Phase.ABSENT:
            return Phase.DESTROYING
        if self.desired in _RESTS and phase in (Phase.RUNNING, Phase.PENDING):
            return Phase.STOPPING
        if self.desired == "started" and phase is Phase.STOPPED:
            return Phase.PENDING
        return phase

    @property
    def reason(self) -> str | None:
        """Why it is so, where that is not plain."""
        if self.phase is Phase.UNKNOWN:
            return f"Daytona says {self.state!r} of it, a word that is not known here."
        return self.error

    @property
    def takes(self) -> dict[str, float]:
        """What it takes up now: a stopped one its disk alone, an archived one nothing."""
        if self.state in ("archived", "destroyed"):
            return {}
        disk = {DISK: self.disk_gib}
        return disk if self.phase is Phase.STOPPED else {CPU: self.cpu, MEMORY: self.memory_gib, **disk}

    @property
    def own_labels(self) -> dict[str, str]:
        """Owner, task and generation as the spec had them; empty when it is not of Taskdock's making."""
        names = ("owner", "task", "generation")
        return {name: value for name in names if (value := self.labels.get(_PREFIX + name)) is not None}

    @property
    def given_name(self) -> str:
        """The name that it was made under; its own is another one while it is being destroyed."""
        return self.labels.get(NAME, self.name)


def labels_of(spec: SandboxSpec) -> dict[str, str]:
    """What is written on a box."""
    return {**{_PREFIX + name: value for name, value in spec.labels.items()}, NAME: spec.ref.name}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _labels(value: object) -> dict[str, str]:
    pairs = value.items() if isinstance(value, dict) else ()
    return {str(name): one for name, one in pairs if isinstance(one, str)}


def _time(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
