"""Witness: what agents wrote down of the prompts that reached them, kept beyond the end of their sandboxes.

Owns: `install` (for a config: `wrap = "e2e.witness:install"`), and `prompts_seen`.
Never: a change to what the real provider does; a second name of a file inside is all that is added.
Reads as: wiring -> `install` -> the real provider; a test -> `prompts_seen`.

The demo agent logs each prompt durably before anything else happens. Its log gets a second name (a hard link) outside as
soon as its sandbox is ensured, which is before any agent runs there, so each of its lines outlives the sandbox.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from taskdock.ports.sandbox import Observation, SandboxProvider, SandboxRef, SandboxSpec
from taskdock.services.sites import Site, Sites
from taskdock.services.tools import Outside
from taskdock.testing import gates

_LOG = "home/.taskdock/demo-agent.jsonl"


@frozen
class Seen:
    """One prompt as its agent logged it; `number` orders those of one sandbox, also where that was made anew."""

    sandbox: str
    number: tuple[int, int]
    session: str
    request: str
    text: str


class Witnessed:
    """A provider whose sandboxes keep the agent's log under a second name outside."""

    def __init__(self, provider: SandboxProvider, home: Path) -> None:
        self._provider = provider
        self._home = home

    def __getattr__(self, attribute: str) -> Any:  # noqa: ANN401 - whatever the provider has
        return getattr(self._provider, attribute)

    async def ensure(self, spec: SandboxSpec) -> Observation:
        """As the provider; then the log is there, and known outside."""
        observation = await self._provider.ensure(spec)
        keep_log(self._home, spec.ref)
        return observation


def install(outside: Outside) -> Outside:
    """Gates around every port, and a witness around every provider."""
    home = Path(os.environ["TASKDOCK_GATES"]).parent / "home"
    gated = gates.install(outside)
    sites = {
        name: Site(_witnessed(site.provider, home), site.access)
        for name, site in gated.sites.by_provider.items()
    }
    return evolve(gated, sites=Sites(sites))


def _witnessed(provider: SandboxProvider, home: Path) -> Any:  # noqa: ANN401 - stands for the provider it wraps
    return Witnessed(provider, home)


def keep_log(home: Path, ref: SandboxRef) -> None:
    """Give the log of a sandbox a second name; one that was made anew under the same name gets one more."""
    log = sandboxes_of(home, ref.provider) / ref.name / _LOG
    kept = home.parent / "seen"
    kept.mkdir(exist_ok=True)
    try:
        log.touch()
    except FileNotFoundError:
        return  # somebody took the sandbox away meanwhile: no agent ever ran in this one
    names = (kept / f"{ref.name}.{number}.jsonl" for number in range(1_000))
    for name in names:
        try:
            os.link(log, name)
        except FileExistsError:
            if name.samefile(log):
                return
        else:
            return


def sandboxes_of(home: Path, provider: str) -> Path:
    """Where a provider of this machine keeps its sandboxes."""
    return home / provider.replace("local", "sandboxes", 1)


def prompts_seen(home: Path) -> Iterator[Seen]:
    """Every prompt that any agent of this home has seen."""
    for path in (home.parent / "seen").glob("*.jsonl"):
        sandbox, made, _ = path.name.split(".")
        for number, line in enumerate(path.read_text().splitlines()):
            entry = json.loads(line)
            yield Seen(sandbox, (int(made), number), entry["session"], entry["request"], entry["text"])
