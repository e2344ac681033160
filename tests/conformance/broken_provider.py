"""Broken provider: the real local provider with one planted fault, to see that the checks find it.

Owns: `PROVIDER_FAULTS`: the faults of the provider half, each a class that overrides what it breaks.
Never: a fault that only a mock could have; each is a mistake that a provider for a real service can make.
Reads as: test_broken_provider.py -> a fault -> honest_provider.py -> `LocalSandboxes` of level `process`.

A fault's docstring says what is wrong. `found_by` names the check that must find it, `says` what the sentence must hold.
"""

# ruff: noqa: ARG002 - a fault has the arguments of what it breaks, and forgetting one is often the fault

import os
import shutil
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import anyio
from anyio import to_thread
from attrs import evolve

from conformance.broken_truth import TRUTH_FAULTS
from conformance.honest_provider import Honest
from local_process import processes
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


class DaemonsOutliveDestroy(Honest):
    """destroy ends the sessions that it knows, and what left them lives on."""

    found_by = "check_destroy_ends_daemons"
    says = "`absent` means that no process and no file of the sandbox is left"

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        running = await to_thread.run_sync(processes, self.root, ref.name)
        for leader in running & {os.getsid(pid) for pid in running}:
            os.killpg(leader, signal.SIGKILL)
        shutil.rmtree(self.root / ref.name, ignore_errors=True)
        return await self.real.observe(ref)


class BusyWhileDestroyed(BusyAtOnce):
    """destroy is refused while the box is being made, so that who gives it up has to come again."""

    found_by = "check_destroy_beside_ensure"
    says = "Ensures and destroys of one name at once all succeed"

    async def ensure(self, spec: SandboxSpec) -> Observation:
        self.under_way.add(spec.ref.name)
        try:
            return await self.real.ensure(spec)
        finally:
            self.under_way.discard(spec.ref.name)

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        if ref.name in self.under_way:
            raise Transient("This sandbox is being made.")
        return await self.real.destroy(ref, owner)


class BusyWhileItComesUp(Honest):
    """destroy is refused until the box has come up, which takes a while after ensure."""

    found_by = "check_destroy_beside_ensure"
    says = "Ensures and destroys of one name at once all succeed"
    up_at: ClassVar[dict[str, float]] = {}

    async def ensure(self, spec: SandboxSpec) -> Observation:
        self.up_at.setdefault(spec.ref.name, time.monotonic() + 0.3)
        return evolve(await self.real.ensure(spec), phase=Phase.PENDING)

    async def destroy(self, ref: SandboxRef, owner: str) -> Observation:
        if time.monotonic() < self.up_at.get(ref.name, 0.0):
            raise Transient("This sandbox is coming up.")
        return await self.real.destroy(ref, owner)


class SnapshotOfTheStopped(Honest):
    """A stop writes a snapshot, and destroy does not know of it."""

    found_by = "check_stopped_is_destroyed"
    says = "`absent` means that no file is left, of a stopped sandbox too"

    async def stop(self, ref: SandboxRef, owner: str) -> Observation:
        observation = await self.real.stop(ref, owner)
        shutil.copytree(self.home(ref), self.root / ".snapshots" / ref.name, symlinks=True)
        return observation


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
    DaemonsOutliveDestroy,
    BusyWhileDestroyed,
    BusyWhileItComesUp,
    SnapshotOfTheStopped,
    *TRUTH_FAULTS,
)
