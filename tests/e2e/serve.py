"""A process that schedules one store until it is told to stop; the tests start it, and kill it.

Usage: serve.py HOME. Prints `serving` once it has the seat.
"""

import signal
import sys
from pathlib import Path

import anyio

from taskdock import app
from taskdock.app import load_config


async def main(home: Path) -> None:
    """Schedule until SIGTERM, then drain."""
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async with app.open(load_config(home / "taskdock.toml", home=home)) as dock:
            sys.stdout.write("serving\n" if dock.schedules else "watching\n")
            sys.stdout.flush()
            async for _ in signals:
                break


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]))
