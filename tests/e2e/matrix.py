"""Matrix: the kill matrix on a provider of the end-to-end tests, with the config that it needs: `make matrix PROVIDER=docker`.

Owns: the program `python -m e2e.matrix PROVIDER`.
Never: a judgement; the rest of its arguments are those of the shipped command.
Reads as: Makefile -> this -> providers.py, taskdock.testing.kill_matrix.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from agent_server import CACHE
from e2e.providers import prepared, toml_of
from taskdock.testing.kill_matrix.__main__ import main as shipped


def main(name: str, arguments: Sequence[str]) -> None:
    """Run it; the exit code is the shipped command's."""
    with prepared(name) as provider, tempfile.TemporaryDirectory() as folder:
        top, table = toml_of(provider)
        config = Path(folder, "taskdock.toml")
        config.write_text(f'{top}cache = "{CACHE}"\n{table}')
        shipped(["--config", str(config), *arguments])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
