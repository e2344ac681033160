"""Gates: stop any port's method before or after its call, or make it fail, from outside the process.

Owns: `gated`, `install` (for a config: `wrap = "taskdock.testing.gates:install"`), and the files they talk through.
Never: a change to what the real port does when no gate is set.
Reads as: a test writes gate files -> the process under test reaches one and waits -> the test kills or opens it.

The folder is named by TASKDOCK_GATES. A gate is a file in it:
    <port>.<method>.before      wait before the call          <port>.<method>.after       wait after it
    <port>.<method>.fail        its lines are taken from the top, one per call: `transient TEXT`, `permanent TEXT`,
                                `unknown TEXT`, `unreachable TEXT`; a line `-` lets a call through
Ports are provider, access, gateway, clones, namer, stack; of a repo job the steps are gated, too (`stack.act.before`: before
the step is told, `stack.act.after`: once it is told, before it begins). A call that reaches a waiting gate makes `<gate>.reached` and goes on
when the gate's file is removed.
"""

import os
from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import anyio
from attrs import evolve, frozen

from taskdock.core.errors import OutcomeUnknown, Permanent, PortError, Transient, Unreachable
from taskdock.ports.stack import JobEnd, JobOrder, JobReport
from taskdock.services.sites import Site, Sites
from taskdock.services.tools import Outside

_LOOK_SECONDS = 0.01
_ERRORS: dict[str, Callable[[str], PortError]] = {
    "transient": Transient,
    "permanent": Permanent,
    "unknown": OutcomeUnknown,
    "unreachable": Unreachable,
}


class Gated:
    """A port behind gates: coroutine methods are gated, everything else is the port's own."""

    def __init__(self, port: object, name: str, folder: Path) -> None:
        self._port = port
        self._name = name
        self._folder = folder

    def __getattr__(self, attribute: str) -> Any:  # noqa: ANN401 - whatever the port has
        found = getattr(self._port, attribute)
        if not iscoroutinefunction(found):
            return found

        @wraps(found)
        async def gated(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the port takes and gives
            gate = self._folder / f"{self._name}.{attribute}"
            await _wait(gate.with_name(gate.name + ".before"))
            _fail(gate.with_name(gate.name + ".fail"))
            answer = await found(*args, **kwargs)
            await _wait(gate.with_name(gate.name + ".after"))
            return answer

        return gated


class GatedStack(Gated):
    """Repo jobs behind gates, also at each of their steps."""

    async def run(self, order: JobOrder, report: JobReport) -> JobEnd:
        """Do the job."""
        gated: Callable[[JobOrder, JobReport], Awaitable[JobEnd]] = self.__getattr__("run")
        return await gated(order, _GatedReport(report, self._folder))


@frozen
class _GatedReport:
    """A report whose checkpoints are gated."""

    report: JobReport
    folder: Path

    async def checkpoint(self, step: str, done: int = 0, of: int = 0) -> None:
        """Tell the step, between its gates."""
        await _wait(self.folder / f"stack.{step}.before")
        await self.report.checkpoint(step, done, of)
        await _wait(self.folder / f"stack.{step}.after")

    async def progress(self, sentence: str) -> None:
        """Tell it."""
        await self.report.progress(sentence)


def install(outside: Outside) -> Outside:
    """Put every port behind the gates of the folder that TASKDOCK_GATES names."""
    return gated(outside, Path(os.environ["TASKDOCK_GATES"]))


def gated(outside: Outside, folder: Path) -> Outside:
    """The same ports behind the gates of a folder."""
    sites = {
        name: Site(_gated(site.provider, "provider", folder), _gated(site.access, "access", folder))
        for name, site in outside.sites.by_provider.items()
    }
    return evolve(
        outside,
        sites=Sites(sites),
        gateway=_gated(outside.gateway, "gateway", folder),
        clones=_gated(outside.clones, "clones", folder),
        namer=_gated(outside.namer, "namer", folder),
        stack=GatedStack(outside.stack, "stack", folder),
    )


def _gated(port: object, name: str, folder: Path) -> Any:  # noqa: ANN401 - stands for whichever port it wraps
    return Gated(port, name, folder)


async def _wait(gate: Path) -> None:
    """Wait while the gate's file is there; the only sign that another process can give without a protocol."""
    there = anyio.Path(gate)
    if not await there.exists():
        return
    await there.with_name(gate.name + ".reached").touch()
    while await there.exists():  # noqa: ASYNC110 - the other side is a process that may be a shell
        await anyio.sleep(_LOOK_SECONDS)


def _fail(gate: Path) -> None:
    """Take the next line of the script, and raise what it says."""
    if not gate.exists():
        return
    line, _, rest = gate.read_text().partition("\n")
    if rest.strip():
        gate.write_text(rest)
    else:
        gate.unlink()
    kind, _, reason = line.partition(" ")
    if kind != "-":
        raise _ERRORS[kind](reason)
