"""git-spice v0.31.2 itself: every command that the adapter gives, and every trait of it that the adapter answers to.

These tests speak to the binary alone. One that fails with a new version names what the adapter must learn.
"""

import json
from typing import Any

import pytest

from git_repos import git, head_of, refs_of
from stack_fixture import STACKED, StackRepo, spice
from taskdock.adapters.clone.process import GitResult
from taskdock.adapters.clone.stack.failures import classify
from taskdock.core.job_record import JobErrorKind


def listing(repo: StackRepo) -> dict[str, dict[str, Any]]:
    """Read the stacks as JSON, by branch."""
    done = spice(repo.clone, "log", "short", "--all", "--json", "--no-cr-status")
    assert done.returncode == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["name"]: row for row in rows}


def move_trunk(repo: StackRepo, name: str = "one") -> None:
    """Have trunk moved on the remote and in the clone."""
    repo.advance(name)
    git(repo.clone, "fetch", "--quiet", "origin")
    git(repo.clone, "update-ref", "refs/heads/main", "refs/remotes/origin/main")


def said(repo: StackRepo, *arguments: str, code: int = 0) -> str:
    """Run a command that must end with `code`; gives what it said."""
    done = spice(repo.clone, *arguments)
    assert (done.returncode, done.stderr) == (code, done.stderr)
    return done.stderr


def test_version(stacks: StackRepo) -> None:
    """Its first line names it and its version, which its own `--version` would not."""
    assert spice(stacks.clone, "version").stdout.splitlines()[0].startswith("git-spice v0.31.2")


def test_init(stacks: StackRepo) -> None:
    """Telling it trunk and remote writes its data, twice is as good as once, and trunk must be a branch of the clone."""
    git(stacks.clone, "update-ref", "-d", "refs/spice/data")
    for _ in range(2):
        assert "Initialized repository" in said(
            stacks, "repo", "init", "--trunk", "main", "--remote", "origin"
        )
    assert "refs/spice/data" in refs_of(stacks.clone)
    assert "not a branch: nope" in said(
        stacks, "repo", "init", "--trunk", "nope", "--remote", "origin", code=1
    )


def test_listing(stacks: StackRepo) -> None:
    """The listing names each branch with what it is stacked on, trunk last without; stale says so of its own edge alone."""
    move_trunk(stacks)
    rows = listing(stacks)
    assert list(rows)[-1] == "main" and "down" not in rows["main"]
    assert {name: row["down"]["name"] for name, row in rows.items() if "down" in row} == STACKED
    assert {name for name, row in rows.items() if row.get("down", {}).get("needsRestack")} == {
        "feat-a",
        "fix-x",
    }


def test_listing_shows_other_worktrees(stacks: StackRepo) -> None:
    """A branch that is checked out elsewhere is listed with where."""
    place = stacks.root / "elsewhere"
    git(stacks.clone, "worktree", "add", "--quiet", str(place), "feat-a")
    assert listing(stacks)["feat-a"]["worktree"] == str(place)


def test_listing_writes(stacks: StackRepo) -> None:
    """The listing is no mere read: a branch that is gone is forgotten by it, so it is asked for under the lock only."""
    before = stacks.data()
    git(stacks.clone, "update-ref", "-d", "refs/heads/feat-a")
    rows = listing(stacks)
    assert rows["feat-b"]["down"]["name"] == "main"
    assert stacks.data() != before


def test_restack_from_trunk_on_a_detached_head(stacks: StackRepo) -> None:
    """`upstack restack` of trunk restacks everything on a detached head, which `repo restack` refuses to."""
    move_trunk(stacks)
    assert "in detached HEAD state" in said(stacks, "repo", "restack", code=1)
    told = said(stacks, "upstack", "restack", "--branch", "main")
    assert sorted(line for line in told.splitlines() if "restacked on" in line) == sorted(
        f"INF {name}: restacked on {parent}" for name, parent in STACKED.items()
    )


def test_restack_ends_on_a_branch(stacks: StackRepo) -> None:
    """A restack leaves a branch checked out; that is why a job lets go of it at its end."""
    move_trunk(stacks)
    said(stacks, "upstack", "restack", "--branch", "fix-x")
    assert stacks.disorder() == ["ref: refs/heads/fix-x"]


def test_restack_of_what_stands(stacks: StackRepo) -> None:
    """A restack of what stands on its parent ends well and moves nothing."""
    heads = stacks.heads()
    assert "does not need to be restacked" in said(stacks, "branch", "restack", "--branch", "feat-c")
    assert stacks.heads() == heads


def test_reparent(stacks: StackRepo) -> None:
    """`upstack onto` takes the upstack along, and twice is as good as once."""
    assert "feat-b: moved upstack onto fix-x" in said(
        stacks, "upstack", "onto", "--branch", "feat-b", "fix-x"
    )
    said(stacks, "upstack", "onto", "--branch", "feat-b", "fix-x")
    assert stacks.contains("fix-x", "feat-c")


def test_track_changes_the_parent_without_a_rebase(stacks: StackRepo) -> None:
    """Registering again with another parent moves no branch, and says that it is stale then."""
    heads = stacks.heads()
    told = said(stacks, "branch", "track", "feat-c", "--base", "fix-x")
    assert "tracking with base fix-x" in told and "needs to be restacked" in told
    assert stacks.heads() == heads


def test_conflict_leaves_a_rebase(stacks: StackRepo) -> None:
    """A conflict ends with 1, a rebase that stands still, and unmerged files; aborting both puts it right."""
    stacks.conflict_trunk("fix-x")
    git(stacks.clone, "fetch", "--quiet", "origin")
    git(stacks.clone, "update-ref", "refs/heads/main", "refs/remotes/origin/main")
    before = stacks.heads()
    assert "conflict" in said(stacks, "branch", "restack", "--branch", "fix-x", code=1)
    assert git(stacks.clone, "ls-files", "--unmerged")
    assert "rebase-merge" in stacks.disorder()
    git(stacks.clone, "rebase", "--abort")
    said(stacks, "rebase", "abort")
    assert "no operation to abort" in said(stacks, "rebase", "abort", code=1)
    assert stacks.heads() == before


def test_conflict_is_said_of_any_rebase_that_failed(stacks: StackRepo) -> None:
    """A rebase that cannot commit is called a conflict, too, without an unmerged file: words alone prove nothing."""
    move_trunk(stacks)
    git(stacks.clone, "config", "commit.gpgSign", "true")
    git(stacks.clone, "config", "gpg.program", "/bin/false")
    told = said(stacks, "branch", "restack", "--branch", "fix-x", code=1)
    assert "conflict" in told and "gpg failed to sign" in told
    assert git(stacks.clone, "ls-files", "--unmerged") == ""


def test_skipped_is_success_to_it(stacks: StackRepo) -> None:
    """A branch that is checked out elsewhere is skipped with a warning and the exit code of success."""
    move_trunk(stacks)
    git(stacks.clone, "worktree", "add", "--quiet", str(stacks.root / "elsewhere"), "fix-x")
    before = stacks.heads()["fix-x"]
    assert "checked out in another worktree" in said(stacks, "upstack", "restack", "--branch", "main")
    assert stacks.heads()["fix-x"] == before


def test_failure_may_have_moved_everything(stacks: StackRepo) -> None:
    """With trunk checked out elsewhere all is restacked, and the end is 1 all the same."""
    move_trunk(stacks)
    git(stacks.clone, "worktree", "add", "--quiet", str(stacks.root / "elsewhere"), "main")
    said(stacks, "upstack", "restack", "--branch", "main", code=1)
    assert stacks.contains("main", "feat-c") and stacks.contains("main", "fix-x")


def test_sync_of_its_own_deletes_new_branches(stacks: StackRepo) -> None:
    """Its `repo sync` takes a branch without commits for merged and deletes it, which is why no job uses it."""
    stacks.new_here("task-1")
    said(stacks, "branch", "track", "task-1", "--base", "main")
    git(stacks.clone, "checkout", "--quiet", "main")
    assert "task-1: deleted" in said(stacks, "repo", "sync", "--restack=none")
    assert head_of(stacks.clone, "task-1") is None


def test_branch_onto_is_not_whole(stacks: StackRepo) -> None:
    """`branch onto` moves the upstack before it fails, which is why a reparent uses `upstack onto`."""
    stacks.push_branch("clash", {"src/feat-b.txt": "another version\n"})
    git(stacks.clone, "fetch", "--quiet", "origin")
    git(stacks.clone, "update-ref", "refs/heads/clash", "refs/remotes/origin/clash")
    said(stacks, "branch", "track", "clash", "--base", "main")
    said(stacks, "branch", "onto", "--branch", "feat-b", "clash", code=1)
    git(stacks.clone, "rebase", "--abort")
    said(stacks, "rebase", "abort")
    assert listing(stacks)["feat-c"]["down"]["name"] == "feat-a"


def test_crash(stacks: StackRepo) -> None:
    """A crash of its own ends with 2 and a panic, and is told as a bug of it."""
    done = spice(stacks.clone, "branch", "delete", "main", "--force")
    failure = classify(GitResult(done.returncode, b"", done.stderr), "deleting trunk")
    assert (done.returncode, failure.kind) == (2, JobErrorKind.BUG)
    assert failure.reason == "deleting trunk: git-spice crashed"
    assert "panic:" in (failure.log_tail or "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("branch track nope --base main", "does not exist"),
        ("branch track main --base feat-a", "cannot track trunk"),
        ("branch track feat-a --base feat-c", "would create a cycle"),
        ("branch track loose --base nope", "peel to commit: does not exist"),
        ("branch track fix-x --base loose", "is not tracked"),
        ("branch restack --branch main", "trunk cannot be restacked"),
        ("branch restack --branch nope", "does not exist"),
        ("upstack onto --branch feat-a feat-c", "would create a cycle"),
        ("upstack onto --branch feat-a nope", "does not exist"),
        ("upstack onto --branch main feat-a", "cannot move trunk"),
    ],
)
def test_what_it_refuses(stacks: StackRepo, words: str, told: str) -> None:
    """What cannot be done ends with 1 in words that the table of failures knows, and moves nothing."""
    git(stacks.clone, "update-ref", "refs/heads/loose", "refs/remotes/origin/loose")
    heads = stacks.heads()
    answer = said(stacks, *words.split(), code=1)
    assert told in answer
    assert classify(GitResult(1, b"", answer), "trying").kind is JobErrorKind.USER_ERROR
    assert stacks.heads() == heads
