"""Provider spec: what a sandbox provider is called, what it can be told, and how it is opened.

Owns: `ProviderSpec`, `Opening`, `Sandboxes`, and the entry point group under which specs are found.
Never: what a provider works with: a spec is also read by processes that open no provider.
Reads as: a provider's one file -> its `ProviderSpec` -> the entry point group -> app/providers.py.

A distribution names its spec in its own metadata, and so it is found:

    [project.entry-points."taskdock.sandbox_providers"]
    folder = "taskdock_folder:PROVIDER"
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import attrs
from attrs import Attribute, field, frozen

from taskdock.ports.sandbox import SandboxAccess, SandboxProvider

GROUP = "taskdock.sandbox_providers"
"""The entry point group; the name of an entry is the id of its provider."""

_ID = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
_Settings = TypeVar("_Settings")


class Sandboxes(SandboxProvider, SandboxAccess, Protocol):
    """Both sandbox ports in one object."""


@frozen
class Opening:
    """What a provider is given when it is opened."""

    folder: Path
    """A folder for itself alone, in the home of the installation and the same each time. Made by the provider, if it needs it."""
    now: Callable[[], datetime]
    """The time, aware; for `read_at`."""


def _attrs_class(_spec: object, attribute: "Attribute[type]", value: object) -> None:
    if not (isinstance(value, type) and attrs.has(value)):
        raise TypeError(f"{attribute.name} is an attrs class, not {value!r}")


@frozen
class ProviderSpec(Generic[_Settings]):
    """One provider of sandboxes. Its module is imported by whoever has `[provider.<id>]` in the config: keep that cheap.

    `open` is called once by each process that schedules or looks at sandboxes, and `aclose` of what it gives when that
    process is done. It reaches nothing outside and makes nothing. It imports what is large or may be missing: an
    `ImportError` is told to the user with `install`. Where the provider cannot work it raises `Unsupported`, with `mend`.
    """

    id: str = field(validator=attrs.validators.matches_re(_ID))
    """The name that configs and tasks know it by, and the `id` of what `open` gives."""
    config: type[_Settings] = field(validator=_attrs_class)
    """The attrs class of `[provider.<id>]`. Every field needs a type; what has no default must be set. No secrets."""
    open: Callable[[_Settings, Opening], Awaitable[Sandboxes]]
    install: str | None = None
    """What `pip install` is given to bring what `open` imports, e.g. `taskdock[daytona]`."""


AnyProviderSpec = ProviderSpec[Any]
