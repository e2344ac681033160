"""Broken access: the faults of the access half, planted in the real local provider.

Owns: `ACCESS_FAULTS`.
Never: a fault of the provider half (broken_provider.py).
Reads as: test_broken_provider.py -> a fault -> `LocalSandboxes` of level `process`.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import anyio
from anyio import CancelScope
from attrs import evolve

from conformance.broken_services import SERVICE_FAULTS
from conformance.honest_provider import Honest
from taskdock.core.errors import Permanent, PortError, Transient, Unreachable
from taskdock.ports.sandbox import (
    Exec,
    ExecResult,
    Phase,
    ProgramFile,
    SandboxRef,
)


class AbsentIsPermanent(Honest):
    """A box that is not there is told as an error for good, so that nobody looks for a new one."""

    found_by = "check_absent_sandbox_is_unreachable"
    says = "exec in an absent sandbox is Unreachable"

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        try:
            return await self.real.exec(ref, command)
        except Unreachable as error:
            raise Permanent(error.reason) from error


class ExecStartsStopped(Honest):
    """exec wakes a stopped box up, as many services do by themselves."""

    found_by = "check_stopped_is_unreachable"
    says = "exec starts no stopped sandbox"

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        observation = await self.real.observe(ref)
        if observation.phase is Phase.STOPPED:
            await self.real.start(ref, observation.labels["owner"])
        return await self.real.exec(ref, command)


class NonZeroExitRaises(Honest):
    """A command that fails is told as an error of the adapter."""

    found_by = "check_exec_tells_what_became"
    says = "A command's exit code, both outputs and stdin arrive"

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        result = await self.real.exec(ref, command)
        if result.exit_code != 0:
            raise Permanent(f"The command ended with {result.exit_code}.")
        return result


class OutputsMixed(Honest):
    """stderr comes in the middle of stdout, as from a terminal."""

    found_by = "check_exec_tells_what_became"
    says = "its stdout comes back alone"

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        result = await self.real.exec(ref, command)
        return evolve(result, stdout=result.stdout + result.stderr, stderr=b"")


class LargeStdinCut(Honest):
    """Of stdin goes in what one request takes."""

    found_by = "check_exec_tells_what_became"
    says = "All of a large stdin arrives"

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        return await self.real.exec(ref, evolve(command, stdin=command.stdin[:65536]))


class OutputKeepsItsBeginning(Honest):
    """Of much output the beginning is kept, and the error at its end is not."""

    found_by = "check_exec_keeps_the_end_of_much_output"
    says = "Of 3 MiB of stdout exec gives the last MiB"

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        result = await self.real.exec(ref, command)
        return evolve(result, stdout=result.stdout[: len(result.stdout) // 2 + 1])


class EnvironmentLeaksIn(Honest):
    """Commands inherit the environment of our own process, with the keys in it."""

    found_by = "check_exec_environment_is_clean"
    says = "Our own environment does not reach into a sandbox"

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        inherited = {name: value for name, value in os.environ.items() if name not in {"HOME", "PATH"}}
        return await self.real.exec(ref, evolve(command, env={**inherited, **command.env}))


class WaitsForTheOutput(Honest):
    """exec waits until nobody holds the output open any more, which a process in the background does for ever."""

    found_by = "check_exec_ends_with_its_process"
    says = "exec answers when its process ends"

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        result = await self.real.exec(ref, command)
        if "subprocess" in " ".join(command.argv):
            await anyio.sleep(600)
        return result


class TimeoutLeavesTheProcess(Honest):
    """On timeout the caller is told, and the command goes on."""

    found_by = "check_exec_timeout_kills"
    says = "A command that timed out leaves no process"

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        try:
            return await self.real.exec(ref, command)
        except Transient:
            await self.leave_one(ref)
            raise


class TimeoutIsRaw(Honest):
    """A timeout comes out as the loop has it."""

    found_by = "check_exec_timeout_kills"
    says = "An adapter raises PortErrors only"

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        with anyio.fail_after(command.timeout_seconds):
            return await self.real.exec(ref, evolve(command, timeout_seconds=60.0))


class CancelLeavesTheProcess(Honest):
    """Who gives up waiting leaves the command running."""

    found_by = "check_exec_cancelled_kills"
    says = "A cancelled command leaves no process"

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        try:
            return await self.real.exec(ref, command)
        except anyio.get_cancelled_exc_class():
            with CancelScope(shield=True):
                await self.leave_one(ref)
            raise


class NoProgramIsTransient(Honest):
    """A program that is not there is tried again and again."""

    found_by = "check_exec_of_nothing_is_permanent"
    says = "A program that is not there cannot be run, however often"

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        try:
            return await self.real.exec(ref, command)
        except Permanent as error:
            raise Transient(error.reason) from error


class PutInPieces(Honest):
    """A file is written where it will be read, piece by piece."""

    found_by = "check_put_is_atomic"
    says = "put_files replaces a file in one step"

    async def put_files(self, ref: SandboxRef, files: Sequence[ProgramFile]) -> None:
        for file in files:
            content, path = file.content or b"", self.home(ref) / file.path
            with path.open("wb") as stream:
                stream.write(content[: len(content) // 2])
                stream.flush()
                await anyio.sleep(0.01)
                stream.write(content[len(content) // 2 :])


class PutIgnoresTheMode(Honest):
    """Files arrive readable, and no script can be run."""

    found_by = "check_files_arrive"
    says = "A file arrives with its mode"

    async def put_files(self, ref: SandboxRef, files: Sequence[ProgramFile]) -> None:
        await self.real.put_files(ref, [evolve(file, mode=0o644) for file in files])


class PutFollowsLinks(Honest):
    """The path is looked at, and the links that the inside planted on it are not."""

    found_by = "check_paths_stay_in_the_home"
    says = "No file is written outside the home"

    async def put_files(self, ref: SandboxRef, files: Sequence[ProgramFile]) -> None:
        for file in files:
            parts = Path(file.path).parts
            if ".." in parts or file.path.startswith("/"):
                raise Permanent(f"{file.path} leads out of the home.")
            path = self.home(ref) / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content or b"")


class MissingFileIsEmpty(Honest):
    """A file that is not there reads as an empty one."""

    found_by = "check_missing_file_is_permanent"
    says = "Reading 'nothing', which is no file, is Permanent"

    async def get_file(self, ref: SandboxRef, path: str) -> bytes:
        try:
            return await self.real.get_file(ref, path)
        except Permanent:
            return b""


class HostProgramForgotten(Honest):
    """A file that comes as a path of the host arrives empty."""

    found_by = "check_host_program_runs"
    says = "A program of the host can be run inside under its new path"

    async def put_files(self, ref: SandboxRef, files: Sequence[ProgramFile]) -> None:
        await self.real.put_files(
            ref, [evolve(file, host_path=None, content=file.content or b"") for file in files]
        )


class CutOffLooksDone(Honest):
    """A command that was cut off by a stop is told as one that succeeded."""

    found_by = "check_stop_cuts_what_runs"
    says = "A command that a stop cut off does not look as if it had succeeded"

    async def exec(self, ref: SandboxRef, command: Exec) -> ExecResult:
        try:
            return evolve(await self.real.exec(ref, command), exit_code=0)
        except PortError:
            return ExecResult(0, b"", b"")


ACCESS_FAULTS: tuple[type[Honest], ...] = (
    AbsentIsPermanent,
    ExecStartsStopped,
    NonZeroExitRaises,
    OutputsMixed,
    LargeStdinCut,
    OutputKeepsItsBeginning,
    EnvironmentLeaksIn,
    WaitsForTheOutput,
    TimeoutLeavesTheProcess,
    TimeoutIsRaw,
    CancelLeavesTheProcess,
    NoProgramIsTransient,
    PutInPieces,
    PutIgnoresTheMode,
    PutFollowsLinks,
    MissingFileIsEmpty,
    HostProgramForgotten,
    CutOffLooksDone,
    *SERVICE_FAULTS,
)
