"""Serving: a process that schedules one home until it is told to stop, made to be killed.

Owns: the program `python -m taskdock.testing.kill_matrix.serving HOME`.
Never: a word on stdout but `serving`, once it has the seat, and until then `watching` if another process has it.
Reads as: process.py starts it -> `main` -> Installation.serve.

With `--tied` it ends when its stdin ends, so that it does not outlive whoever started it.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio

from taskdock.app import Dock
from taskdock.testing.kill_matrix.installation import Installation

_LOOK_SECONDS = 0.01


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="serving")
    parser.add_argument("home", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--provider")
    parser.add_argument("--gates", type=Path)
    parser.add_argument("--tied", action="store_true")
    given = parser.parse_args(arguments)
    installation = Installation(given.home, given.config, given.provider, given.gates)
    anyio.run(_serve, installation, given.tied)


async def _serve(installation: Installation, tied: bool) -> None:  # noqa: FBT001 - `anyio.run` takes no keywords
    """Serve until SIGTERM, or the end of stdin where it is tied to it; then drain."""
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async with installation.serve() as dock, anyio.create_task_group() as group:
            group.start_soon(_say, dock)
            if tied:
                group.start_soon(_end_with_stdin, group.cancel_scope)
            async for _ in signals:
                break
            group.cancel_scope.cancel()


async def _say(dock: Dock) -> None:
    """Say whether it schedules, and when it begins to."""
    if not dock.schedules:
        _print("watching")
    while not dock.schedules:  # noqa: ASYNC110 - a host asks when it wants to know
        await anyio.sleep(_LOOK_SECONDS)
    _print("serving")


async def _end_with_stdin(scope: anyio.CancelScope) -> None:
    """Nothing is ever written to it, so what can be read is its end."""
    await anyio.wait_readable(sys.stdin)
    scope.cancel()


def _print(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
