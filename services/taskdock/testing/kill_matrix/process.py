"""Process: the serving process of a trial, seen from the one that kills it.

Owns: `ServingProcess`, `Patience` and `NotSeen`.
Never: a wait without an end; a process that outlives the trial.
Reads as: trial.py, journeys.py -> this -> serving.py in a process of its own.
"""

import os
import sys
from pathlib import Path

import anyio
import anyio.abc
from attrs import field, frozen, mutable

from taskdock.testing.kill_matrix.installation import Installation

_PROGRAM = "taskdock.testing.kill_matrix.serving"
_LOOK_SECONDS = 0.01
_LOG_LINES_SHOWN = 15


@frozen
class Patience:
    """How long things may take at the provider under test."""

    seconds_max: float = 120.0
    """Any one wait: for a process to serve, a gate to be reached, a task to rest."""
    list_seconds: float = 0.0
    """How long `list_owned` may lag behind `observe`."""


class NotSeen(Exception):
    """Something did not happen in time; the text says what, what there was instead, and what the process logged."""


@mutable(eq=False)
class ServingProcess:
    """At most one process at a time; it may be killed and started as often as wanted."""

    installation: Installation
    log: Path
    patience: Patience
    _process: anyio.abc.Process | None = field(default=None, init=False)

    async def start(self) -> None:
        """Start it and wait until it serves."""
        command = [sys.executable, "-m", _PROGRAM, *self.installation.arguments, "--tied"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with self.log.open("ab") as log:
            self._process = await anyio.open_process(command, stderr=log, env=environment)
        said = b""
        with anyio.move_on_after(self.patience.seconds_max):
            said = await _first_line(self._process)
        if said != b"serving\n":
            raise NotSeen(f"the process does not serve; it said {said!r}{self.log_tail()}")

    async def kill(self) -> None:
        """SIGKILL it, and wait until it is gone; harmless when there is none."""
        process, self._process = self._process, None
        if process is None:
            return
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.wait()
            await process.aclose()

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself."""
        return self._process is not None and self._process.returncode is not None

    # Gates

    def set_gate(self, name: str) -> None:
        """Hold the next call that comes to it, e.g. `provider.ensure.before`."""
        self._gate(name).touch()

    async def reached(self, name: str) -> None:
        """Wait until a call is held there."""
        mark = self._gate(f"{name}.reached")
        with anyio.move_on_after(self.patience.seconds_max):
            # The other side talks by files, so that a shell could be it.
            while not mark.exists():
                if self.has_ended:
                    raise NotSeen(f"the process ended before it reached {name}{self.log_tail()}")
                await anyio.sleep(_LOOK_SECONDS)
            return
        raise NotSeen(f"{name} was not reached within {self.patience.seconds_max:g} s{self.log_tail()}")

    def open_gate(self, name: str) -> None:
        """Let it through, and every later call."""
        self._gate(name).unlink(missing_ok=True)

    def _gate(self, name: str) -> Path:
        assert self.installation.gates is not None
        return self.installation.gates / name

    def log_tail(self) -> str:
        """The last lines of what it logged, as the end of a sentence."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        if not lines:
            return "; it logged nothing"
        return "; it logged:\n" + "\n".join(f"    {line}" for line in lines[-_LOG_LINES_SHOWN:])


async def _first_line(process: anyio.abc.Process) -> bytes:
    """What it says first; less than a line when it ends."""
    assert process.stdout is not None
    said = b""
    while not said.endswith(b"\n"):
        try:
            said += await process.stdout.receive()
        except anyio.EndOfStream:
            break
    return said
