"""Locks: write every lock of the repository anew, with digests and without a single URL.

Owns: how requirements/*.txt and the package-lock.json beside the agent adapter are made.
Never: an index, a registry or a link in a lock; where to fetch from is the machine's business
    (tests/architecture/test_locks.py).
Reads as: `make lock` -> this -> uv and npm.

Without arguments the pins stay where they are and only what pyproject.toml or package.json changed moves;
`--upgrade` moves everything to the newest allowed version.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
NPM_LOCK = REPOSITORY / "adapters/taskdock/adapters/agent/npm/package-lock.json"

REQUIREMENTS = {
    "run.txt": ["--group", "build"],
    "dev.txt": ["--group", "dev", "--extra", "trio"],
}
UV_COMPILE = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate"]


def lock_requirements(name: str, selection: list[str], *, upgrade: bool) -> None:
    """Compile requirements/<name> from pyproject.toml."""
    uv = Path(sys.executable).with_name("uv")
    argv = [str(uv), "pip", "compile", "--quiet", *UV_COMPILE, *selection]
    argv += ["--upgrade"] * upgrade
    argv += ["pyproject.toml", "--output-file", f"requirements/{name}"]
    subprocess.run(argv, cwd=REPOSITORY, check=True, env={**os.environ, "UV_NO_CONFIG": "1"})


def lock_npm(lock: Path) -> None:
    """Lock the package.json beside `lock`, then drop what names a host: npm can only be asked to omit half of it."""
    subprocess.run(["npm", "install", "--package-lock-only", "--ignore-scripts"], cwd=lock.parent, check=True)
    content = json.loads(lock.read_text())
    for package in content["packages"].values():
        package.pop("funding", None)
        package.pop("resolved", None)
    lock.write_text(json.dumps(content, indent=2) + "\n")


def main() -> None:
    """Write all locks."""
    upgrade = "--upgrade" in sys.argv[1:]
    for name, selection in REQUIREMENTS.items():
        lock_requirements(name, selection, upgrade=upgrade)
    lock_npm(NPM_LOCK)


if __name__ == "__main__":
    main()
