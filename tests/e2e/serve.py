"""A process that schedules one store until it is told to stop; the tests start it, and kill it.

Usage: serve.py HOME. Prints `serving` once it has the seat; until then, if another process has it, `watching`.
"""

import signal
import sys
from pathlib import Path

import anyio

from taskdock import app
from taskdock.app import load_config


async def main(home: Path) -> None:
    """Schedule until SIGTERM, then drain."""
    config = load_config(home / "taskdock.toml", home=home)
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async with app.open(config) as dock, anyio.create_task_group() as group:
            group.start_soon(say, dock)
            async for _ in signals:
                break
            group.cancel_scope.cancel()


async def say(dock: app.Dock) -> None:
    """Say whether it schedules, and when it begins to."""
    if not dock.schedules:
        sys.stdout.write("watching\n")
        sys.stdout.flush()
    while not dock.schedules:  # noqa: ASYNC110 - a host asks when it wants to know
        await anyio.sleep(0.01)
    sys.stdout.write("serving\n")
    sys.stdout.flush()


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]))
