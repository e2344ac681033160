"""The commands that look after an installation: reap, store, purge, completion; what the app brings is real or a script."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from taskdock.adapters.clock import SystemClock
from taskdock.adapters.entry.cli.app import NOUNS
from taskdock.adapters.entry.cli.upkeep import Removed, StoreUpkeep
from taskdock.adapters.sandbox.local.provider import LocalSandboxes
from taskdock.core.errors import SchemaMismatch, Transient
from taskdock.core.values import sandbox_name
from taskdock.ports.sandbox import Observation, SandboxRef, SandboxSpec
from taskdock.services.reaper import Reaper
from taskdock.services.sites import Site, Sites
from unit.cli.installation import Stage

UNKNOWN = "task-00000000000000000000"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A home of its own."""
    return Stage(tmp_path / "home")


class Shy(LocalSandboxes):
    """A provider that cannot list."""

    async def list_owned(self, owner: str) -> AsyncIterator[Observation]:
        if owner:
            raise Transient("not now")
        async for one in super().list_owned(owner):
            yield one


def reapers(stage: Stage, boxes: Sequence[str] = (), *, shy: bool = False) -> Callable[..., Any]:
    """A reaper over real sandboxes, of which some are made first: by task, each the first of it."""

    @asynccontextmanager
    async def opened(home: Path) -> AsyncIterator[Reaper]:
        kind = Shy if shy else LocalSandboxes
        local = kind(home / "sandboxes", "here", lambda: datetime.now(UTC))
        async with stage.open(home, schedule=False) as dock:
            for task in boxes:
                name = sandbox_name(dock.owner, task, 1)
                await local.ensure(SandboxSpec(SandboxRef("local", name), dock.owner, task, 1))
            sites = Sites({"local": Site(local, local)})
            yield Reaper(sites, dock.stepper, dock.reads, SystemClock(), dock.owner, age_seconds_min=60.0)

    return opened


def test_reap_says_first_and_ends_then(stage: Stage) -> None:
    """A dry run names the box and leaves it; then it is ended, and nothing is left to name."""
    dry = stage.taskdock("reap", "--dry-run", "--age", "0", reapers=reapers(stage, [UNKNOWN]))
    name = dry.out.strip()
    assert (dry.code, name.startswith("td-")) == (0, True)
    assert (stage.home / "sandboxes" / name).is_dir()
    run = stage.taskdock("reap", "--age", "0", reapers=reapers(stage))
    assert (run.code, run.out) == (0, f"{name}\n")
    assert not (stage.home / "sandboxes" / name).exists()
    assert stage.taskdock("reap", "--age", "0", reapers=reapers(stage)).out == ""


def test_reap_leaves_what_is_young_and_what_is_needed(stage: Stage) -> None:
    """Without --age the configured one holds; in JSON every box is told with its fate and the reason."""
    task = stage.taskdock("task", "create", "--repo", "/srv/x.git", "x").out.strip()
    run = stage.taskdock("reap", "--json", reapers=reapers(stage, [UNKNOWN, task]))
    found = {one["task_id"]: (one["fate"], one["reason"]) for one in run.document["sandboxes"]}
    assert found[UNKNOWN][0] == "too_young"
    assert found[task] == ("kept", "its task is running")
    assert (run.code, run.document["failures"]) == (0, {})
    keys = {
        "provider",
        "sandbox",
        "fate",
        "reason",
        "task_id",
        "generation",
        "created_at",
        "takes",
        "cost_hourly",
    }
    assert all(set(one) == keys for one in run.document["sandboxes"])


def test_reap_ends_in_1_when_a_provider_cannot_be_asked(stage: Stage) -> None:
    """Its reason is told; without a reaper at all the command is unsupported."""
    run = stage.taskdock("reap", reapers=reapers(stage, shy=True))
    assert (run.code, run.err) == (1, "taskdock: the sandboxes of local cannot be listed: not now\n")
    assert stage.taskdock("reap").code == 5


def upkeep(*problems: str) -> StoreUpkeep:
    """A store with these problems, which was at version 3 of 5 and whose copy has 4,096 bytes."""
    return StoreUpkeep(lambda _: problems, lambda _: (3, 5), lambda _, into: into.write_bytes(b"x" * 4096))


def test_store_check_ends_in_1_when_something_is_wrong(stage: Stage) -> None:
    """One problem a line; a whole store says nothing in a pipe."""
    assert stage.taskdock("store", "check", store=upkeep()).out == ""
    broken = stage.taskdock("store", "check", store=upkeep("row 7 is torn", "a tab without a task"))
    assert (broken.code, broken.out) == (1, "row 7 is torn\na tab without a task\n")
    document = stage.taskdock("store", "check", "--json", store=upkeep("x")).document
    assert document == {"ok": False, "problems": ["x"]}
    assert stage.taskdock("store", "check").code == 5


def test_store_migrate_says_from_where_to_where(stage: Stage) -> None:
    """Both versions in JSON, the new one alone in a pipe; a newer store is refused with the store's own code."""

    def newer(_home: Path) -> tuple[int, int]:
        raise SchemaMismatch("The store is of version 9.")

    assert stage.taskdock("store", "migrate", store=upkeep()).out == "5\n"
    assert stage.taskdock("store", "migrate", "--json", store=upkeep()).document == {"before": 3, "after": 5}
    refused = StoreUpkeep(lambda _: (), newer, lambda _home, _into: 0)
    run = stage.taskdock("store", "migrate", store=refused)
    assert (run.code, run.err) == (7, "taskdock: The store is of version 9.\n")


def test_store_backup_names_the_copy(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is meant from where one stands."""
    monkeypatch.chdir(tmp_path)
    run = stage.taskdock("store", "backup", "copy.db", store=upkeep())
    assert (run.code, run.out) == (0, f"{tmp_path / 'copy.db'}\n")
    document = stage.taskdock("store", "backup", "copy.db", "--json", store=upkeep()).document
    assert document == {"path": str(tmp_path / "copy.db"), "bytes": 4096}
    assert stage.taskdock("store", "backup", store=upkeep()).code == 2


def test_purge_says_what_it_removes(stage: Stage) -> None:
    """With --dry-run nothing is removed, and what would be is told; without it the same is done."""
    asked: list[bool] = []

    async def purge(home: Path, dry_run: bool) -> Sequence[Removed]:
        asked.append(dry_run)
        assert home == stage.home
        return [Removed("history", 12, "older than 90 days")]

    dry = stage.taskdock("purge", "--dry-run", purge=purge)
    assert dry.out.splitlines()[1].split() == ["history", "12", "older", "than", "90", "days"]
    document = stage.taskdock("purge", "--json", purge=purge).document
    assert document == {
        "dry_run": False,
        "removed": [{"kind": "history", "rows": 12, "rule": "older than 90 days"}],
    }
    assert asked == [True, False]
    assert stage.taskdock("purge").code == 5


COMPLETE = """
import json, sys
sys.path[:] = json.loads(sys.argv.pop(1))
from taskdock.adapters.entry.cli.app import build_cli
build_cli(None).main(prog_name="taskdock")
"""


def completed(*words: str) -> list[str]:
    """What a shell is told that the last word may become."""
    environment = {
        "_TASKDOCK_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("taskdock", *words)),
        "COMP_CWORD": str(len(words)),
    }
    argv = [sys.executable, "-c", COMPLETE, json.dumps(sys.path)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_a_shell(stage: Stage, shell: str) -> None:
    """The script calls us back under the variable that click reads."""
    run = stage.taskdock("completion", shell)
    assert run.code == 0
    assert f"_TASKDOCK_COMPLETE={shell}_complete" in run.out
    assert stage.taskdock("completion", shell, "--json").document["script"].strip() == run.out.strip()


def test_completion_knows_nouns_verbs_and_options() -> None:
    """Each as far as the words before it say what may come."""
    assert completed("") == list(NOUNS)
    assert completed("task", "un") == ["unarchive"]
    assert set(completed("tab", "open", "--m")) == {"--model"}
