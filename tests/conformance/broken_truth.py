"""Broken truth: the faults in what a provider says of sandboxes.

Owns: `TRUTH_FAULTS`, a part of `PROVIDER_FAULTS`.
Never: a fault in what a verb does (broken_provider.py).
Reads as: broken_provider.py -> a fault -> honest_provider.py.
"""

# ruff: noqa: ARG002 - a fault has the arguments of what it breaks, and forgetting one is often the fault

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

from attrs import evolve

from conformance.honest_provider import Honest
from taskdock.ports.sandbox import Observation, Phase, SandboxRef


class ListShowsForeign(Honest):
    """list_owned lists what the account can see."""

    found_by = "check_list_names_only_ours"
    says = "list_owned names only sandboxes whose owner label is the one asked for"

    async def list_owned(self, owner: str) -> AsyncIterator[Observation]:
        for folder in sorted(self.root.glob("taskdock-*")):
            yield await self.real.observe(SandboxRef(self.id, folder.name))


class ListEndsAfterOnePage(Honest):
    """list_owned gives the first page, and that has one entry."""

    found_by = "check_list_names_only_ours"
    says = "list_owned names every sandbox of its owner once"

    async def list_owned(self, owner: str) -> AsyncIterator[Observation]:
        found = [observation async for observation in self.real.list_owned(owner)]
        for observation in found[:1]:
            yield observation


class ListHidesStopped(Honest):
    """list_owned lists what runs."""

    found_by = "check_list_shows_what_is_stopped"
    says = "list_owned names every sandbox whatever its phase"

    async def list_owned(self, owner: str) -> AsyncIterator[Observation]:
        async for observation in self.real.list_owned(owner):
            if observation.phase is Phase.RUNNING:
                yield observation


class ListHasNoLabels(Honest):
    """The list of the provider comes without labels, and nobody reads them."""

    found_by = "check_list_names_only_ours"
    says = "An observation of list_owned carries exactly the labels of the spec"

    async def list_owned(self, owner: str) -> AsyncIterator[Observation]:
        async for observation in self.real.list_owned(owner):
            yield evolve(observation, labels={})


class LabelsMissing(Honest):
    """observe tells the phase alone."""

    found_by = "check_observation_tells_whose"
    says = "An observation carries exactly the labels of the spec"

    async def observe(self, ref: SandboxRef) -> Observation:
        return evolve(await self.real.observe(ref), labels={})


class ObserveIsCached(Honest):
    """An answer of observe is given again to who asks again."""

    found_by = "check_observe_is_never_cached"
    says = "observe is never cached"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.seen: dict[SandboxRef, Observation] = {}

    async def observe(self, ref: SandboxRef) -> Observation:
        if ref not in self.seen or self.seen[ref].phase is not Phase.RUNNING:
            self.seen[ref] = await self.real.observe(ref)
        return self.seen[ref]

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        self.seen.pop(ref, None)
        return await self.real.destroy(ref, owner)


class ReadAtOfTheFirstLook(Honest):
    """observe reads anew, and tells the time of its first reading."""

    found_by = "check_observe_is_never_cached"
    says = "`read_at` is the time of this very reading"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.began = self.real._now()

    async def observe(self, ref: SandboxRef) -> Observation:
        return evolve(await self.real.observe(ref), read_at=self.began)


class ReadAtInThePast(Honest):
    """read_at is the time of the last change, which the provider happens to tell."""

    found_by = "check_observation_tells_when"
    says = "`read_at` is the time at which the provider was read"

    async def observe(self, ref: SandboxRef) -> Observation:
        observation = await self.real.observe(ref)
        return evolve(observation, read_at=observation.read_at - timedelta(hours=1))


class ReadAtWithoutZone(Honest):
    """read_at is local time without saying so."""

    found_by = "check_observation_tells_when"
    says = "`read_at` is aware of its time zone"

    async def observe(self, ref: SandboxRef) -> Observation:
        observation = await self.real.observe(ref)
        return evolve(observation, read_at=observation.read_at.replace(tzinfo=None))


class ObserveMakes(Honest):
    """observe makes what it looks at."""

    found_by = "check_absent_before_ensure"
    says = "Observing changes nothing"

    async def observe(self, ref: SandboxRef) -> Observation:
        observation = await self.real.observe(ref)
        if observation.phase is Phase.ABSENT:
            (self.root / f".seen-{ref.name}").touch()
        return observation


class RawErrorOfTheClient(Honest):
    """What the provider's client raises comes out as it is."""

    found_by = "check_absent_before_ensure"
    says = "An adapter raises PortErrors only"

    async def observe(self, ref: SandboxRef) -> Observation:
        if not (self.root / ref.name).exists():
            raise KeyError(os.fspath(self.root / ref.name))
        return await self.real.observe(ref)


class IdOfTheLibrary(Honest):
    """The provider calls itself by another name than the one that its sandboxes are asked for under."""

    found_by = "check_capabilities_are_said"
    says = "A provider's id is the `provider` of the sandboxes that are asked of it"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.id = "box-client"


TRUTH_FAULTS: tuple[type[Honest], ...] = (
    ListShowsForeign,
    ListEndsAfterOnePage,
    ListHidesStopped,
    ListHasNoLabels,
    LabelsMissing,
    ObserveIsCached,
    ReadAtOfTheFirstLook,
    ReadAtInThePast,
    ReadAtWithoutZone,
    ObserveMakes,
    RawErrorOfTheClient,
    IdOfTheLibrary,
)
