"""The commands of a task's whole life, over a real store and the real core, in a pipe."""

import inspect
import re
from pathlib import Path

import click
import pytest

from taskdock.adapters.entry.cli import actions
from taskdock.adapters.entry.cli.app import build_cli
from taskdock.core import inputs, intents, task_actions
from taskdock.core.inputs import PermissionOption, SandboxPhase, Succeeded, TurnEnd
from unit.cli.installation import HEAD, Played, Stage, permanent, seen

REMOTE = "/srv/x.git"
OPTIONS = (
    PermissionOption("yes", "Allow", "allow_once"),
    PermissionOption("ever", "Always allow", "allow_always"),
    PermissionOption("no", "Reject", "reject_once"),
)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A home of its own."""
    return Stage(tmp_path / "home")


@pytest.fixture
def task(stage: Stage) -> str:
    """A task that was driven to its rest."""
    return stage.taskdock("task", "create", "--repo", REMOTE, "Say hello").out.strip()


def status(stage: Stage, task: str) -> str:
    """The status of a task."""
    shown: str = stage.taskdock("task", "show", task, "--json").document["status"]
    return shown


def steps(said: str) -> list[str]:
    """The first word of each line."""
    return [line.split()[0] for line in said.splitlines()]


def failed_turn(stage: Stage) -> None:
    """From now on no turn completes."""
    end = inputs.TurnEnded(TurnEnd.FAILED, "login needed")
    stage.played.answers[intents.SendPrompt] = lambda _: Succeeded(end)


def test_stop_waits_until_it_is_stopped_and_resume_until_it_runs(stage: Stage, task: str) -> None:
    """Each shows its own steps and nothing from before; the id alone is on stdout; twice is no error."""
    stopped = stage.taskdock("task", "stop", task)
    assert (stopped.code, stopped.out) == (0, f"{task}\n")
    assert steps(stopped.err) == ["stopping/settle", "stopping/collect", "stopping/stop"]
    assert status(stage, task) == "stopped"
    assert stage.taskdock("task", "stop", task).code == 0
    resumed = stage.taskdock("task", "resume", task)
    assert (resumed.code, resumed.out) == (0, f"{task}\n")
    assert steps(resumed.err) == [
        "init_create_sandbox",
        "init_ensure_agent",
        "init_create_session",
    ]
    assert status(stage, task) == "running"


def test_a_message_resumes_a_stopped_task(stage: Stage, task: str) -> None:
    """Sending to it drives it up again, and then the message's turn to its end."""
    stage.taskdock("task", "stop", task)
    run = stage.taskdock("task", "send", task, "And again")
    assert run.code == 0
    assert run.err.endswith("> And again\nBonjour.\n")
    assert status(stage, task) == "running"


def test_archive_and_unarchive(stage: Stage, task: str) -> None:
    """An archived task has no sandbox and takes no message; unarchived, it is provisioned in a new one."""
    archived = stage.taskdock("task", "archive", task)
    assert (archived.code, archived.out) == (0, f"{task}\n")
    assert steps(archived.err) == ["archiving/settle", "archiving/collect", "archiving/destroy"]
    shown = stage.taskdock("task", "show", task, "--json").document
    assert (shown["status"], shown["sandbox"], shown["activity"]) == ("archived", None, "archived")
    assert stage.taskdock("task", "send", task, "x").code == 4
    back = stage.taskdock("task", "unarchive", task)
    assert back.code == 0
    shown = stage.taskdock("task", "show", task, "--json").document
    assert (shown["status"], shown["generation"]) == ("running", 2)


def test_an_archive_that_would_lose_work_ends_in_1_until_it_is_forced(stage: Stage) -> None:
    """The files are named; force gives them up and says so."""
    stage.played.answers[intents.CollectWork] = lambda body: Succeeded(
        inputs.WorkCollected(HEAD, branch_moved=True, uncommitted=("notes.md",) if body.quiesce else ())
    )
    failed_turn(stage)
    task = stage.taskdock("task", "create", "--repo", REMOTE, "x").out.strip()
    run = stage.taskdock("task", "archive", task)
    assert run.code == 1
    assert "uncommitted changes in notes.md" in run.err
    forced = stage.taskdock("task", "archive", task, "--force")
    assert forced.code == 0
    assert "work was given up" in forced.err


def test_a_kill_goes_before_a_stop(stage: Stage, task: str) -> None:
    """While a task is being killed a stop is refused, and the way out is named."""
    stage.played = Played(holds={intents.StopSandbox, intents.DestroySandbox})
    assert stage.taskdock("task", "stop", task, "--detach").code == 0
    assert stage.taskdock("task", "kill", task, "--detach").code == 0
    run = stage.taskdock("task", "stop", task)
    assert (run.code, run.err.splitlines()[0]) == (
        4,
        "taskdock: A task that is killing cannot be asked to stop.",
    )


def test_retry_may_discard(stage: Stage, task: str) -> None:
    """What a broken sandbox does not give back keeps the task in error until it is given up."""
    stage.played.answers[intents.ObserveSandbox] = seen(SandboxPhase.FAILED)
    stage.played.answers[intents.CollectWork] = permanent("nothing answers in it")
    stage.played.answers[intents.EnsureAgent] = permanent("gone")
    stage.taskdock("task", "stop", task)
    task = stage.taskdock("task", "create", "--repo", REMOTE, "--branch", "b", "x").out.strip()
    assert status(stage, task) == "error"
    stage.played.answers[intents.EnsureAgent] = lambda _: Succeeded(inputs.AgentReady())
    again = stage.taskdock("task", "retry", task, "--discard")
    assert again.code == 0, again.err
    assert stage.taskdock("task", "show", task, "--json").document["generation"] == 2


def test_names_can_be_changed(stage: Stage, task: str) -> None:
    """A title at any time; a branch only before its sandbox was begun, and then the refusal says so."""
    renamed = stage.taskdock("task", "rename", task, "Say hello in French")
    assert (renamed.code, renamed.out, renamed.err) == (0, f"{task}\n", "")
    assert stage.taskdock("task", "show", task, "--json").document["title"] == "Say hello in French"
    assert stage.taskdock("task", "rename", task, " ").code == 2
    refused = stage.taskdock("task", "set-branch", task, "other")
    assert (refused.code, "is settled" in refused.err) == (4, True)
    fresh = stage.taskdock("task", "create", "--repo", REMOTE, "x", "--detach").out.strip()
    assert stage.taskdock("task", "set-branch", fresh, "other").code == 0
    assert stage.taskdock("task", "show", fresh, "--json").document["branch"] == "other"
    assert stage.taskdock("task", "set-branch", fresh, "no good").code == 2


def test_a_tab_has_a_name_and_a_model(stage: Stage, task: str) -> None:
    """Both can be given at its opening and changed later; the task's model is its default."""
    tab = stage.taskdock("tab", "open", task, "--model", "small", "--name", "Review").out.strip()
    assert stage.taskdock("tab", "rename", tab, "Second look").out == f"{tab}\n"
    assert stage.taskdock("tab", "model", tab, "large").out == f"{tab}\n"
    (_, shown) = stage.taskdock("tab", "list", task, "--json").document["tabs"]
    assert (shown["name"], shown["model"]) == ("Second look", "large")
    other = stage.taskdock(
        "task", "create", "--repo", REMOTE, "--branch", "b", "--model", "m", "x"
    ).out.strip()
    assert stage.taskdock("tab", "list", other, "--json").document["tabs"][0]["model"] == "m"


def test_a_held_queue_is_shown_edited_and_resumed(stage: Stage, task: str) -> None:
    """Messages behind a failed turn wait; they can be changed and taken back, and go on when they are told to."""
    failed_turn(stage)
    assert stage.taskdock("task", "send", task, "one").code == 1
    tab = stage.taskdock("tab", "list", task).out.strip()
    stage.plays = False
    first = stage.taskdock("task", "send", tab, "two", "--detach").out.strip()
    second = stage.taskdock("task", "send", tab, "three", "--detach").out.strip()
    assert stage.taskdock("message", "edit", second, "four").out == f"{second}\n"
    assert stage.taskdock("message", "withdraw", second).out == f"{second}\n"
    again = stage.taskdock("message", "edit", second, "x", "--json")
    assert (again.code, again.problem["code"], again.problem["status"]) == (4, "conflict", "withdrawn")
    assert stage.taskdock("message", "edit", "message-nope", "x").code == 3
    listed = stage.taskdock("message", "list", tab, "--json").document["messages"]
    assert [one["status"] for one in listed][-2:] == ["sending", "withdrawn"]
    stage.plays = True
    run = stage.taskdock("task", "watch", task)
    assert run.code == 0
    third = stage.taskdock("task", "send", tab, "five")
    assert (third.code, third.err.splitlines()[-1]) == (1, "taskdock: the turn was failed")
    assert first in stage.taskdock("message", "list", tab).out


def test_what_is_queued_behind_a_failed_turn_is_told_and_goes_on(stage: Stage, task: str) -> None:
    """`task show` names the held tab and the command; `tab resume-queue` sends what waits, in order."""
    tab = stage.taskdock("tab", "list", task).out.strip()
    stage.plays = False
    for text in ("one", "two", "three"):
        stage.taskdock("task", "send", tab, text, "--detach")
    stage.plays = True
    failed_turn(stage)
    stage.taskdock("task", "watch", task)
    shown = stage.taskdock("task", "show", task)
    assert f"{tab} has 2 queued: held, until taskdock tab resume-queue {tab}" in shown.out.splitlines()
    document = stage.taskdock("task", "show", task, "--json").document
    assert (document["held"], len(document["queued"]), document["activity"]) == ([tab], 2, "needs_you")
    stage.played = Played()
    run = stage.taskdock("tab", "resume-queue", tab)
    assert (run.code, run.out) == (0, f"{tab}\n")
    assert run.err == "> two\nBonjour.\n> three\nBonjour.\n"


def test_cancel_waits_until_the_turn_has_ended(stage: Stage, task: str) -> None:
    """The turn that runs is asked to end, and the command returns when it has; without a turn it is refused."""
    tab = stage.taskdock("tab", "list", task).out.strip()
    stage.played = Played(asks=OPTIONS)
    end = inputs.TurnEnded(TurnEnd.CANCELLED, "cancelled")
    stage.played.answers[intents.SendPrompt] = lambda _: Succeeded(end)
    with stage.playing() as playing:
        message = stage.taskdock("task", "send", tab, "long", "--detach").out.strip()
        playing.until(task, lambda view: bool(view.permissions))
        run = stage.taskdock("tab", "cancel-turn", tab)
        assert (run.code, run.out) == (0, f"{tab}\n")
        assert "the turn was cancelled: cancelled" in run.err
        again = stage.taskdock("tab", "cancel-turn", tab)
        assert (again.code, "No turn is running" in again.err) == (4, True)
        assert message in stage.taskdock("message", "list", tab).out


def test_conflicts_say_what_can_be_done_now(stage: Stage, task: str) -> None:
    """The sentence, and under it the commands that fit, ready to be typed; to a program the actions and the record."""
    tab = stage.taskdock("tab", "list", task).out.strip()
    refused = stage.taskdock("task", "unarchive", task)
    assert refused.code == 4
    assert refused.err.splitlines() == [
        "taskdock: A task that is running cannot be asked to unarchive.",
        "What fits now:",
        f"  taskdock task stop {task}",
        f"  taskdock task archive {task}",
        f"  taskdock task kill {task}",
        f"  taskdock tab open {task}",
        f"  taskdock task rename {task} TITLE",
    ]
    document = stage.taskdock("tab", "retry", tab, "--json").problem
    assert (document["status"], document["record_id"]) == ("ready", tab)
    assert document["available_actions"] == ["close", "send", "set_model", "rename"]
    said = stage.taskdock("tab", "retry", tab).err.splitlines()
    assert said[2:] == [
        f"  taskdock tab close {tab}",
        f"  taskdock task send {tab} TEXT",
        f"  taskdock tab model {tab} MODEL",
        f"  taskdock tab rename {tab} NAME",
    ]


def test_every_action_that_the_core_names_has_its_command() -> None:
    """What `available_actions` may hold is in the tables of the commands, and each of these is taken as it stands there."""
    known = {"task": actions.OF_TASK, "tab": actions.OF_TAB}
    assert {*task_actions._TASK_ACTIONS, "open_tab", "set_branch", "rename"} == set(known["task"])
    named = set(re.findall(r'"([a-z_]+)"', inspect.getsource(task_actions._of_tab)))
    assert {*task_actions._TAB_ACTIONS, *named} == set(known["tab"])
    root = build_cli(lambda *_, **__: None)  # type: ignore[arg-type]
    for words in [*actions.OF_TASK.values(), *actions.OF_TAB.values(), *actions.OF_REPO.values()]:
        noun, verb, *_rest = words.split()
        group = root.get_command(click.Context(root), noun)
        assert isinstance(group, click.Group)
        assert verb in group.commands, words


# Permissions


@pytest.mark.parametrize(
    ("words", "chosen", "said"),
    [
        (("allow",), "yes", "the permission was answered: yes"),
        (("allow", "--always"), "ever", "the permission was answered: ever"),
        (("allow", "--option", "no"), "no", "the permission was answered: no"),
        (("reject",), "no", "the permission was answered: no"),
    ],
)
def test_a_permission_is_answered_from_a_second_terminal(
    stage: Stage, task: str, words: tuple[str, ...], chosen: str, said: str
) -> None:
    """The question is shown with its options; the answer is the one that was meant, and the turn goes on to its end."""
    stage.played = Played(asks=OPTIONS)
    answered: list[str | None] = []

    def answer(body: intents.AnswerPermission) -> inputs.Outcome:
        answered.append(body.option_id)
        return Succeeded(inputs.Asked())

    stage.played.answers[intents.AnswerPermission] = answer
    with stage.playing() as playing:
        tab = stage.taskdock("tab", "list", task).out.strip()
        stage.taskdock("task", "send", task, "clean up", "--detach")
        (asked,) = playing.until(task, lambda view: bool(view.permissions)).permissions
        shown = stage.taskdock("task", "show", task, "--json").document
        assert [(one["id"], one["title"], one["tab_id"]) for one in shown["permissions"]] == [
            (asked.id, "Run rm -rf build", tab)
        ]
        assert f"{tab} asks: Run rm -rf build [yes, ever, no]" in stage.taskdock("task", "show", task).out
        run = stage.taskdock("task", words[0], tab if "--always" in words else task, *words[1:])
    assert (run.code, run.out) == (0, f"{asked.id}\n")
    assert said in run.err
    assert answered == [chosen]


def test_what_is_asked_is_told_with_the_command_that_answers(stage: Stage, task: str) -> None:
    """Who watches the turn sees the question, and what to type elsewhere; then that it was answered."""
    stage.played = Played(asks=OPTIONS)
    with stage.playing() as playing:
        message = stage.taskdock("task", "send", task, "clean up", "--detach").out.strip()
        playing.until(task, lambda view: bool(view.permissions))
        stage.taskdock("task", "allow", task, "--detach")
        playing.until(task, lambda view: not view.queued and view.tabs[0].turn.at == "none")
        said = stage.taskdock("task", "watch", task).out
    tab = stage.taskdock("tab", "list", task).out.strip()
    assert (
        f"the agent asks for a permission: Run rm -rf build (taskdock task allow {tab}, or task reject)"
        in said
    )
    assert message


def test_an_answer_must_be_clear(stage: Stage, task: str) -> None:
    """Nothing asked, an option that is not offered, and several questions at once are each refused with what to do."""
    none = stage.taskdock("task", "allow", task)
    assert (none.code, none.err.splitlines()[0]) == (4, "taskdock: No agent asks for a permission here now.")
    assert f"  taskdock task stop {task}" in none.err.splitlines()
    assert stage.taskdock("task", "allow", "tab-nope").code == 3
    tab = stage.taskdock("tab", "open", task).out.strip()
    stage.played = Played(asks=OPTIONS[:1])
    with stage.playing() as playing:
        for to in (task, tab):
            stage.taskdock("task", "send", to, "clean up", "--detach")
        asked = playing.until(task, lambda view: len(view.permissions) == 2).permissions
        several = stage.taskdock("task", "allow", task, "--json")
        assert (several.code, several.problem["field"]) == (2, "permission")
        assert all(one.id in several.problem["message"] for one in asked)
        always = stage.taskdock("task", "reject", tab, "--always", "--json")
        assert (always.code, "it offers yes (Allow: allow_once)" in always.problem["message"]) == (2, True)
        wrong = stage.taskdock("task", "allow", tab, "--option", "maybe")
        assert (wrong.code, "does not offer 'maybe'" in wrong.err) == (2, True)
        assert stage.taskdock("task", "allow", task, "--permission", asked[0].id).code == 0
        # It offers no plain no, so nothing is allowed and the agent is told that nobody answers.
        assert stage.taskdock("task", "reject", tab).code == 0
    assert (
        "option=" not in stage.taskdock("history", task).out.split("permission.answered")[-1].splitlines()[0]
    )
