"""Examples: where the files of the example provider are, in a checkout and in an installation.

Owns: `example_files`, `write_example`.
Never: a copy of them among the sources; the wheel brings those of `examples/` as documentation.
Reads as: `python -m taskdock.testing.conformance` -> this -> the files.
"""

from importlib.metadata import files
from pathlib import Path

_NAME = "taskdock-folder-provider"
_IN_CHECKOUT = Path(__file__).parents[4] / "examples" / _NAME


def example_files() -> tuple[Path, ...]:
    """Find the files of the example. Raises: `FileNotFoundError` where nobody installed them."""
    if _IN_CHECKOUT.is_dir():
        found = [path for path in _IN_CHECKOUT.iterdir() if path.is_file()]
    else:
        # The installer alone knows where it put them.
        found = [Path(str(one.locate())) for one in files("taskdock") or () if one.parent.name == _NAME]
    if not found:
        raise FileNotFoundError(f"this installation of taskdock came without {_NAME}")
    return tuple(sorted(found))


def write_example(folder: Path) -> tuple[Path, ...]:
    """Write them into a new folder; which they are. Raises: `FileExistsError` when the folder is there."""
    sources = example_files()
    folder.mkdir(parents=True)
    written = []
    for source in sources:
        written.append(folder / source.name)
        written[-1].write_bytes(source.read_bytes())
    return tuple(written)
