"""SQLite store between processes: killed, racing, or opening at once, they keep what one of them acknowledged."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskdock.adapters.store.sqlite.store import SqliteStore
from taskdock.core.tab import Tab
from taskdock.ports.store import Commit, Committed
from taskdock.testing.conformance.store_under_test import creation, task_id

pytestmark = pytest.mark.anyio

CHILD = Path(__file__).parent.with_name("sqlite_child.py")
PATIENCE_SECONDS = 60
ROUNDS = 5
FEED_MAX = 1_000_000


class Child:
    """A process of its own; killed when it does not answer in time, so that no test waits for ever."""

    def __init__(self, what: str, path: Path, backend: str, *more: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD), what, str(path), backend, *map(str, more)],
            env={"PYTHONPATH": ":".join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._watch = threading.Timer(PATIENCE_SECONDS, self.process.kill)
        self._watch.start()

    def lines(self, count: int) -> list[str]:
        """Read lines until there are so many; fewer when the process ended before."""
        assert self.process.stdout is not None
        found = (self.process.stdout.readline() for _ in range(count))
        return [line.rstrip("\n") for line in found if line.endswith("\n")]

    def go(self) -> None:
        """Say the word that it waits for."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def kill(self) -> list[str]:
        """Kill it with SIGKILL; what it had said and nobody had read."""
        self.process.kill()
        rest, _ = self.process.communicate()
        return [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]

    def close(self) -> None:
        """End it if it still runs."""
        self.kill()
        self._watch.cancel()
        self._watch.join()


@contextmanager
def children(count: int, what: str, path: Path, *more: object) -> Iterator[list[Child]]:
    """Run several at once; they end with the test. Each gets its number where `more` says so."""
    started: list[Child] = []
    try:
        for number in range(count):
            backend = ("asyncio", "trio")[number % 2]
            started.append(Child(what, path, backend, *(one if one != "#" else number for one in more)))
        yield started
    finally:
        for child in started:
            child.close()


def acknowledged_until_killed(path: Path, backend: str, first: int) -> dict[str, int]:
    """Let a process write and kill it amidst it; the last version it acknowledged of each boundary."""
    child = Child("write", path, backend, first)
    try:
        said = [*child.lines(100 + first), *child.kill()]
    finally:
        child.close()
    versions: dict[str, int] = {}
    for line in said:
        boundary, version = line.split()
        versions[boundary] = max(int(version), versions.get(boundary, 0))
    assert len(said) >= 100
    return versions


async def test_killed_process_loses_nothing(tmp_path: Path, anyio_backend: str) -> None:
    """Whatever a process acknowledged before SIGKILL is there, each version whole and none left out."""
    path = tmp_path / "taskdock.db"
    acknowledged: dict[str, int] = {}
    for round_ in range(ROUNDS):
        acknowledged |= acknowledged_until_killed(path, anyio_backend, 8 * round_)
    async with SqliteStore.open(path) as store:
        feed = await store.feed(0, limit=FEED_MAX)
        for boundary, version in acknowledged.items():
            loaded = await store.load(boundary)
            assert loaded.version >= version
            told = {entry.version for entry in feed if entry.boundary == boundary}
            assert told == set(range(1, loaded.version + 1))
            tabs = [record for record in loaded.records if isinstance(record, Tab)]
            assert [tab.number for tab in tabs] == list(range(1, loaded.version + 1))
    assert [entry.position for entry in feed] == list(range(1, len(feed) + 1))


async def test_two_processes_change_the_same_boundaries(tmp_path: Path) -> None:
    """Two processes that change the same two tasks at once lose none of each other's changes."""
    path, tabs = tmp_path / "taskdock.db", 60
    async with SqliteStore.open(path) as store:
        for number in (1, 2):
            change = creation(number)
            assert isinstance(await store.commit(Commit((change,))), Committed)
        with children(2, "race", path, "#", tabs) as both:
            assert [child.lines(1) for child in both] == [["ready"], ["ready"]]
            for child in both:
                child.go()
            assert [child.lines(1) for child in both] == [["done"], ["done"]]
        for number in (1, 2):
            loaded = await store.load(task_id(number))
            opened = {record.id for record in loaded.records if isinstance(record, Tab)}
            assert len(opened) == loaded.version == 1 + tabs
            assert {f"tab-0-{number - 1}", f"tab-1-{number - 1}"} < opened


def test_three_processes_make_the_store_at_once(tmp_path: Path) -> None:
    """Three processes that open a store which is not there yet all succeed, and agree whose it is."""
    with children(3, "open", tmp_path / "taskdock.db") as all_three:
        assert [child.lines(1) for child in all_three] == [["ready"]] * 3
        for child in all_three:
            child.go()
        owners = [child.lines(1) for child in all_three]
    assert owners[0][0]
    assert owners == [owners[0]] * 3
