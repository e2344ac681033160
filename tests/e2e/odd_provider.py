"""Odd provider: the real local one, saying or doing what remote ones may.

Owns: `OddProvider` and `install` (for a config: `wrap = "e2e.odd_provider:install"`), gates included.
Never: a box of its own; each is a real one of the provider behind it.
Reads as: a test writes a file -> the provider under test obeys it.

`<gates>/<sandbox>.failed`: the provider says that this sandbox, which is there, has failed.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve

from taskdock.ports.sandbox import Observation, Phase, SandboxProvider, SandboxRef
from taskdock.services.sites import Site, Sites
from taskdock.services.tools import Outside
from taskdock.testing import gates

_THERE = (Phase.RUNNING, Phase.STOPPED)


class OddProvider:
    """A provider whose word about a sandbox a test can turn."""

    def __init__(self, provider: SandboxProvider, folder: Path) -> None:
        self._provider = provider
        self._folder = folder

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the provider has
        return getattr(self._provider, name)

    async def observe(self, ref: SandboxRef) -> Observation:
        """What is true, unless the test says that it has failed."""
        return self._said(await self._provider.observe(ref))

    async def stop(self, ref: SandboxRef, owner: str) -> Observation:
        """The same of a stop."""
        return self._said(await self._provider.stop(ref, owner))

    def _said(self, seen: Observation) -> Observation:
        if seen.phase in _THERE and (self._folder / f"{seen.ref.name}.failed").exists():
            return evolve(seen, phase=Phase.FAILED, reason="its host is broken")
        return seen


def with_provider(outside: Outside, change: Callable[[SandboxProvider], object]) -> Outside:
    """The same ports, with every provider replaced by what `change` makes of it."""
    sites = {name: _site(change(site.provider), site) for name, site in outside.sites.by_provider.items()}
    return evolve(outside, sites=Sites(sites))


def _site(provider: Any, site: Site) -> Site:  # noqa: ANN401 - it passes on what it does not change
    return Site(provider, site.access)


def install(outside: Outside) -> Outside:
    """Odd providers, behind gates."""
    folder = Path(os.environ["TASKDOCK_GATES"])
    return gates.install(with_provider(outside, lambda provider: OddProvider(provider, folder)))
