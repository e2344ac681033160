"""Settings: what can be said of Daytona in the configuration, and where its key comes from.

Owns: `DaytonaConfig`, the table `[provider.daytona]`, and `key_of`.
Never: a key in a setting, an error or a repr: a setting names the variable or the file that holds it.
Reads as: spec.py -> these -> provider.py.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from attrs import Attribute, field, frozen
from attrs.validators import ge, optional

from taskdock.adapters.sandbox.daytona.box import CPU, DISK, MEMORY
from taskdock.core.errors import InvalidCommand, Unsupported

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_DAY_MINUTES = 24 * 60


def _url(_config: object, attribute: "Attribute[str]", value: str) -> None:
    """Only https, or this very machine: the key travels to it."""
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL:
        url = httpx.URL("")
    is_safe = url.scheme == "https" or (url.scheme == "http" and url.host in _LOOPBACK)
    if not url.host or not is_safe or url.userinfo:
        raise ValueError(f"{attribute.name} is a URL that begins with https:// and holds no password")


@frozen
class DaytonaConfig:
    """The table `[provider.daytona]`. Without a snapshot or an image Daytona takes its own default snapshot."""

    api_url: str = field(default="https://app.daytona.io/api", validator=_url)
    key_variable: str = "DAYTONA_API_KEY"
    """Which environment variable holds the key."""
    key_file: Path | None = None
    """A file that holds the key, for your eyes only; asked before the variable."""
    target: str | None = None
    """Where sandboxes are made, such as `eu`; the account's own when nobody says."""
    snapshot: str | None = None
    image: str | None = None
    """An image to build from instead of a snapshot. It needs Python 3.9, git and a shell."""
    cpu: int | None = field(default=None, validator=optional(ge(1)))
    memory_gib: int | None = field(default=None, validator=optional(ge(1)))
    disk_gib: int | None = field(default=None, validator=optional(ge(1)))
    """These three only with an image: a snapshot has its own."""
    network_block_all: bool = False
    network_allow: tuple[str, ...] = ()
    """Address blocks (`10.0.0.0/8`) that alone may be reached; all when empty."""
    auto_stop_minutes: int = field(default=_DAY_MINUTES, validator=ge(0))
    """Daytona stops what lies still for so long, also when Taskdock is no more; longer than any turn, 0 never."""
    auto_archive_minutes: int = field(default=7 * _DAY_MINUTES, validator=ge(0))
    auto_delete_minutes: int = field(default=-1, validator=ge(-1))
    """Daytona removes what has been stopped for so long, with what is in it; -1 never."""
    ttl_minutes: int = field(default=0, validator=ge(0))
    """Daytona removes every sandbox so long after it was made, whatever runs in it; 0 never."""
    python: str = field(default="python3", validator=lambda _config, _attribute, value: _word(value))
    """How a Python 3 is called inside."""
    create_seconds: float = field(default=45.0, validator=ge(1.0))
    """How long Daytona may take to answer a create; it waits for half a minute itself."""
    request_seconds: float = field(default=30.0, validator=ge(0.1))
    busy_seconds: float = field(default=60.0, validator=ge(0.0))
    """How long a stop or a destroy is asked for again while Daytona is busy with the sandbox."""
    create_window_seconds: float = field(default=90.0, validator=ge(0.0))
    """How long after it began a create may still land."""
    price_cpu_hour: float = field(default=0.0, validator=ge(0.0))
    price_memory_gib_hour: float = field(default=0.0, validator=ge(0.0))
    price_disk_gib_hour: float = field(default=0.0, validator=ge(0.0))
    """What one costs for an hour: Daytona's API tells sizes and no prices."""

    def __attrs_post_init__(self) -> None:
        if self.snapshot is not None and self.image is not None:
            raise ValueError("snapshot and image exclude each other")
        if self.image is None and (self.cpu, self.memory_gib, self.disk_gib) != (None, None, None):
            raise ValueError("cpu, memory_gib and disk_gib need an image: a snapshot has its own")

    def cost_hourly(self, takes: Mapping[str, float]) -> float | None:
        """What an hour of so much costs; None as long as no price is set."""
        prices = {
            CPU: self.price_cpu_hour,
            MEMORY: self.price_memory_gib_hour,
            DISK: self.price_disk_gib_hour,
        }
        if not any(prices.values()):
            return None
        return sum(prices.get(unit, 0.0) * much for unit, much in takes.items())

    def body(self, name: str, labels: Mapping[str, str]) -> dict[str, Any]:
        """What Daytona is asked to make."""
        body: dict[str, Any] = {
            "name": name,
            "labels": dict(labels),
            "public": False,
            "autoStopInterval": self.auto_stop_minutes,
            "autoArchiveInterval": self.auto_archive_minutes,
            "autoDeleteInterval": self.auto_delete_minutes,
        }
        wanted: dict[str, Any] = {
            "target": self.target,
            "snapshot": self.snapshot,
            "cpu": self.cpu,
            "memory": self.memory_gib,
            "disk": self.disk_gib,
            "ttlMinutes": self.ttl_minutes or None,
            "networkBlockAll": self.network_block_all or None,
            "networkAllowList": ",".join(self.network_allow) or None,
            "buildInfo": None if self.image is None else {"dockerfileContent": f"FROM {self.image}\n"},
        }
        return body | {key: value for key, value in wanted.items() if value is not None}


def key_of(config: DaytonaConfig, environment: Mapping[str, str] = os.environ) -> str:
    """The key. Unsupported where there is none, with what would bring it."""
    if config.key_file is not None:
        try:
            key = config.key_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unsupported(
                f"The key of Daytona cannot be read from {config.key_file}: {type(error).__name__}.",
                mend="put it there, readable for you alone",
            ) from None
        where = str(config.key_file)
    else:
        key, where = environment.get(config.key_variable, "").strip(), config.key_variable
    if not key:
        mend = f"export {config.key_variable}=... where Taskdock is started"
        raise Unsupported(f"There is no key of Daytona in {where}.", mend=mend)
    if not key.isascii() or not key.isprintable() or " " in key:
        raise Unsupported(f"What {where} holds is no key of Daytona.")
    return key


def _word(value: str) -> None:
    """It goes into a shell's line as it is."""
    if not value or not all(one.isalnum() or one in "/._-" for one in value):
        raise InvalidCommand("python is the name or the path of a program", field="provider")
