"""Runner: one command on an open dock, from the event loop's start to the drain at its end.

Owns: `run` and the signals.
Never: a second signal that waits; the first one drains, the next one ends the process at once.
Reads as: a command -> `run(context, work)` -> the app's opener -> work(dock) -> exit code.
"""

import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import anyio
import click
from attrs import field, mutable

from taskdock.adapters.entry.cli.exit_codes import ExitCode, exit_code_of
from taskdock.adapters.entry.cli.invocation import Invocation, verbosity
from taskdock.adapters.entry.cli.logs import innermost, log_to_stderr
from taskdock.adapters.entry.cli.output import say_at_the_end
from taskdock.core.errors import TaskdockError

if TYPE_CHECKING:
    from taskdock.services.dock import Dock

Work = Callable[["Dock"], Awaitable[int]]
"""What a command does with the open dock; gives the exit code. A signal cancels it, and then the dock drains."""

Told = Callable[[], int | None]
"""Asked when a signal ended the work: the exit code of a work that was meant to end so, else None."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_THREAD_SECONDS_MAX = 1.0
_SHOW_CURSOR = b"\x1b[?25h\n"


def run(
    context: click.Context,
    work: Work,
    *,
    schedule: bool = False,
    read_only: bool = False,
    code_after_signal: Told = lambda: None,
) -> NoReturn:
    """Open the dock, do the work, close the dock, and end the command with the work's code.

    With `schedule` this process also runs the background work, unless another one does. An error of the work comes
    out after the dock was closed in order.
    """
    log_to_stderr(verbosity(context))
    invocation = Invocation.of(context)
    opened = invocation.installation.open_dock(invocation.home, schedule=schedule, read_only=read_only)
    others = frozenset(threading.enumerate())
    try:
        code = anyio.run(_attend, opened, work, code_after_signal)
    except TaskdockError as error:
        _leave_who_is_stuck(others, exit_code_of(error))
        raise
    _leave_who_is_stuck(others, code)
    context.exit(code)


def _leave_who_is_stuck(others: frozenset[threading.Thread], code: int) -> None:
    """End the process here when a thread of ours still writes to a pipe or terminal that takes no more: nothing ends it."""
    for thread in threading.enumerate():
        if thread not in others and not thread.daemon:
            thread.join(_THREAD_SECONDS_MAX)
            if thread.is_alive():
                os._exit(code)


async def _attend(opened: AbstractAsyncContextManager["Dock"], work: Work, code_after_signal: Told) -> int:
    # Made in here: its scope belongs to the event loop.
    return await _Attendance(opened, work, code_after_signal).attend()


@mutable(eq=False)
class _Attendance:
    """The dock that is opened, the work under way, and the signal that ended it, if one did."""

    opened: AbstractAsyncContextManager["Dock"]
    work: Work
    code_after_signal: Told
    scope: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    ended_by: signal.Signals | None = field(default=None, init=False)
    failure: Exception | None = field(default=None, init=False)
    code: int = field(default=ExitCode.OK, init=False)

    async def attend(self) -> int:
        """All of it; gives the exit code."""
        async with anyio.create_task_group() as group:
            await group.start(self._listen)
            try:
                async with self.opened as dock:
                    await self._do(dock)
            except Exception as error:  # noqa: BLE001 - raised again below, outside the group that would wrap it
                self.failure = self.failure or error
            group.cancel_scope.cancel()
        if self.failure is not None:
            raise innermost(self.failure)
        if self.scope.cancelled_caught and self.ended_by is not None:
            told = self.code_after_signal()
            return 128 + self.ended_by if told is None else told
        return self.code

    async def _do(self, dock: "Dock") -> None:
        """The work; its error is kept, since leaving the dock in order comes first."""
        try:
            with self.scope:
                self.code = await self.work(dock)
        except Exception as error:  # noqa: BLE001 - raised again by `attend`, when the dock is closed
            self.failure = error
        if self.ended_by is not None and dock.schedules:
            await say_at_the_end("Ending short work in order; a second signal ends at once.")

    async def _listen(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        with anyio.open_signal_receiver(*_SIGNALS) as signals:
            task_status.started()
            async for received in signals:
                # Before anything else: from here on a stuck event loop cannot keep the process.
                for one in _SIGNALS:
                    signal.signal(one, _end_at_once)
                self.ended_by = received
                self.scope.cancel()


def _end_at_once(number: int, frame: FrameType | None) -> None:
    del frame
    if sys.stdout.isatty():
        os.write(1, _SHOW_CURSOR)
    os._exit(128 + number)
