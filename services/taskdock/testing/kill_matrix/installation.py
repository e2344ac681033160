"""Installation: one home under a config file, as the process that serves it and the judge beside it open it.

Owns: `Installation`, and how it crosses into another process.
Never: a change to what the file says of a provider, a figure or a lane.
Reads as: trial.py makes one, serving.py reads it from its arguments -> taskdock.app.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from taskdock import app
from taskdock.app import Config, Dock, load_config
from taskdock.services.tools import Outside
from taskdock.testing import gates

AGENT = "demo"
"""The one agent whose log tells which prompts it saw."""


@frozen
class Installation:
    """A home, the config file for it, and what replaces parts of that."""

    home: Path
    config_file: Path | None = None
    """None: the defaults."""
    provider: str | None = None
    """The only one, together with the agent `demo`; None: all that the file names."""
    gates: Path | None = None
    """The folder of the gates around its ports; None: no gates."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """The same as arguments of a command."""
        named = {"--config": self.config_file, "--provider": self.provider, "--gates": self.gates}
        options = [part for name, value in named.items() if value is not None for part in (name, str(value))]
        return (str(self.home), *options)

    def config(self) -> Config:
        """The file read, with the replacements in it."""
        changes: dict[str, Any] = {"home": self.home}
        if self.provider is not None:
            changes |= {"providers": (self.provider,), "agents": (AGENT,)}
        return Config(**changes) if self.config_file is None else load_config(self.config_file, **changes)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Dock]:
        """Open it to schedule, behind its gates."""
        config = self.config()
        if self.gates is None:
            async with app.open(config) as dock:
                yield dock
            return
        async with self.ports() as outside:
            gated = gates.gated(outside, self.gates)
            async with app.open(config, outside=gated) as dock:
                yield dock

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Dock]:
        """Open it to ask and read only."""
        async with app.open(self.config(), schedule=False) as dock:
            yield dock

    @asynccontextmanager
    async def ports(self) -> AsyncIterator[Outside]:
        """Fresh adapters without gates, as another process would have them."""
        async with app.ports_of(self.config()) as outside:
            yield outside
