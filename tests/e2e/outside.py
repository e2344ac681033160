"""Outside: what is really there of one world, counted without the code under test: folders, processes, git, servers, rows.

Owns: `Outside`, and `Box`, one sandbox as it lies on disk and in /proc.
Never: a write; a call of a port.
Reads as: referee.py -> this -> disk, /proc, git, sandbox-agent's list, the SQLite file.
"""

import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from attrs import frozen

from e2e.witness import Seen, prompts_seen, sandboxes_of
from taskdock.testing.conformance.clone_repos import ENVIRONMENT

_NAME = re.compile(r"td-[0-9a-f]+-(?P<task>task-\w+)-g(?P<generation>\d+)")
_SERVER = re.compile(r"(?P<tab>tab-\w+)-g\d+-s\d+")
_SERVER_SECONDS_MAX = 5.0


def place_of(sandbox: str) -> tuple[str, int]:
    """Task and generation that a sandbox is named after."""
    found = _NAME.fullmatch(sandbox)
    assert found is not None, sandbox
    return found["task"], int(found["generation"])


@frozen
class Box:
    """One sandbox on disk, with the command lines of its processes by pid."""

    path: Path
    processes: Mapping[int, str]

    @property
    def task_id(self) -> str:
        """Whose it is, by its name."""
        return place_of(self.path.name)[0]

    @property
    def generation(self) -> int:
        """Which one of its task it is, by its name."""
        return place_of(self.path.name)[1]

    @property
    def checkout(self) -> Path:
        """Where the task's files are."""
        return self.path / "home/checkout"

    def pids(self, word: str, but: str = "\0none") -> list[int]:
        """Processes with a word in their command line, and without another."""
        return [pid for pid, line in self.processes.items() if word in line and but not in line]

    @property
    def agents(self) -> list[int]:
        """The agents' own processes, without the relays before them."""
        return self.pids("demo_agent.py", but="relay.py")

    def tabs(self) -> list[str]:
        """The tab of each conversation that the server in it lists; none when no server answers."""
        try:
            record = json.loads((self.path / "services/sandbox-agent.json").read_text())
            server = HTTPConnection(str(record["host"]), record["port"], timeout=_SERVER_SECONDS_MAX)
            with closing(server):
                server.request("GET", "/v1/acp", headers={"Authorization": f"Bearer {record['token']}"})
                servers = json.loads(server.getresponse().read())["servers"]
        except (OSError, KeyError, ValueError, HTTPException):
            return []
        found = (_SERVER.fullmatch(entry["serverId"]) for entry in servers)
        return [match["tab"] for match in found if match is not None]


@frozen
class Outside:
    """One home, seen from outside."""

    home: Path
    provider: str

    @property
    def sandboxes(self) -> Path:
        """Where the sandboxes are."""
        return sandboxes_of(self.home, self.provider)

    def boxes(self) -> list[Box]:
        """Every sandbox on disk, also one without a record, and one that lives on as processes alone."""
        root = self.sandboxes
        found: dict[str, dict[int, str]] = {path.name: {} for path in root.glob("td-*") if path.is_dir()}
        for pid, line, name in self._processes():
            found.setdefault(name, {})[pid] = line
        return [Box(root / name, processes) for name, processes in sorted(found.items())]

    def _processes(self) -> Iterator[tuple[int, str, str]]:
        inside = re.compile(re.escape(str(self.sandboxes)) + r"/(td-[\w-]+)")
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                zombie = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
                carried = (entry / "environ").read_bytes().decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if not zombie and (match := inside.search(carried)):
                yield int(entry.name), line, match[1]

    def leftovers(self) -> list[Path]:
        """What is left of sandboxes whose removal began."""
        trash = self.sandboxes / ".trash"
        return sorted(trash.iterdir()) if trash.is_dir() else []

    def seen(self) -> list[Seen]:
        """Every prompt that an agent logged, sandbox by sandbox in the order of their generations."""
        return sorted(prompts_seen(self.home), key=lambda one: (*place_of(one.sandbox), one.number))

    def rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """Rows of the store, read beside everybody else."""
        with closing(
            sqlite3.connect(f"file:{self.home / 'taskdock.db'}?mode=ro", uri=True, timeout=30)
        ) as db:
            return db.execute(query, values).fetchall()

    def clone(self, repo_id: str) -> Path:
        """The service's own clone of a repo."""
        return self.home / "repos" / repo_id


def git_says(folder: Path, *arguments: str) -> str | None:
    """What git says in a folder; None when it fails."""
    argv = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(argv, env=ENVIRONMENT, capture_output=True, check=False)
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def refs_of(folder: Path, prefixes: Sequence[str]) -> list[str]:
    """The refs below some prefixes."""
    return (git_says(folder, "for-each-ref", "--format=%(refname)", *prefixes) or "").split()
