"""The commands about tasks, over a real store, in a pipe."""

import json
from pathlib import Path
from typing import Any

import pytest

from taskdock.core import inputs, intents
from taskdock.core.inputs import Succeeded, TurnEnd
from taskdock.core.job_record import JobErrorKind, JobFailure
from unit.cli.installation import HEAD, Played, Stage, failing_once, job_ends, permanent

REMOTE = "/srv/x.git"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A home of its own."""
    return Stage(tmp_path / "home")


def created(stage: Stage, *words: str) -> str:
    """Create a task and drive it; its id."""
    run = stage.taskdock("task", "create", "--repo", REMOTE, "Say hello", *words)
    assert run.code == 0, run.err
    return run.out.strip()


def test_create_in_a_pipe_prints_the_id_and_shows_the_steps_beside_it(stage: Stage) -> None:
    """Stdout has the id alone; each step, the answer and the commit go to stderr, in that order."""
    run = stage.taskdock("task", "create", "--repo", REMOTE, "Say hello")
    assert run.code == 0
    assert run.out.startswith("task-") and run.out.count("\n") == 1
    said = run.err.splitlines()
    assert [line.split()[0] for line in said[:5]] == [
        "init_enqueue_provision",
        "init_ensure_name",
        "init_create_sandbox",
        "init_ensure_agent",
        "init_create_session",
    ]
    assert said[5:] == ["> Say hello", "Bonjour.", "commit 1a2b3c4 on a-branch"]


def test_create_takes_what_was_chosen(stage: Stage) -> None:
    """Title, branch, base, provider and agent reach the task."""
    task = created(
        stage, "--title", "T", "--branch", "b", "--base", "dev", "--provider", "remote", "--agent", "other"
    )
    shown = stage.taskdock("task", "show", task, "--json").document
    assert [shown[key] for key in ("title", "branch", "base", "provider", "agent")] == [
        "T",
        "b",
        "dev",
        "remote",
        "other",
    ]


def test_create_reads_its_prompt_from_stdin(stage: Stage) -> None:
    """`-` stands for what stdin holds."""
    run = stage.taskdock("task", "create", "--repo", REMOTE, "-", stdin="Line 1\nLine 2\n")
    said = stage.taskdock("transcript", run.out.strip()).out
    assert said.startswith("> Line 1\n> Line 2\n")


def test_a_prompt_that_begins_with_a_dash_can_be_given(stage: Stage) -> None:
    """After `--` everything is a prompt, even what looks like our option; errors stay text then."""
    run = stage.taskdock("task", "create", "--repo", REMOTE, "--", "--json")
    assert run.code == 0
    assert stage.taskdock("transcript", run.out.strip()).out.startswith("> --json\n")
    refused = stage.taskdock("task", "create", "--repo", "nope", "--", "--json")
    assert (refused.code, refused.err.startswith("taskdock: There is no repo 'nope'")) == (3, True)


def test_an_oversized_prompt_is_refused_from_stdin_too(stage: Stage) -> None:
    """Stdin is read no further than a prompt may be long, and nothing is written."""
    run = stage.taskdock("task", "create", "--repo", REMOTE, "-", stdin="x" * 3_000_000)
    assert run.code == 2
    assert "at most 1,048,576 fit" in run.err
    assert stage.taskdock("task", "list").out == ""


def test_a_key_counts_once(stage: Stage) -> None:
    """The same key gives the same task again, and says so in JSON; another body with it is refused."""
    first = created(stage, "--key", "click-1")
    assert created(stage, "--key", "click-1") == first
    words = ("task", "create", "--repo", REMOTE, "--key", "click-1", "--json")
    again = stage.taskdock(*words, "Say hello").document
    assert (again["task_id"], again["replayed"]) == (first, True)
    other = stage.taskdock(*words, "Something else")
    assert (other.code, other.problem["code"]) == (2, "idempotency_key_reused")


def test_create_with_json_prints_the_receipt_and_nothing_else(stage: Stage) -> None:
    """One document on stdout, silence on stderr, though the task is driven to its end."""
    run = stage.taskdock("task", "create", "--repo", REMOTE, "x", "--json")
    assert run.err == ""
    assert stage.taskdock("task", "show", run.document["task_id"], "--json").document["head"] == HEAD


@pytest.mark.parametrize(
    ("scheduled", "says"), [(None, ""), (True, ""), (False, "No process schedules this home")]
)
def test_a_detached_create_only_persists(stage: Stage, scheduled: bool | None, says: str) -> None:
    """Nothing is done in this process, and where nobody schedules that is said."""

    async def asked(home: Path) -> bool:
        assert home == stage.home
        return bool(scheduled)

    more: dict[str, Any] = {} if scheduled is None else {"scheduler_runs": asked}
    words = ("task", "create", "--repo", REMOTE, "x", "--detach")
    run = stage.taskdock(*words, **more)
    assert (run.code, stage.asked) == (0, [False])
    assert run.err.startswith(says) and bool(run.err) == bool(says)
    task = run.out.strip()
    assert stage.taskdock("task", "show", task, "--json").document["status"] == "init_enqueue_provision"
    document = stage.taskdock(*words, "--json", **more).document
    assert document["scheduled"] is scheduled


def test_watch_drives_what_was_detached(stage: Stage) -> None:
    """A task that nobody drove comes up while it is watched."""
    run = stage.taskdock("task", "create", "--repo", REMOTE, "x", "--detach")
    watched = stage.taskdock("task", "watch", run.out.strip())
    assert watched.code == 0
    assert "init_create_session" in watched.out and "commit 1a2b3c4 on a-branch" in watched.out
    assert watched.err == ""


def test_watch_shows_what_was_before_in_its_order(stage: Stage) -> None:
    """Steps, then what was said, then what came of it; a task at rest is shown and not waited for."""
    task = created(stage)
    lines = stage.taskdock("task", "watch", task).out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "init_enqueue_provision",
        "init_ensure_name",
        "init_create_sandbox",
        "init_ensure_agent",
        "init_create_session",
        ">",
        "Bonjour.",
        "commit",
    ]


def test_watch_with_json_prints_one_change_a_line(stage: Stage) -> None:
    """A snapshot, then changes with rising positions, and at last how it came to rest."""
    run = stage.taskdock("task", "create", "--repo", REMOTE, "x", "--detach")
    watched = stage.taskdock("task", "watch", run.out.strip(), "--json")
    lines = [json.loads(line) for line in watched.out.splitlines()]
    assert lines[0]["type"] == "snapshot"
    assert lines[-1] == {"type": "rest", "rest": {"ok": True, "reason": None}}
    changes = lines[1:-1]
    assert {line["type"] for line in changes} == {"task", "tab", "message", "history", "transcript"}
    assert all(line["type"] in line for line in changes)
    positions = [line["position"] for line in changes]
    assert positions == sorted(positions)


def test_a_task_that_fails_ends_in_1_with_the_reason(stage: Stage) -> None:
    """The step, its class and the reason are said, and the exit code is 1; with JSON it is a problem."""
    stage.played.answers[intents.EnsureAgent] = permanent("no such agent")
    run = stage.taskdock("task", "create", "--repo", REMOTE, "x")
    assert run.code == 1
    assert "failed in init_ensure_agent, attempt 1 (permanent): no such agent" in run.err
    assert run.err.endswith("taskdock: no such agent\n")
    watched = stage.taskdock("task", "watch", run.out.strip(), "--json")
    assert (watched.code, watched.problem["code"]) == (1, "failed")


def test_a_task_on_a_branch_shows_the_job_that_it_waits_for(stage: Stage) -> None:
    """It waits in `init_attach_branch` and names the job, which names the task; then it comes up on that branch."""
    words = ("task", "create", "--repo", REMOTE, "--on-branch", "theirs", "x", "--detach")
    task = stage.taskdock(*words).out.strip()
    stage.played.holds.add(intents.RunRepoJob)
    with stage.playing() as playing:
        playing.until(task, lambda view: view.task.step is not None and view.task.step.job_id is not None)
        shown = stage.taskdock("task", "show", task, "--json").document
        assert (shown["status"], shown["branch"], shown["on_branch"]) == (
            "init_attach_branch",
            "theirs",
            True,
        )
        job = shown["step"]["job_id"]
        assert shown["waits_for"] == f"{job}, which registers theirs"
        assert f"waits for {job}, which registers theirs" in stage.taskdock("task", "show", task).out
        assert stage.taskdock("job", "show", job, "--json").document["waiting"] == [task]
        assert f"waited for by  {task}" in stage.taskdock("job", "show", job).out
        refused = stage.taskdock("job", "cancel", job)
        assert (refused.code, f"waited for by {task}: cancel it with force" in refused.err) == (4, True)
    stage.played.holds.clear()
    assert stage.taskdock("task", "watch", task).code == 0
    shown = stage.taskdock("task", "show", task, "--json").document
    assert (shown["status"], shown["branch"], shown["base"]) == ("running", "theirs", "theirs")
    assert stage.taskdock("job", "show", job, "--json").document["waiting"] == []


def test_a_job_that_is_cancelled_by_force_fails_its_task(stage: Stage) -> None:
    """The task says that its job was cancelled."""
    words = ("task", "create", "--repo", REMOTE, "--on-branch", "theirs", "x", "--detach")
    task = stage.taskdock(*words).out.strip()
    stage.played.holds.add(intents.CloneRepo)
    with stage.playing() as playing:
        view = playing.until(
            task, lambda view: view.task.step is not None and view.task.step.job_id is not None
        )
        assert view.task.step is not None
        assert stage.taskdock("job", "cancel", view.task.step.job_id or "", "--force").code == 0
        failed = playing.until(task, lambda view: view.task.failure is not None).task.failure
    assert failed is not None
    assert failed.reason.startswith("The branch 'theirs' cannot be worked on: its job was cancelled (job-")


def test_a_task_on_a_branch_that_is_nowhere_fails_with_the_reason(stage: Stage) -> None:
    """The exit code is 1, and the reason is the job's."""
    stage.played.answers[intents.RunRepoJob] = job_ends(
        failure=JobFailure(JobErrorKind.USER_ERROR, "nobody has it")
    )
    run = stage.taskdock("task", "create", "--repo", REMOTE, "--on-branch", "theirs", "x")
    assert run.code == 1
    assert "The branch 'theirs' cannot be worked on: nobody has it (job-" in run.err


def test_an_attempt_that_failed_is_shown(stage: Stage) -> None:
    """A step that needed two attempts says so, and comes up."""
    stage.played.answers[intents.EnsureAgent] = failing_once(
        "connection reset", lambda _: Succeeded(inputs.AgentReady())
    )
    run = stage.taskdock("task", "create", "--repo", REMOTE, "x")
    assert run.code == 0
    assert "init_ensure_agent: attempt 1 failed (transient): connection reset; again at " in run.err


def test_a_turn_that_does_not_complete_ends_in_1(stage: Stage) -> None:
    """The task runs, but what was asked for did not happen."""
    stage.played.answers[intents.SendPrompt] = lambda _: Succeeded(
        inputs.TurnEnded(TurnEnd.FAILED, "refusal")
    )
    run = stage.taskdock("task", "create", "--repo", REMOTE, "x")
    assert run.code == 1
    assert "the turn was failed: refusal" in run.err


def test_a_turn_without_a_commit_rests_too(stage: Stage) -> None:
    """A collection that brings nothing new ends the wait; no commit is claimed."""
    stage.played.answers[intents.CollectWork] = lambda _: Succeeded(
        inputs.WorkCollected(None, branch_moved=True)
    )
    run = stage.taskdock("task", "create", "--repo", REMOTE, "x")
    assert run.code == 0
    assert "commit" not in run.err


def test_a_collection_that_fails_is_told(stage: Stage) -> None:
    """The turn completed; that its work is not here yet is said."""
    stage.played.answers[intents.CollectWork] = permanent("the bundle is broken")
    run = stage.taskdock("task", "create", "--repo", REMOTE, "x")
    assert run.code == 0
    assert "collect_work: attempt 1 failed (permanent): the bundle is broken" in run.err


def test_retry_goes_on_from_the_failure(stage: Stage) -> None:
    """After the cause is mended the same task comes up, and its message is sent."""
    stage.played.answers[intents.EnsureAgent] = permanent("no such agent")
    task = stage.taskdock("task", "create", "--repo", REMOTE, "x").out.strip()
    stage.played = Played()
    run = stage.taskdock("task", "retry", task)
    assert (run.code, run.out) == (0, f"{task}\n")
    assert "no such agent" not in run.err
    assert run.err.endswith("> x\nBonjour.\ncommit 1a2b3c4 on a-branch\n")
    assert stage.taskdock("task", "show", task, "--json").document["status"] == "running"
    assert stage.taskdock("task", "retry", task).code == 4


def test_send_to_a_task_means_its_first_open_tab(stage: Stage) -> None:
    """The message's id is printed, and only its own turn is shown."""
    task = created(stage)
    run = stage.taskdock("task", "send", task, "And again")
    assert run.code == 0
    assert run.out.startswith("message-") and run.out.count("\n") == 1
    assert run.err == "> And again\nBonjour.\n"


def test_send_names_a_tab(stage: Stage) -> None:
    """A tab's own id is taken as it is."""
    task = created(stage)
    first, second = stage.taskdock("tab", "open", task).out.strip(), stage.taskdock("tab", "list", task).out
    assert stage.taskdock("task", "send", first, "To you").code == 0
    assert stage.taskdock("transcript", first).out == "> To you\nBonjour.\n"
    assert first in second


def test_kill_waits_for_the_end(stage: Stage) -> None:
    """The task is killed when the command returns; killing again is no error; sending is one."""
    task = created(stage)
    run = stage.taskdock("task", "kill", task)
    assert (run.code, run.out) == (0, f"{task}\n")
    steps = [line.split()[0] for line in run.err.splitlines()]
    assert steps == ["killing/settle", "killing/collect", "killing/destroy"]
    assert stage.taskdock("task", "show", task, "--json").document["status"] == "killed"
    assert stage.taskdock("task", "kill", task).code == 0
    refused = stage.taskdock("task", "send", task, "x")
    assert refused.code == 4
    assert "has no open tab" in refused.err


def test_a_kill_that_would_lose_work_ends_in_1_until_it_is_forced(stage: Stage) -> None:
    """Uncommitted files keep a task; force gives them up and says so."""
    stage.played.answers[intents.CollectWork] = lambda body: Succeeded(
        inputs.WorkCollected(HEAD, branch_moved=True, uncommitted=("notes.md",) if body.quiesce else ())
    )
    stage.played.answers[intents.SendPrompt] = lambda _: Succeeded(inputs.TurnEnded(TurnEnd.FAILED, "x"))
    task = stage.taskdock("task", "create", "--repo", REMOTE, "x").out.strip()
    run = stage.taskdock("task", "kill", task)
    assert run.code == 1
    assert "uncommitted changes in notes.md" in run.err
    forced = stage.taskdock("task", "kill", task, "--force")
    assert forced.code == 0
    assert "work was given up" in forced.err


def test_list_in_a_pipe_is_ids_the_newest_first(stage: Stage) -> None:
    """One id a line; the next page begins before the last one."""
    first, second = created(stage, "--branch", "one"), created(stage, "--branch", "two")
    assert stage.taskdock("task", "list").out == f"{second}\n{first}\n"
    assert stage.taskdock("task", "list", "--limit", "1").out == f"{second}\n"
    assert stage.taskdock("task", "list", "--before", second).out == f"{first}\n"
    assert stage.taskdock("task", "list", "--limit", "0").code == 2


def test_a_workspace_has_its_own_tasks(stage: Stage) -> None:
    """What one workspace made, another neither lists, watches nor changes."""
    task = created(stage)
    assert stage.taskdock("task", "list", "--workspace", "other").out == ""
    for words in (("task", "watch", task), ("task", "kill", task), ("task", "send", task, "x")):
        assert stage.taskdock(*words, "--workspace", "other").code == 3, words


def test_global_options_may_stand_anywhere(stage: Stage) -> None:
    """Before the noun, before the verb and after it; the innermost wins."""
    created(stage)
    for words in (["--json", "task", "list"], ["task", "--json", "list"], ["task", "list", "--json"]):
        assert len(stage.taskdock(*words).document["tasks"]) == 1, words
    elsewhere = stage.taskdock("task", "list", "--home", str(stage.home.parent / "other"))
    assert (elsewhere.code, elsewhere.out) == (0, "")


def test_show_says_why_a_task_failed(stage: Stage) -> None:
    """Step, class, reason, what a retry does, and the last lines of what failed, harmless to the terminal."""
    stage.played.answers[intents.EnsureAgent] = permanent("no such agent", "line 1\n\x1b[2Jline 2")
    task = stage.taskdock("task", "create", "--repo", REMOTE, "x").out.strip()
    lines = stage.taskdock("task", "show", task).out.splitlines()
    assert "failed in init_ensure_agent, attempt 1 (permanent): no such agent" in lines
    assert "a retry looks at the sandbox, then goes on from what it finds" in lines
    assert lines[lines.index("  | line 1") + 1] == "  | �[2Jline 2"
