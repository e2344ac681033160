"""Broken provider: the real local provider with one planted fault, to see that the checks find it.

Owns: `PROVIDER_FAULTS`: the faults of the provider half, each a class that overrides what it breaks.
Never: a fault that only a mock could have; each is a mistake that a provider for a real service can make.
Reads as: test_broken_provider.py -> a fault -> honest_provider.py -> `LocalSandboxes` of level `process`.

A fault's docstring says what is wrong. `found_by` names the check that must find it, `says` what the sentence must hold.
"""

# ruff: noqa: ARG002 - a fault has the arguments of what it breaks, and forgetting one is often the fault

import os
import shutil
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import anyio
from attrs import evolve

from conformance.honest_provider import Honest
from taskdock.core.errors import Foreign, Permanent, Transient
from taskdock.ports.sandbox import Observation, Phase, SandboxRef, SandboxSpec


class SecondBoxOnSecondEnsure(Honest):
    """A second ensure makes another box, and from then on that one is meant."""

    found_by = "check_ensure_again_adopts"
    says = "A second ensure of a name adopts what is there"

    async def ensure(self, spec: SandboxSpec) -> Observation:
        if self.home(spec.ref).is_dir():
            (self.root / spec.ref.name).rename(self.root / f"{spec.ref.name}-forgotten")
        return await self.real.ensure(spec)


class AnswersAboutAnotherName(Honest):
    """The provider decorates names, and answers with the decorated one."""

    found_by = "check_ensure_again_adopts"
    says = "ensure answers what it read of the sandbox it was asked for"

    async def ensure(self, spec: SandboxSpec) -> Observation:
        observation = await self.real.ensure(spec)
        return evolve(observation, ref=evolve(spec.ref, name=f"{spec.ref.name}-0001"))


class ForeignBoxAdopted(Honest):
    """ensure takes whatever has the name, and asks for no label."""

    found_by = "check_foreign_is_not_adopted"
    says = "ensure adopts no sandbox whose owner label is another"

    async def ensure(self, spec: SandboxSpec) -> Observation:
        try:
            return await self.real.ensure(spec)
        except Foreign:
            return await self.real.observe(spec.ref)


class EarlierGenerationAdopted(Honest):
    """ensure compares the owner alone, and so adopts what belongs to another task or generation."""

    found_by = "check_foreign_is_not_adopted"
    says = "ensure adopts no sandbox whose task label is another"

    async def ensure(self, spec: SandboxSpec) -> Observation:
        try:
            return await self.real.ensure(spec)
        except Foreign:
            observation = await self.real.observe(spec.ref)
            if observation.labels.get("owner") != spec.owner:
                raise
            return observation


class ForeignBoxDestroyed(Honest):
    """destroy does not ask whose it is."""

    found_by = "check_foreign_is_not_destroyed"
    says = "destroy does not touch another owner's sandbox"

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        labels = (await self.real.observe(ref)).labels
        return await self.real.destroy(ref, labels.get("owner", owner))


class ForeignBoxStopped(Honest):
    """stop does not ask whose it is."""

    found_by = "check_foreign_is_not_stopped"
    says = "stop does not touch another owner's sandbox"

    async def stop(self, ref: SandboxRef, owner: str) -> Observation:
        labels = (await self.real.observe(ref)).labels
        return await self.real.stop(ref, labels.get("owner", owner))


class ForeignBoxStarted(Honest):
    """start does not ask whose it is."""

    found_by = "check_foreign_is_not_started"
    says = "start does not touch another owner's sandbox"

    async def start(self, ref: SandboxRef, owner: str) -> Observation:
        labels = (await self.real.observe(ref)).labels
        return await self.real.start(ref, labels.get("owner", owner))


class AbsentWhileProcessesLive(Honest):
    """destroy takes the record and the files away, says absent, and leaves the processes to themselves."""

    found_by = "check_destroy_leaves_nothing"
    says = "`absent` means that no process and no file of the sandbox is left"

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        shutil.rmtree(self.root / ref.name, ignore_errors=True)
        return await self.real.observe(ref)


class AbsentWhileFilesAreLeft(Honest):
    """destroy ends the processes and forgets the box, and leaves its volume behind."""

    found_by = "check_destroy_leaves_nothing"
    says = "`absent` means that no process and no file of the sandbox is left"

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        with suppress(FileNotFoundError):
            shutil.copytree(self.home(ref), self.root / ".volumes" / ref.name, symlinks=True)
        return await self.real.destroy(ref, owner)


class VolumeOfTheOneBefore(AbsentWhileFilesAreLeft):
    """The volume that was left behind is mounted into the next box of the name."""

    found_by = "check_next_one_is_empty"
    says = "A sandbox that is made under the name of a destroyed one is empty"

    async def ensure(self, spec: SandboxSpec) -> Observation:
        observation = await self.real.ensure(spec)
        if (volume := self.root / ".volumes" / spec.ref.name).is_dir():
            shutil.copytree(volume, self.home(spec.ref), symlinks=True, dirs_exist_ok=True)
        return observation


class DestroyFollowsLinks(Honest):
    """destroy empties every folder below the home, also those that a link leads to."""

    found_by = "check_destroy_takes_unwilling_files"
    says = "destroy removes nothing that a link in the sandbox leads to"

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        closed = self.home(ref) / "closed"
        if closed.is_dir():
            closed.chmod(0o700)
            target = (closed / "out").resolve()
            assert target.is_relative_to(self.root.resolve())
            for entry in target.iterdir():
                with suppress(OSError):
                    entry.unlink()
        return await self.real.destroy(ref, owner)


class DestroyIsNeverDone(Honest):
    """destroy is asked for and nothing comes of it: the box is destroying for ever."""

    found_by = "check_destroy_leaves_nothing"
    says = "A sandbox for which that was asked comes to be absent"

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        return evolve(await self.real.observe(ref), phase=Phase.DESTROYING)


class DestroyOfAbsentRaises(Honest):
    """destroy hands the provider's `not found` on."""

    found_by = "check_destroy_of_absent_succeeds"
    says = "Destroying what was never there succeeds"

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        if (await self.real.observe(ref)).phase is Phase.ABSENT:
            raise Permanent(f"There is no sandbox {ref.name}.")
        return await self.real.destroy(ref, owner)


class CreateLandsLate(Honest):
    """A create that was begun is carried out later, whatever happened since, and the window says it is not."""

    found_by = "check_nothing_lands_after_the_window"
    says = "No create lands later than `create_window_seconds` after it began"

    async def ensure(self, spec: SandboxSpec) -> Observation:
        def land() -> None:
            (self.root / spec.ref.name).mkdir(parents=True, exist_ok=True)

        threading.Timer(1.0, land).start()
        return evolve(await self.real.observe(spec.ref), phase=Phase.PENDING)


class KnownToItsMakerOnly(Honest):
    """Which box has which name is kept in memory, and the next process has none of it."""

    found_by = "check_second_adapter_adopts"
    says = "An adapter that never heard of a sandbox finds it by its name"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.known: set[str] = set()

    async def ensure(self, spec: SandboxSpec) -> Observation:
        observation = await self.real.ensure(spec)
        return observation if spec.ref.name in self.known else self._begun(observation)

    def _begun(self, observation: Observation) -> Observation:
        self.known.add(observation.ref.name)
        return evolve(observation, phase=Phase.PENDING)


class CloseEndsTheBoxes(Honest):
    """aclose cleans up: whatever the owner has is destroyed."""

    found_by = "check_second_adapter_adopts"
    says = "aclose leaves the sandboxes as they are"

    async def aclose(self) -> None:
        async for found in self.real.list_owned("tests"):
            await self.real.destroy(found.ref, "tests")


class BusyAtOnce(Honest):
    """A second ensure of a name, while the first is under way, is refused instead of waiting or adopting."""

    found_by = "check_racing_ensures_make_one"
    says = "Ensures of one name at once all succeed"
    under_way: ClassVar[set[str]] = set()

    async def ensure(self, spec: SandboxSpec) -> Observation:
        if spec.ref.name in self.under_way:
            raise Transient("This sandbox is being made already.")
        self.under_way.add(spec.ref.name)
        try:
            await anyio.lowlevel.checkpoint()
            return await self.real.ensure(spec)
        finally:
            self.under_way.discard(spec.ref.name)


class EnsureStartsStopped(Honest):
    """ensure makes a stopped box run, as many services do by themselves."""

    found_by = "check_ensure_leaves_stopped"
    says = "only start makes it run"

    async def ensure(self, spec: SandboxSpec) -> Observation:
        await self.real.ensure(spec)
        return await self.real.start(spec.ref, spec.owner)


class StopLeavesProcesses(Honest):
    """stop freezes the box in the provider's books, and its processes go on."""

    found_by = "check_stop_ends_every_process"
    says = "`stopped` means that nothing of the sandbox runs"

    def _mark(self, ref: SandboxRef) -> Path:
        return self.root / f".stopped-{ref.name}"

    async def stop(self, ref: SandboxRef, owner: str) -> Observation:
        self._mark(ref).touch()
        return await self.observe(ref)

    async def observe(self, ref: SandboxRef) -> Observation:
        observation = await self.real.observe(ref)
        return evolve(observation, phase=Phase.STOPPED) if self._mark(ref).exists() else observation

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        self._mark(ref).unlink(missing_ok=True)
        return await self.real.destroy(ref, owner)


class StopLosesFiles(Honest):
    """A stop throws the box's disk away, and the capabilities say that it is kept."""

    found_by = "check_start_brings_the_files_back"
    says = "`stop_keeps_files` promises that every file outlives a stop"

    async def stop(self, ref: SandboxRef, owner: str) -> Observation:
        observation = await self.real.stop(ref, owner)
        shutil.rmtree(self.home(ref) / "checkout", ignore_errors=True)
        (self.home(ref) / "checkout").mkdir()
        return observation


class StoppingTwiceRaises(Honest):
    """stop of a stopped box is refused as a conflict."""

    found_by = "check_stop_ends_every_process"
    says = "stopping again is no error"

    async def stop(self, ref: SandboxRef, owner: str) -> Observation:
        if (await self.real.observe(ref)).phase is Phase.STOPPED:
            raise Transient("The sandbox is not running.")
        return await self.real.stop(ref, owner)


class StartMakesAbsent(Honest):
    """start makes the box where there is none."""

    found_by = "check_rest_of_absent_makes_nothing"
    says = "Starting or stopping what is absent makes nothing"

    async def start(self, ref: SandboxRef, owner: str) -> Observation:
        if (await self.real.observe(ref)).phase is Phase.ABSENT:
            return await self.real.ensure(SandboxSpec(ref, owner, "task-1", 1))
        return await self.real.start(ref, owner)


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
        async for observation in self.real.list_owned(owner):
            yield observation
            return


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


PROVIDER_FAULTS: tuple[type[Honest], ...] = (
    SecondBoxOnSecondEnsure,
    AnswersAboutAnotherName,
    ForeignBoxAdopted,
    EarlierGenerationAdopted,
    ForeignBoxDestroyed,
    ForeignBoxStopped,
    ForeignBoxStarted,
    AbsentWhileProcessesLive,
    AbsentWhileFilesAreLeft,
    VolumeOfTheOneBefore,
    DestroyFollowsLinks,
    DestroyIsNeverDone,
    DestroyOfAbsentRaises,
    CreateLandsLate,
    KnownToItsMakerOnly,
    CloseEndsTheBoxes,
    BusyAtOnce,
    EnsureStartsStopped,
    StopLeavesProcesses,
    StopLosesFiles,
    StoppingTwiceRaises,
    StartMakesAbsent,
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
)
