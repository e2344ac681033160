"""The commands about branches and jobs, over a real store, in a pipe."""

from pathlib import Path

import pytest

from taskdock.core import intents
from taskdock.core.inputs import Failed, FailureClass
from taskdock.core.job_record import BranchSeen, JobErrorKind, JobFailure, JobResult, Moved
from unit.cli.installation import HEAD, Played, Stage, failing_once, job_ends

REMOTE = "/srv/x.git"
NEW = "2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e"
MOVED = JobResult(
    changed={"one": Moved(HEAD, NEW), "gone": Moved(HEAD, None)},
    conflicts={"two": ("src/a.py", "src/b.py")},
    blocked={"three": "stacked on two, which is in conflict"},
    pushed={"one": NEW},
)
SEEN = (
    BranchSeen("main", HEAD),
    BranchSeen("one", NEW, "main", is_tracked=True, depth=1, ahead=2, files_changed=3, insertions=40, deletions=5),
    BranchSeen("two", HEAD, "one", is_tracked=True, depth=2, needs_restack=True, conflicts_with_trunk=True, behind=1),
    BranchSeen("loose", HEAD),
)  # fmt: skip


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A home with a repo that is ready."""
    stage = Stage(tmp_path / "home")
    assert stage.taskdock("repo", "add", REMOTE, "--name", "acme/api").code == 0
    return stage


def test_a_job_is_watched_to_its_end(stage: Stage) -> None:
    """Stdout has the id alone; each step is told beside it, then branch by branch what was done."""
    stage.played.answers[intents.RunRepoJob] = job_ends(MOVED)
    run = stage.taskdock("repo", "restack", "acme/api")
    assert run.code == 0, run.err
    assert run.out.startswith("job-") and run.out.count("\n") == 1
    said = run.err.splitlines()
    assert [line.split()[0] for line in said[:6]] == [
        "lock",
        "preflight",
        "snapshot",
        "pre_sync",
        "act",
        "post_sync",
    ]
    assert said[6:] == [
        "one: 1a2b3c4 -> 2b3c4d5",
        "gone: 1a2b3c4 -> gone",
        "two: conflict in src/a.py, src/b.py",
        "three: left as it is, stacked on two, which is in conflict",
        "one: pushed, the remote is at 2b3c4d5",
    ]


@pytest.mark.parametrize(
    ("words", "kind", "branch", "parent", "push"),
    [
        (("sync", REMOTE), "sync_repo", None, None, False),
        (("restack", REMOTE, "--push"), "restack_repo", None, None, True),
        (("restack-subtree", REMOTE, "one"), "restack_subtree", "one", None, False),
        (("rebase", REMOTE, "one", "--push"), "rebase_branch", "one", None, True),
        (("reparent", REMOTE, "one", "two"), "reparent_branch", "one", "two", False),
        (("register", REMOTE, "one"), "register_existing_branch", "one", None, False),
        (("register", REMOTE, "one", "--parent", "two"), "register_existing_branch", "one", "two", False),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_each_action_is_a_job(
    stage: Stage, words: tuple[str, ...], kind: str, branch: str | None, parent: str | None, push: bool
) -> None:
    """Detached, the job is queued with what was asked, and nobody has begun it."""
    run = stage.taskdock("repo", *words, "--detach")
    assert run.code == 0, run.err
    job = stage.taskdock("job", "show", run.out.strip(), "--json").document
    assert {name: job[name] for name in ("kind", "branch", "parent", "push", "status")} == {
        "kind": kind,
        "branch": branch,
        "parent": parent,
        "push": push,
        "status": "queued",
    }


def test_a_job_that_fails_ends_in_1_with_its_reason(stage: Stage) -> None:
    """An attempt that broke is told, then the reason that ended it and what to do."""
    failure = JobFailure(JobErrorKind.AUTH, "the remote refused the credentials", "Log in again.")
    stage.played.answers[intents.RunRepoJob] = failing_once("disk is busy", job_ends(failure=failure))
    run = stage.taskdock("repo", "sync", REMOTE)
    assert run.code == 1
    assert "attempt 1 failed (transient): disk is busy; again at " in run.err
    assert run.err.endswith("Log in again.\ntaskdock: the remote refused the credentials\n")
    shown = stage.taskdock("job", "show", run.out.strip()).out
    assert "auth: the remote refused the credentials" in shown


def test_jobs_are_listed_newest_first(stage: Stage) -> None:
    """In a pipe ids alone; with --json what each was asked and how it ended."""
    first = stage.taskdock("repo", "sync", REMOTE).out
    second = stage.taskdock("repo", "rebase", REMOTE, "one", "--detach").out
    assert stage.taskdock("job", "list", REMOTE).out == second + first
    assert stage.taskdock("job", "list", REMOTE, "--limit", "1").out == second
    jobs = stage.taskdock("job", "list", REMOTE, "--json").document["jobs"]
    assert [(job["kind"], job["status"]) for job in jobs] == [
        ("rebase_branch", "queued"),
        ("sync_repo", "completed"),
    ]


def test_branches_are_shown_in_the_order_of_their_stacks(stage: Stage) -> None:
    """Nothing is known before the first job; then names in a pipe, and everything of each branch with --json."""
    assert stage.taskdock("repo", "branches", REMOTE).out == ""
    stage.played.answers[intents.RunRepoJob] = job_ends(branches=SEEN)
    stage.taskdock("repo", "sync", REMOTE)
    assert stage.taskdock("repo", "branches", REMOTE).out == "main\none\ntwo\nloose\n"
    stage.taskdock("repo", "rebase", REMOTE, "two", "--detach")
    document = stage.taskdock("repo", "branches", REMOTE, "--json").document
    two = next(one for one in document["branches"] if one["name"] == "two")
    assert (two["parent"], two["depth"], two["needs_restack"], two["conflicts_with_trunk"]) == (
        "one",
        2,
        True,
        True,
    )
    assert document["read_at"] is not None
    assert [(job["branch"], job["status"]) for job in document["jobs"]] == [("two", "queued")]


def test_an_undo_names_the_job_and_pushes_only_when_it_is_told_to(stage: Stage) -> None:
    """What the job pushed is put back with --push; without it the undo is refused and says so."""
    stage.played.answers[intents.RunRepoJob] = job_ends(MOVED)
    job = stage.taskdock("repo", "restack", REMOTE, "--push").out.strip()
    refused = stage.taskdock("job", "undo", job)
    assert (refused.code, "undo it with push" in refused.err) == (2, True)
    undone = stage.taskdock("job", "undo", job, "--push")
    assert undone.code == 0, undone.err
    shown = stage.taskdock("job", "show", undone.out.strip(), "--json").document
    assert (shown["kind"], shown["undo_of"], shown["push"]) == ("undo", job, True)
    assert stage.taskdock("job", "undo", job, "--push").code == 4


def test_a_job_is_cancelled_and_watched_from_elsewhere(stage: Stage) -> None:
    """A queued one ends at once; who watches it is told, and its end is no success; a second cancel says that it is over."""
    stage.played.holds.add(intents.RunRepoJob)
    first = stage.taskdock("repo", "sync", REMOTE, "--detach").out.strip()
    with stage.playing():
        waiting = stage.taskdock("repo", "restack", REMOTE, "--detach").out.strip()
        assert stage.taskdock("job", "cancel", waiting).code == 0
        watched = stage.taskdock("job", "watch", waiting)
        assert (watched.code, "it was cancelled" in watched.err) == (1, True)
        assert stage.taskdock("job", "cancel", waiting).code == 4
        assert stage.taskdock("job", "show", first, "--json").document["status"] == "queued"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("repo", "sync", "nobody/knows"), 3),
        (("job", "show", "job-0"), 3),
        (("job", "cancel", "job-0"), 3),
        (("job", "undo", "job-0"), 3),
        (("job", "list", "nobody/knows"), 3),
        (("repo", "rebase", REMOTE), 2),
        (("repo", "rebase", REMOTE, "a..b"), 2),
        (("repo", "reparent", REMOTE, "one"), 2),
        (("repo", "reparent", REMOTE, "one", "one"), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_does_not_fit_is_refused(stage: Stage, words: tuple[str, ...], code: int) -> None:
    """The exit code says what kind of refusal it is, and nothing is queued."""
    run = stage.taskdock(*words)
    assert (run.code, run.out) == (code, "")
    assert stage.taskdock("job", "list", REMOTE).out == ""


def test_without_the_stack_tool_a_restack_says_how_to_get_it(stage: Stage) -> None:
    """What plain git can do is done all the same."""
    stage.has_stack_tool = False
    refused = stage.taskdock("repo", "restack", REMOTE)
    assert refused.code != 0
    assert "needs git-spice" in refused.err and "git_spice" in refused.err
    assert stage.taskdock("repo", "sync", REMOTE).code == 0


def test_a_process_that_ends_leaves_the_job_to_the_next(stage: Stage) -> None:
    """A detached job is carried out when somebody schedules; who watches it then sees all of it."""
    stage.played.answers[intents.RunRepoJob] = lambda _: Failed(FailureClass.PERMANENT, "the clone is gone")
    job = stage.taskdock("repo", "sync", REMOTE, "--detach").out.strip()
    stage.played = Played()
    watched = stage.taskdock("job", "watch", job)
    assert watched.code == 0, watched.err
    assert "nothing had to be moved" in watched.err
