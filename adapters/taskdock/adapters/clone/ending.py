"""Ending: how a git, and a tool with the gits that it started, are made to end.

Owns: `Family`, by which we learn that the last of them is gone, and the order of the signals.
Never: SIGINT, at which git-spice kills its git; a wait without a bound.
Reads as: process.py -> this.

git-spice ends at once when it is asked to, and its git goes on: left alone, that git finishes its branch and leaves no
rebase and no lock file behind. So only the tool is asked, its gits are waited for, and only then the whole group is killed.
All of them inherit one end of a pipe; when nobody has it open any more, the other end says so.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import anyio
from anyio.abc import Process

TERMINATE_SECONDS = 2.0


class Family:
    """A process and all that it started: nothing to wait for when `seconds` is 0."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ours: int | None = None
        self._theirs: int | None = None
        if seconds:
            self._ours, self._theirs = os.pipe()

    @property
    def inherited(self) -> tuple[int, ...]:
        """The descriptors that the process must inherit."""
        return () if self._theirs is None else (self._theirs,)

    @contextmanager
    def born(self) -> Iterator[None]:
        """Give our copy away when the process was started; forget all of it when it was not."""
        try:
            yield
        except BaseException:
            self.forget()
            raise
        finally:
            if self._theirs is not None:
                os.close(self._theirs)
                self._theirs = None

    async def gone(self) -> None:
        """Wait until the last of them has ended, within the bound."""
        if self._ours is not None:
            with anyio.move_on_after(self.seconds):
                await anyio.wait_readable(self._ours)

    def forget(self) -> None:
        """Let go of the pipe."""
        if self._ours is not None:
            os.close(self._ours)
            self._ours = None


@contextmanager
def shielded() -> Iterator[None]:
    """Finish what is inside even when we are cancelled."""
    with anyio.CancelScope(shield=True):
        yield


async def end(process: Process, family: Family) -> None:
    """Leave nothing behind that is still running: first asked (it takes its lock files along), then killed."""
    try:
        if process.returncode is None:
            await _ask(process, family)
            _signal_group(process.pid, signal.SIGKILL)
            await process.wait()
        await process.aclose()
    finally:
        family.forget()


async def _ask(process: Process, family: Family) -> None:
    if family.seconds:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
    else:
        _signal_group(process.pid, signal.SIGTERM)
    with anyio.move_on_after(TERMINATE_SECONDS):
        await process.wait()
    await family.gone()


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
