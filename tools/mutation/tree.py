"""Tree: the scratch copy that mutants are tried in, and the tests that are tried on them.

Owns: what is copied, which tests are left out and why, how pytest is called.
Never: a write to the work tree.
Reads as: trials.py and covering.py -> `Tree` -> pytest in the copy.
"""

import os
import shutil
import sys
from pathlib import Path

from attrs import frozen

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PACKAGE = "taskdock.core"
CORE = "core/taskdock/core"
TESTS = "tests/unit/core"
_COPIED = ("core", "ports", "services", TESTS)
"""The tests of the core use the shipped kit; that may use ports and services."""

LEFT_OUT = (
    "test_product.py::test_same_bytes_in_every_process",
    "test_values.py::test_branch_check_agrees_with_git",
    "test_values.py::test_automatic_branch_is_a_branch",
    "test_walk.py::test_walks_go_everywhere",
    "test_walk.py::test_walk_breaks_no_invariant",
    "test_rows.py::test_no_destination_can_change_unnoticed",
)
"""The first three ask another process, which has no mutant in it; the others take longer than all the rest together."""

FIRST_FILES = ("test_rows.py", "test_machine.py")
"""Quick, and they compare everything: few mutants get past them."""
LAST_FILES = ("test_product.py", "test_commands_product.py", "test_walk.py")
"""Whatever comes in whatever situation: slow, and they ask for sense, not for a certain answer."""

_OPTIONS = (
    "-q",
    "--noconftest",
    "--capture=no",
    "--assert=plain",
    "--import-mode=importlib",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:logging",
)


def forget_stories() -> None:
    """Have the stories of the tests told anew: those told so far were told by the core without this mutant."""
    shelf = sys.modules.get("unit.core.shelf")
    if shelf is not None:
        shelf.forget()


@frozen
class Tree:
    """A copy of the core and its tests."""

    root: Path
    is_broad: bool = False
    """With the tests of `LAST_FILES`; without them, what survives may still be noticed there."""

    @classmethod
    def make(cls, root: Path, *, is_broad: bool = False) -> "Tree":
        """Copy what is needed into an empty folder."""
        for folder in _COPIED:
            shutil.copytree(REPOSITORY / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(REPOSITORY / "pyproject.toml", root)
        return cls(root, is_broad)

    def modules(self) -> dict[str, str]:
        """The source of each module of the core, by its name."""
        return {path.stem: path.read_text() for path in sorted((self.root / CORE).glob("*.py"))}

    def file_of(self, module: str) -> str:
        """The file of a module, as Python names it in its code."""
        return str(self.root / CORE / f"{module}.py")

    def test_files(self) -> list[str]:
        """The test files that take part, by their names."""
        files = sorted(path.name for path in (self.root / TESTS).glob("test_*.py"))
        return [name for name in files if self.is_broad or name not in LAST_FILES]

    def enter(self) -> None:
        """Make this process see the copy and nothing of the work tree."""
        os.chdir(self.root)
        sys.path[:] = [
            *(str(self.root / folder) for folder in ("core", "ports", "services", "tests")),
            *(path for path in sys.path if not Path(path).is_relative_to(REPOSITORY) or ".venv" in path),
        ]
        sys.dont_write_bytecode = True

    def argv(self, *files: str) -> list[str]:
        """The command line of pytest for some test files, or for all."""
        chosen = [f"{TESTS}/{name}" for name in files or self.test_files()]
        without = [f"--deselect={TESTS}/{name}" for name in LEFT_OUT]
        return [*_OPTIONS, *chosen, *without]
