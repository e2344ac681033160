"""Example: the provider that the guide goes with, written into a folder of yours.

Owns: `python -m taskdock.testing.conformance --example FOLDER`.
Never: a file that is there already, changed.
Reads as: a shell -> this -> examples.py.
"""

import argparse
import sys
from pathlib import Path

from taskdock.testing.conformance.examples import write_example


def options() -> argparse.ArgumentParser:
    """What can be asked of it."""
    parser = argparse.ArgumentParser(
        prog="python -m taskdock.testing.conformance",
        description="Write a whole sandbox provider with its test, to begin your own from.",
    )
    parser.add_argument(
        "--example", metavar="FOLDER", type=Path, required=True, help="a folder that is not there yet"
    )
    return parser


def main() -> int:
    """Write it, and say what comes next."""
    parser = options()
    folder: Path = parser.parse_args().example
    try:
        written = write_example(folder)
    except FileExistsError:
        parser.error(f"{folder} is there already; name a folder that is not")
    except OSError as error:
        parser.error(f"{folder} cannot be written: {error}")
    for path in written:
        sys.stdout.write(f"{path}\n")
    sys.stdout.write(f"Next: pip install {folder} trio pytest; (cd {folder} && pytest)\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
