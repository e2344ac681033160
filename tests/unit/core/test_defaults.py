"""Defaults: what is left out of a document or a command means what it always meant, since stores hold such documents."""

from typing import Any

import attrs
import pytest

from taskdock.core import commands, inputs, intents
from taskdock.core.branches import Branches
from taskdock.core.change import Change, Slice
from taskdock.core.history import HistoryEvent
from taskdock.core.job import Job
from taskdock.core.job_record import BranchSeen, JobFailure, JobResult
from taskdock.core.message import Message
from taskdock.core.repo import Repo
from taskdock.core.step import Failure, Step
from taskdock.core.tab import Permission, Tab, Turn
from taskdock.core.task_record import Activity, Task

NOTHING_SET = intents.SessionSettings(None, None)

MEANT: dict[type, dict[str, Any]] = {
    Task: {
        "title_given": False, "branch_given": False, "is_named": False, "at": "new", "activity": Activity.PROVISIONING,
        "repo_is_ready": False, "ask": 0, "generation": 1, "box_ordered": False, "box_ready": False,
        "destroy_ordered": False, "heals": (), "work_owed": False, "kept": 0, "moved": False, "force": False,
        "discard": False, "woken": False, "resume_wanted": False, "tabs_opened": 0, "on_branch": False,
        "is_attached": False,
    },
    Tab: {
        "at": "new", "generation": 0, "session": 0, "losses": (), "turn": Turn("none", None, None, ()), "held": False,
        "messages_sent": 0, "turns_ended": 0,
    },
    Turn: {"at": "none", "permissions": ()},
    Permission: {"at": "new"},
    Message: {"at": "new", "tries": 0},
    Repo: {"at": "new", "waiting": (), "answered": (), "jobs_asked": 0, "undoable": ()},
    Job: {
        "at": "new", "push": False, "if_stacked": False, "waiting": (), "cancel_asked": False, "settles": False,
    },
    Step: {},
    Failure: {},
    HistoryEvent: {"data": {}},
    intents.Intent: {"issue": 0, "started": False},
    intents.EnsureName: {"is_kept": False, "is_there": False},
    intents.SessionSettings: {},
    intents.CreateSession: {"settings": NOTHING_SET},
    intents.ResumeSession: {"settings": NOTHING_SET},
    intents.SendPrompt: {"settings": NOTHING_SET},
    intents.CollectWork: {"mark": ""},
    intents.RunRepoJob: {"push": False, "settles": False, "if_stacked": False},
    inputs.RepoFailed: {},
    inputs.NameEnsured: {},
    inputs.SandboxReady: {"mark": ""},
    inputs.WorkCollected: {"uncommitted": (), "kept": 0},
    inputs.Observed: {},
    inputs.SandboxStopped: {"is_absent": False},
    inputs.JobEnded: {"tasks": {}},
    inputs.JobStepped: {"done": 0, "of": 0},
    inputs.Failed: {},
    commands.CreateTask: {},
    commands.OpenTab: {},
    commands.RetryTask: {"discard": False},
    commands.ArchiveTask: {"force": False},
    commands.UnarchiveTask: {"repo_is_ready": True},
    commands.KillTask: {"force": False},
    commands.CloseTab: {"force": False},
    commands.RequestJob: {"push": False, "if_stacked": False},
    commands.CancelJob: {"force": False},
    JobResult: {"changed": {}, "skipped": {}, "blocked": {}, "conflicts": {}, "pushed": {}},
    JobFailure: {"hint": ""},
    BranchSeen: {
        "is_tracked": False, "depth": 0, "needs_restack": False, "ahead": 0, "behind": 0, "files_changed": 0,
        "insertions": 0, "deletions": 0, "conflicts_with_trunk": False,
    },
    Branches: {"seen": ()},
    Slice: {"version": 0, "runs": 0, "records": (), "intents": ()},
    Change: {
        "runs": 0, "records": (), "history": (), "ordered": (), "marked_started": (), "closed": (), "cancelled": (),
    },
}  # fmt: skip
"""Every default but None, kind by kind."""


def defaults_of(kind: type) -> dict[str, Any]:
    """What a field is when nothing is said of it."""
    found: dict[str, Any] = {}
    for field in attrs.fields(kind):
        default = field.default
        if default is not attrs.NOTHING:
            found[field.name] = default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("kind", MEANT, ids=lambda kind: kind.__name__)
def test_what_is_left_out_means_what_it_always_meant(kind: type) -> None:
    """No default changes unnoticed: one that does is a new version of the format, with an upcaster."""
    found = defaults_of(kind)
    assert {name: value for name, value in found.items() if value is not None} == MEANT[kind]
    # 0 and False are equal, and are two things in a document.
    assert [type(found[name]) for name in MEANT[kind]] == [type(value) for value in MEANT[kind].values()]
