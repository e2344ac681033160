"""A process that schedules one store until it is told to stop; the tests start it, and kill it.

Usage: serve.py HOME. Prints `serving` once it has the seat.
"""

import signal
import sys
from pathlib import Path

import anyio

from taskdock.app import load_config, open


async def main(home: Path) -> None:
    """Schedule until SIGTERM, then drain."""
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async with open(load_config(home / "taskdock.toml", home=home)) as dock:
            print("serving" if dock.schedules else "watching", flush=True)
            async for _ in signals:
                break


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]))
