"""Conflicts: found by what git left unmerged, told with branch and files, and kept to their own stack."""

import pytest

from git_repos import git
from stack_fixture import StackRepo
from taskdock.core.job_record import JobErrorKind, JobKind

pytestmark = pytest.mark.anyio


async def test_conflict_in_one_stack(stacks: StackRepo) -> None:
    """Its upstack is blocked, siblings and other stacks finish, the clone is in order, and a next job runs right after."""
    stacks.conflict_trunk("feat-b")
    before = stacks.heads()
    end = await stacks.run(JobKind.RESTACK_REPO)
    assert end.failure is None
    assert end.result.is_partial
    assert end.result.conflicts == {"feat-b": ("src/feat-b.txt",)}
    assert end.result.blocked == {"feat-c": "stacked on feat-b, which is in conflict"}
    assert set(end.result.changed) == {"main", "feat-a", "feat-b2", "fix-x"}
    assert {name: stacks.heads()[name] for name in ("feat-b", "feat-c")} == {
        name: before[name] for name in ("feat-b", "feat-c")
    }
    assert stacks.contains("main", "feat-b2") and stacks.contains("main", "fix-x")
    assert stacks.disorder() == []
    again = await stacks.run(JobKind.REBASE_BRANCH, job_id="job-2", branch="fix-x")
    assert again.failure is None


async def test_nothing_but_conflicts(stacks: StackRepo) -> None:
    """A job in which every branch that had to move is in conflict has failed; trunk alone is no success."""
    stacks.conflict_trunk("fix-x")
    before = stacks.heads()["fix-x"]
    end = await stacks.run(JobKind.REBASE_BRANCH, branch="fix-x")
    assert end.failure is not None
    assert end.failure.kind is JobErrorKind.CONFLICT
    assert "fix-x: src/fix-x.txt" in end.failure.reason
    assert set(end.result.changed) == {"main"}
    assert stacks.heads()["fix-x"] == before
    assert stacks.disorder() == []


async def test_squashed_parent(stacks: StackRepo) -> None:
    """A branch that was squash-merged is in conflict with itself, and the hint says so."""
    stacks.squash("fix-x")
    end = await stacks.run(JobKind.RESTACK_SUBTREE, branch="fix-x")
    assert end.failure is not None
    assert end.failure.kind is JobErrorKind.CONFLICT
    assert "fix-x looks squash-merged" in end.failure.hint


async def test_merged_parent(stacks: StackRepo) -> None:
    """A branch that was merged stays, and what is stacked on it is restacked without its commits coming twice."""
    stacks.merge_ff("feat-a")
    end = await stacks.run(JobKind.RESTACK_REPO)
    assert end.failure is None
    assert end.result.conflicts == {}
    assert git(stacks.clone, "rev-list", "--count", "main..feat-c") == "4"
    assert "feat-a" in stacks.heads()


async def test_reparent_in_conflict_moves_nothing(stacks: StackRepo) -> None:
    """A branch whose new parent clashes with it stays with all above it, in its stack as well."""
    stacks.push_branch("clash", {"src/feat-b.txt": "another version\n"})
    await stacks.run(JobKind.REGISTER_EXISTING_BRANCH, branch="clash")
    heads = stacks.heads()
    end = await stacks.run(JobKind.REPARENT_BRANCH, job_id="job-2", branch="feat-b", parent="clash")
    assert end.failure is not None
    assert end.failure.kind is JobErrorKind.CONFLICT
    assert end.result.conflicts == {"feat-b": ("src/feat-b.txt",)}
    assert stacks.heads() == heads
    assert end.branches is not None
    assert {branch.name: branch.parent for branch in end.branches}["feat-b"] == "feat-a"
    assert {branch.name: branch.parent for branch in end.branches}["feat-c"] == "feat-b"


async def test_reparent_with_a_conflict_above(stacks: StackRepo) -> None:
    """A branch moves to its new parent although one above it is in conflict with that; the one is told."""
    stacks.push_branch("clash", {"src/feat-c.txt": "another version\n"})
    await stacks.run(JobKind.REGISTER_EXISTING_BRANCH, branch="clash")
    end = await stacks.run(JobKind.REPARENT_BRANCH, job_id="job-2", branch="feat-b", parent="clash")
    assert end.failure is None
    assert set(end.result.changed) == {"feat-b"}
    assert end.result.conflicts == {"feat-c": ("src/feat-c.txt",)}
    assert stacks.contains("clash", "feat-b")
    assert stacks.disorder() == []


async def test_names_that_git_would_quote(stacks: StackRepo) -> None:
    """Files in conflict are told by their real names."""
    name = 'src/a "file"\tö.txt'
    for branch, text in (("odd", "mine\n"), ("main", "theirs\n")):
        stacks.push_branch(branch, {name: text})
        if branch == "odd":
            await stacks.run(JobKind.REGISTER_EXISTING_BRANCH, branch="odd")
    end = await stacks.run(JobKind.REBASE_BRANCH, job_id="job-2", branch="odd")
    assert end.result.conflicts == {"odd": (name,)}
