"""The commands about repos, tabs, transcripts, history and the installation, over a real store, in a pipe."""

from pathlib import Path

import pytest

from taskdock.adapters.entry.cli.checks import Check
from taskdock.core import inputs, intents
from taskdock.core.inputs import Failed, FailureClass
from taskdock.core.job_record import JobResult, Moved
from unit.cli.installation import HEAD, Played, Stage, job_ends, permanent

REMOTE = "/srv/x.git"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A home of its own."""
    return Stage(tmp_path / "home")


@pytest.fixture
def task(stage: Stage) -> str:
    """A task that was driven to its rest."""
    return stage.taskdock("task", "create", "--repo", REMOTE, "Say hello").out.strip()


# Repos


def test_add_prints_the_id_and_waits_for_the_clone(stage: Stage) -> None:
    """Stdout has the id; the repo is ready when the command returns."""
    run = stage.taskdock("repo", "add", REMOTE, "--name", "acme/api")
    assert run.code == 0
    assert run.out.startswith("repo-") and run.out.count("\n") == 1
    assert run.err.split()[0] == "clone" and run.err.rstrip().endswith("main at 1a2b3c4")
    shown = stage.taskdock("repo", "show", "acme/api", "--json").document
    assert (shown["id"], shown["status"], shown["remote"]) == (run.out.strip(), "ready", REMOTE)
    assert stage.taskdock("repo", "list").out == run.out


def test_a_folder_is_added_by_its_absolute_path(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same folder is the same repo, however it was written."""
    (tmp_path / "work" / "x").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    ids = {
        stage.taskdock("repo", "add", written).out
        for written in ("x", "./x", "../work/x/", str(tmp_path / "work/x"))
    }
    assert len(ids) == 1
    assert stage.taskdock("repo", "show", "./x", "--json").document["remote"] == str(tmp_path / "work/x")
    assert stage.taskdock("task", "create", "--repo", "./x", "hello").code == 0


@pytest.mark.parametrize("remote", ["nowhere/x", "https://ada:secret@example.org/x.git"])
def test_what_is_no_remote_is_refused(stage: Stage, remote: str) -> None:
    """A path that is not there, and a password, are refused before anything is written; the password is not repeated."""
    run = stage.taskdock("repo", "add", remote)
    assert run.code == 2
    assert "secret" not in run.err
    assert stage.taskdock("repo", "list").out == ""


def test_a_clone_that_fails_ends_in_1_and_is_retried(stage: Stage) -> None:
    """Each failed attempt is told, then the reason; a retry clones again; a ready repo has nothing to retry."""
    answers = iter(
        [Failed(FailureClass.TRANSIENT, "connection reset"), Failed(FailureClass.PERMANENT, "no such host")]
    )
    stage.played.answers[intents.CloneRepo] = lambda _: next(answers)
    run = stage.taskdock("repo", "add", REMOTE)
    assert run.code == 1
    assert "attempt 1 failed (transient): connection reset; again at " in run.err
    assert run.err.endswith("taskdock: no such host\n")
    shown = stage.taskdock("repo", "show", REMOTE).out
    assert "failed in cloning, attempt 2 (permanent): no such host" in shown
    stage.played = Played()
    assert stage.taskdock("repo", "retry", REMOTE).code == 0
    assert stage.taskdock("repo", "retry", REMOTE).code == 4
    assert stage.taskdock("repo", "retry", "nope").code == 3


def test_a_detached_add_only_persists(stage: Stage) -> None:
    """The repo is there at once and its clone is not begun."""
    document = stage.taskdock("repo", "add", REMOTE, "--detach", "--json").document
    assert (document["status"], document["scheduled"]) == ("cloning", None)


def test_repo_show_says_where_the_clone_is(stage: Stage) -> None:
    """Where the app tells, the clone's folder is shown."""
    repo = stage.taskdock("repo", "add", REMOTE).out.strip()
    shown = stage.taskdock(
        "repo", "show", repo, clone_path=lambda home, repo_id: home / "repos" / repo_id
    ).out
    assert f"clone   {stage.home / 'repos' / repo}" in shown.splitlines()


# Tabs


def test_open_prints_the_id_and_waits_until_it_is_ready(stage: Stage, task: str) -> None:
    """The second tab has its name and its agent, and is ready when the command returns."""
    tab = stage.taskdock("tab", "open", task, "--name", "Review", "--agent", "other").out.strip()
    tabs = stage.taskdock("tab", "list", task, "--json").document["tabs"]
    assert [(one["id"], one["name"], one["agent"], one["status"]) for one in tabs[1:]] == [
        (tab, "Review", "other", "ready")
    ]
    assert stage.taskdock("tab", "list", task).out.splitlines()[1] == tab


def test_open_with_a_prompt_shows_its_turn(stage: Stage, task: str) -> None:
    """The turn of the first message is driven to its end."""
    run = stage.taskdock("tab", "open", task, "And you?")
    assert run.code == 0
    assert run.err.endswith("> And you?\nBonjour.\n")


def test_a_tab_that_fails_ends_in_1_and_is_retried(stage: Stage, task: str) -> None:
    """The reason is said; after it is mended a retry makes it ready."""
    stage.played.answers[intents.CreateSession] = permanent("login needed")
    run = stage.taskdock("tab", "open", task)
    assert (run.code, run.err.splitlines()[-1]) == (1, "taskdock: login needed")
    stage.played = Played()
    tab = run.out.strip()
    assert stage.taskdock("tab", "retry", tab).code == 0
    again = stage.taskdock("tab", "retry", tab, "--json")
    assert (again.code, again.problem["available_actions"]) == (
        4,
        ["close", "send", "set_model", "rename"],
    )


def test_close_closes(stage: Stage, task: str) -> None:
    """The tab is closed when the command returns; its transcript stays."""
    tab = stage.taskdock("tab", "list", task).out.strip()
    assert stage.taskdock("tab", "close", tab).out == f"{tab}\n"
    assert stage.taskdock("tab", "list", task, "--json").document["tabs"][0]["status"] == "closed"
    assert stage.taskdock("transcript", task).out == "> Say hello\nBonjour.\n"
    assert stage.taskdock("tab", "close", "tab-nope").code == 3


def test_close_with_messages_waiting_needs_force(stage: Stage, task: str) -> None:
    """Queued messages keep a tab open, and force withdraws them."""
    tab = stage.taskdock("tab", "list", task).out.strip()
    stage.taskdock("task", "send", tab, "one", "--detach")
    stage.taskdock("task", "send", tab, "two", "--detach")
    refused = stage.taskdock("tab", "close", tab)
    assert refused.code == 4
    assert "still queued" in refused.err
    assert stage.taskdock("tab", "close", tab, "--force").code == 0


# Transcript and history


def test_transcript_joins_pieces(stage: Stage, task: str) -> None:
    """In text and in JSON, pieces of one text are one; a joined item has the position of its last piece."""
    assert stage.taskdock("transcript", task).out == "> Say hello\nBonjour.\n"
    items = stage.taskdock("transcript", task, "--json").document["items"]
    assert [(one["kind"], one["position"], one["body"]["text"]) for one in items] == [
        ("user", 1, "Say hello"),
        ("text", 3, "Bonjour."),
    ]


@pytest.mark.parametrize("named", ["tab-nope", "task-nope", "nope"])
def test_an_unknown_transcript_is_not_found(stage: Stage, named: str) -> None:
    """Neither an empty text nor a traceback."""
    run = stage.taskdock("transcript", named)
    assert (run.code, run.out) == (3, "")


def test_history_is_of_a_task_a_repo_or_everything(stage: Stage, task: str) -> None:
    """One line an event, in order, with its values; everything names each boundary."""
    of_task = stage.taskdock("history", task).out.splitlines()
    assert of_task[0].split()[2] == "task.created"
    assert any('title="A title"' in line for line in of_task)
    of_repo = stage.taskdock("history", REMOTE).out.splitlines()
    assert [line.split()[2] for line in of_repo][:2] == ["repo.added", "repo.ready"]
    everything = stage.taskdock("history").out.splitlines()
    assert len(everything) == len(of_task) + len(of_repo)
    assert sum(task in line for line in everything) >= len(of_task)
    numbers = [event["number"] for event in stage.taskdock("history", "--json").document["events"]]
    assert numbers == sorted(numbers)
    assert stage.taskdock("history", "task-nope").code == 3


# The installation


def checks(*ok: bool, essential: bool = True) -> object:
    """An app's checks."""

    async def asked(home: Path) -> list[Check]:
        return [Check(f"check {n}", one, f"in {home.name}", "mend it", essential) for n, one in enumerate(ok)]

    return asked


@pytest.mark.parametrize(
    ("given", "code", "ok"),
    [
        (checks(True, True), 0, True),
        (checks(True, False), 1, False),
        (checks(False, essential=False), 0, True),
    ],
)
def test_doctor_fails_when_something_essential_does(stage: Stage, given: object, code: int, ok: bool) -> None:
    """What is only degraded is told and does not fail."""
    run = stage.taskdock("doctor", "--json", checks=given)
    assert (run.code, run.document["ok"]) == (code, ok)


def test_doctor_says_how_to_mend(stage: Stage) -> None:
    """One line a check, and under them what to do about those that failed."""
    run = stage.taskdock("doctor", checks=checks(True, False))
    assert run.out.splitlines()[1:] == [
        "ok      check 0  in home",
        "FAILED  check 1  in home",
        "",
        "To mend:",
        "  check 1: mend it",
    ]


def test_doctor_without_checks_says_so(stage: Stage) -> None:
    """An installation that brings none cannot be checked."""
    assert stage.taskdock("doctor").code == 5


def test_the_demo_makes_a_repo_once(stage: Stage) -> None:
    """A real remote with commits, the same one the next time; what the demo came to is one document."""
    stage.played.answers[intents.RunRepoJob] = job_ends(JobResult({"one": Moved(HEAD, "b" * 40)}))
    first = stage.taskdock("demo", "--json")
    assert first.code == 0
    assert first.document["ok"]
    named = inputs.NameEnsured("A title", "b-branch", "main")
    stage.played.answers[intents.EnsureName] = lambda _: inputs.Succeeded(named)
    second = stage.taskdock("demo")
    assert second.code == 0
    lines = second.out.splitlines()
    assert lines[0].startswith(f"repo {first.document['repo_id']}: ")
    assert any(line.startswith("init_create_session") for line in lines)
    assert "Bonjour." in lines
    assert "commit 1a2b3c4 on b-branch" in lines
    assert lines[-1].split()[0] == "killing/destroy"


def test_a_demo_that_fails_ends_in_1(stage: Stage) -> None:
    """The reason is said, and the exit code tells a build that it failed."""
    stage.played.answers[intents.CreateSandbox] = permanent("no room")
    run = stage.taskdock("demo")
    assert run.code == 1
    assert run.err.endswith("taskdock: no room\n")


def test_a_store_that_cannot_be_read_is_told(stage: Stage) -> None:
    """A file that is no store, and a home that is no folder, are a sentence and a code; nothing is overwritten."""
    stage.home.mkdir()
    file = stage.home / "taskdock.db"
    file.write_text("something else, of somebody else")
    run = stage.taskdock("task", "list", "--json")
    assert (run.code, run.problem["code"]) == (7, "store_error")
    assert file.read_text() == "something else, of somebody else"
    no_folder = stage.taskdock("task", "list", "--home", str(file))
    assert (no_folder.code, no_folder.err) == (7, f"taskdock: {file}: File exists\n")
