"""Clean install: an environment that has our built wheel and sees our dependencies, but not this checkout.

Owns: `run`, `make_environment`, `install`.
Never: a download; what is installed is a file or a folder of this machine.
Reads as: tests/packaging -> these -> pip, venv.
"""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path


def run(*argv: str | Path, cwd: Path | None = None, **variables: str) -> str:
    """Run a command away from our own Python settings; its output, or a failed test that shows it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_"))}
    result = subprocess.run(
        [str(part) for part in argv],
        cwd=cwd,
        env={**kept, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def make_environment(folder: Path) -> Path:
    """Make an empty environment; answers the folder of its programs.

    Our dependencies become visible by a line in a .pth file: such a line adds the folder, but does not follow the .pth
    files in it, so the editable installation of this checkout stays invisible.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    ours = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    (site_packages / "dependencies.pth").write_text("".join(f"{path}\n" for path in ours))
    return folder / "bin"


def install(programs: Path, what: Path) -> None:
    """Install a wheel, or a folder with a pyproject.toml, and nothing else."""
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed")
    run(sys.executable, "-m", "pip", "--python", programs / "python", "install", "--quiet", *offline, what)
