"""Examples: where the files of the example provider are, in an installed wheel and in a checkout.

Owns: `example_files`, `write_example`.
Never: a copy of them among the sources; the wheel is built with those of `examples/`.
Reads as: `python -m taskdock.testing.conformance` -> this -> the files.
"""

from pathlib import Path

NAME = "taskdock-folder-provider"
_FILES = ("pyproject.toml", "README.md", "taskdock_folder.py", "test_taskdock_folder.py")
_IN_WHEEL = Path(__file__).parent / "example"
_IN_CHECKOUT = Path(__file__).parents[4] / "examples" / NAME


def example_files() -> tuple[Path, ...]:
    """Find the files of the example."""
    folder = _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT
    return tuple(folder / name for name in _FILES)


def write_example(folder: Path) -> tuple[Path, ...]:
    """Write them into a new folder; which they are. Raises: `FileExistsError` when the folder is there."""
    folder.mkdir(parents=True)
    written = []
    for source in example_files():
        written.append(folder / source.name)
        written[-1].write_bytes(source.read_bytes())
    return tuple(written)
