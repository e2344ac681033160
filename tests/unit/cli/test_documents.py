"""The documents of `--json`: exactly the keys that the module promises."""

import re
from pathlib import Path

import pytest

from taskdock.adapters.entry.cli import documents
from taskdock.core import intents
from unit.cli.installation import Played, Run, Stage, permanent


def promised(name: str) -> set[str]:
    """The keys that the docstring of documents.py lists for one kind of record."""
    text = documents.__doc__ or ""
    found = re.search(rf"^    {name}\s+(.*(?:\n {{12}}.*)*)", text, re.MULTILINE)
    assert found is not None
    return set(re.findall(r"[a-z_]+", found[1].partition(";")[0]))


def also_promised(name: str) -> set[str]:
    """The keys that a record has only when it is shown alone."""
    text = documents.__doc__ or ""
    found = re.search(rf"^    {name}\s+(.*(?:\n {{12}}.*)*)", text, re.MULTILINE)
    assert found is not None
    return set(re.findall(r"[a-z_]+", found[1].partition("also:")[2]))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A home of its own."""
    return Stage(tmp_path / "home")


def created(stage: Stage) -> str:
    """Create a task and drive it."""
    return stage.taskdock("task", "create", "--repo", "/srv/x.git", "Say hello").out.strip()


def test_listed_records_have_the_promised_keys(stage: Stage) -> None:
    """Tasks, repos, tabs, events and items in lists."""
    task = created(stage)
    runs = {
        "task": stage.taskdock("task", "list", "--json").document["tasks"],
        "repo": stage.taskdock("repo", "list", "--json").document["repos"],
        "message": stage.taskdock("message", "list", task, "--json").document["messages"],
        "event": stage.taskdock("history", "--json").document["events"],
        "item": stage.taskdock("transcript", task, "--json").document["items"],
    }
    for name, listed in runs.items():
        assert listed, name
        assert all(set(one) == promised(name) for one in listed), name


def test_a_shown_task_has_its_tabs_and_actions(stage: Stage) -> None:
    """Alone, a task and its tabs say what may be asked of them."""
    shown = stage.taskdock("task", "show", created(stage), "--json").document
    assert set(shown) == promised("task") | also_promised("task")
    assert shown["available_actions"] == ["stop", "archive", "kill", "open_tab", "rename"]
    (tab,) = shown["tabs"]
    assert set(tab) == promised("tab") | also_promised("tab")
    assert stage.taskdock("tab", "list", shown["id"], "--json").document == {"tabs": [tab]}


def test_a_failure_and_a_step_have_the_promised_keys(stage: Stage) -> None:
    """What failed says why; what is under way says how far it is."""
    stage.played = Played(holds={intents.CreateSession})
    stage.played.answers[intents.EnsureAgent] = permanent("no such agent", "line 1\nline 2")
    task = created(stage)
    shown = stage.taskdock("task", "show", task, "--json").document
    assert set(shown["failure"]) == promised("failure")
    assert (shown["status"], shown["failure"]["log_tail"]) == ("error", "line 1\nline 2")
    stage.taskdock("task", "retry", task, "--detach")
    shown = stage.taskdock("task", "show", task, "--json").document
    assert set(shown["step"]) == promised("step")


def test_a_problem_has_the_promised_keys(stage: Stage) -> None:
    """Every problem has the same keys, whatever it is about."""
    problems: list[Run] = [
        stage.taskdock("task", "show", "task-nope", "--json"),
        stage.taskdock("task", "create", "--repo", "/srv/x.git", " ", "--json"),
        stage.taskdock("--json", "task", "create", "x"),
        stage.taskdock("task", "retry", created(stage), "--json"),
    ]
    keys = {"code", "message", "exit_code", "status", "available_actions", "record_id", "field"}
    keys |= {"retry_after_seconds"}
    assert [set(run.problem) for run in problems] == [keys] * 4
    assert [run.code for run in problems] == [run.problem["exit_code"] for run in problems] == [3, 2, 2, 4]
    assert [run.problem["code"] for run in problems] == [
        "not_found",
        "invalid_command",
        "invalid_usage",
        "conflict",
    ]
    assert problems[1].problem["field"] == "prompt"
    assert problems[3].problem["status"] == "running"
    assert problems[3].problem["available_actions"] == ["stop", "archive", "kill", "open_tab", "rename"]
