"""Repo jobs on the real git-spice: what each kind moves, tells and leaves behind."""

import pytest

from git_repos import git, head_of
from stack_fixture import REPO, STACKED, Report, StackRepo
from taskdock.core.job_record import JobErrorKind, JobKind
from taskdock.ports.stack import JobOrder

pytestmark = pytest.mark.anyio

ABOVE_A = {"feat-a", "feat-b", "feat-b2", "feat-c"}


def stands(repo: StackRepo, parents: dict[str, str]) -> bool:
    """Tell whether each branch has its parent's head in it."""
    return all(repo.contains(parent, name) for name, parent in parents.items())


async def test_restack_of_a_repo(stacks: StackRepo) -> None:
    """Trunk moves, and every tracked branch stands on it afterwards; each is told, each step was told before it began."""
    head = stacks.advance("one")
    report = Report([], [])
    order = JobOrder(job_id="job-1", repo_id=REPO, kind=JobKind.RESTACK_REPO)
    end = await stacks.jobs().run(order, report)
    assert end.failure is None
    assert end.trunk_head == head
    assert set(end.result.changed) == {"main", *STACKED}
    assert {name: move.new for name, move in end.result.changed.items()}.items() <= stacks.heads().items()
    assert stands(stacks, STACKED)
    steps = ["lock", "preflight", "snapshot", "pre_sync", "act 0/2", "act 1/2", "post_sync"]
    assert report.steps == steps
    assert sorted(report.sentences) == sorted(f"{name}: restacked on {on}" for name, on in STACKED.items())
    assert stacks.disorder() == []
    assert "src/feat-c.txt" in stacks.files("feat-c")
    again = await stacks.run(JobKind.RESTACK_REPO, job_id="job-2")
    assert (again.failure, again.result.changed) == (None, {})


async def test_branches_as_they_are_shown(stacks: StackRepo) -> None:
    """Branches come in the order of the stacks, with depth, distance, size, and what is stale or would clash with trunk."""
    stacks.conflict_trunk("feat-b")
    end = await stacks.run(JobKind.SYNC_REPO)
    assert end.branches is not None
    seen = {branch.name: branch for branch in end.branches}
    assert list(seen) == ["main", "feat-a", "feat-b", "feat-c", "feat-b2", "fix-x", "loose"]
    assert [branch.depth for branch in end.branches] == [0, 1, 2, 3, 2, 1, 0]
    assert {name for name, branch in seen.items() if branch.needs_restack} == {"feat-a", "fix-x"}
    assert {name for name, branch in seen.items() if branch.conflicts_with_trunk} == {"feat-b", "feat-c"}
    assert {name: branch.parent for name, branch in seen.items() if branch.is_tracked} == STACKED
    top = seen["feat-c"]
    assert (top.ahead, top.behind, top.files_changed, top.insertions, top.deletions) == (6, 1, 1, 2, 0)
    assert top.head == stacks.heads()["feat-c"]
    assert seen["loose"].head == head_of(stacks.remote, "loose")


async def test_restack_of_a_subtree(stacks: StackRepo) -> None:
    """A restacked subtree is the branch with all above it, and nothing beside it."""
    stacks.advance("one")
    end = await stacks.run(JobKind.RESTACK_SUBTREE, branch="feat-a")
    assert end.failure is None
    assert set(end.result.changed) == {"main", *ABOVE_A}
    assert not stacks.contains("main", "fix-x")


async def test_rebase_of_a_branch(stacks: StackRepo) -> None:
    """A rebased branch moves alone; what is stacked on it is stale then, and says so."""
    stacks.advance("one")
    end = await stacks.run(JobKind.REBASE_BRANCH, branch="feat-a")
    assert set(end.result.changed) == {"main", "feat-a"}
    assert end.branches is not None
    assert {branch.name for branch in end.branches if branch.needs_restack} == {"feat-b", "feat-b2", "fix-x"}
    assert stacks.disorder() == []


async def test_reparent(stacks: StackRepo) -> None:
    """A reparented branch takes all above it along, and doing it twice changes nothing."""
    end = await stacks.run(JobKind.REPARENT_BRANCH, branch="feat-b", parent="fix-x")
    assert end.failure is None
    assert set(end.result.changed) == {"feat-b", "feat-c"}
    assert stands(stacks, {"feat-b": "fix-x", "feat-c": "feat-b"})
    assert "src/feat-a.txt" not in stacks.files("feat-c")
    assert end.branches is not None
    assert {branch.name: branch.parent for branch in end.branches}["feat-b"] == "fix-x"
    again = await stacks.run(JobKind.REPARENT_BRANCH, job_id="job-2", branch="feat-b", parent="fix-x")
    assert (again.failure, again.result.changed) == (None, {})


async def test_reparent_onto_trunk(stacks: StackRepo) -> None:
    """Trunk may be a parent."""
    end = await stacks.run(JobKind.REPARENT_BRANCH, branch="feat-c", parent="main")
    assert set(end.result.changed) == {"feat-c"}
    assert stacks.files("feat-c") == [
        *stacks.files("main")[:1],
        *sorted([*stacks.files("main")[1:], "src/feat-c.txt"]),
    ]


async def test_register_of_a_remote_branch(stacks: StackRepo) -> None:
    """A branch that only the remote has becomes a branch of the clone, stacked on the one that was named."""
    head = stacks.push_branch("later", {"later.txt": "later\n"})
    end = await stacks.run(JobKind.REGISTER_EXISTING_BRANCH, branch="later")
    assert end.failure is None
    assert stacks.heads()["later"] == head
    assert end.branches is not None
    row = next(branch for branch in end.branches if branch.name == "later")
    assert (row.parent, row.is_tracked, row.depth) == ("main", True, 1)
    again = await stacks.run(JobKind.REGISTER_EXISTING_BRANCH, job_id="job-2", branch="loose", parent="later")
    assert again.branches is not None
    assert {branch.name: branch.parent for branch in again.branches}["loose"] == "later"


async def test_register_of_a_branch_born_here(stacks: StackRepo) -> None:
    """A branch that a task made here is registered without the remote knowing it, also while the remote is away."""
    stacks.new_here("task-1")
    stacks.remote.rename(stacks.root / "away")
    end = await stacks.run(JobKind.REGISTER_EXISTING_BRANCH, branch="task-1")
    assert end.failure is None
    assert end.result.changed == {}
    assert end.branches is not None
    assert next(branch for branch in end.branches if branch.name == "task-1").parent == "main"


@pytest.mark.parametrize("has_tool", [True, False], ids=["git-spice", "plain git"])
async def test_register_of_a_branch_whose_parent_is_in_no_stack(stacks: StackRepo, has_tool: bool) -> None:
    """A task's branch that began on one which no stack has is left out with the reason; on a stacked one it is taken in."""
    stacks.new_here("task-1")
    jobs = stacks.jobs() if has_tool else stacks.jobs(None)
    kind, heads = JobKind.REGISTER_EXISTING_BRANCH, stacks.heads()
    end = await stacks.run(kind, jobs=jobs, branch="task-1", parent="loose", if_stacked=True)
    assert (end.failure, end.result.changed) == (None, {})
    assert end.result.skipped == {"task-1": "loose is in no stack; register that one first, then task-1"}
    assert stacks.heads() == heads
    assert end.branches is not None
    assert not next(branch for branch in end.branches if branch.name == "task-1").is_tracked
    await stacks.run(kind, job_id="job-2", jobs=jobs, branch="loose")
    end = await stacks.run(kind, job_id="job-3", jobs=jobs, branch="task-1", parent="loose", if_stacked=True)
    assert end.branches is not None
    assert (end.failure, end.result.skipped) == (None, {})
    assert {branch.name: branch.parent for branch in end.branches}["task-1"] == "loose"


async def test_register_again_keeps_the_parent(stacks: StackRepo) -> None:
    """A tracked branch that is registered without a parent stays where it is stacked."""
    end = await stacks.run(JobKind.REGISTER_EXISTING_BRANCH, branch="feat-b")
    assert end.branches is not None
    assert {branch.name: branch.parent for branch in end.branches}["feat-b"] == "feat-a"


@pytest.mark.parametrize(
    ("kind", "branch", "parent", "said"),
    [
        (JobKind.REBASE_BRANCH, "nowhere", None, "nowhere is in no stack"),
        (JobKind.REBASE_BRANCH, "loose", None, "loose is in no stack"),
        (JobKind.RESTACK_SUBTREE, "main", None, "main is trunk"),
        (JobKind.RESTACK_SUBTREE, None, None, "needs a branch"),
        (JobKind.REPARENT_BRANCH, "feat-b", None, "needs a parent"),
        (JobKind.REPARENT_BRANCH, "feat-b", "loose", "loose is in no stack"),
        (JobKind.REPARENT_BRANCH, "feat-a", "feat-c", "makes a cycle"),
        (JobKind.REGISTER_EXISTING_BRANCH, "nowhere", None, "neither the remote nor the clone"),
        (JobKind.REGISTER_EXISTING_BRANCH, "main", None, "main is trunk"),
        (JobKind.REGISTER_EXISTING_BRANCH, "-x", None, "not a branch name"),
        (JobKind.REGISTER_EXISTING_BRANCH, "loose", "nowhere", "nowhere is in no stack"),
        (JobKind.REGISTER_EXISTING_BRANCH, "feat-a", "feat-c", "makes a cycle"),
        (JobKind.UNDO, None, None, "not known any more"),
    ],
)
async def test_what_cannot_be_done(
    stacks: StackRepo, kind: JobKind, branch: str | None, parent: str | None, said: str
) -> None:
    """What a user got wrong is a user error that says what; nothing moves, and the clone is in order."""
    heads = stacks.heads()
    end = await stacks.run(kind, branch=branch, parent=parent, undo_of="job-0")
    assert end.failure is not None
    assert end.failure.kind is JobErrorKind.USER_ERROR
    assert said in end.failure.reason
    assert (stacks.heads(), stacks.disorder()) == (heads, [])
    assert end.branches is not None


async def test_many_stacks_in_one_call(stacks: StackRepo) -> None:
    """From four stale stacks on, one call restacks them all; a conflict in one still leaves the others restacked."""
    for number in range(4):
        name = f"one-{number}"
        stacks.push_branch(name, {f"src/{name}.txt": f"{name}\n"})
        await stacks.run(JobKind.REGISTER_EXISTING_BRANCH, job_id=f"job-{number}", branch=name)
    stacks.conflict_trunk("one-1")
    end = await stacks.run(JobKind.RESTACK_REPO, job_id="job-9")
    assert end.failure is None
    assert end.result.conflicts == {"one-1": ("src/one-1.txt",)}
    expected = {**STACKED, "one-0": "main", "one-2": "main", "one-3": "main"}
    assert stands(stacks, expected)
    assert set(end.result.changed) == {"main", *expected}


async def test_branch_checked_out_elsewhere(stacks: StackRepo) -> None:
    """A branch that a person has checked out is skipped and told, its files are not touched, the rest is restacked."""
    checkout = stacks.root / "elsewhere"
    git(stacks.clone, "worktree", "add", "--quiet", str(checkout), "feat-a")
    (checkout / "src/feat-a.txt").write_text("an edit that nobody committed\n")
    stacks.advance("one")
    end = await stacks.run(JobKind.RESTACK_REPO)
    assert end.failure is None
    assert end.result.skipped == {"feat-a": f"checked out at {checkout}"}
    assert "fix-x" in end.result.changed
    assert (checkout / "src/feat-a.txt").read_text() == "an edit that nobody committed\n"
    assert head_of(checkout, "HEAD") == stacks.heads()["feat-a"]


async def test_trunk_checked_out_elsewhere(stacks: StackRepo) -> None:
    """Trunk in a person's worktree stays where it is, and that is told."""
    checkout = stacks.root / "elsewhere"
    git(stacks.clone, "worktree", "add", "--quiet", str(checkout), "main")
    head = stacks.heads()["main"]
    stacks.advance("one")
    end = await stacks.run(JobKind.SYNC_REPO)
    assert "main" in end.result.skipped
    assert stacks.heads()["main"] == head


async def test_branch_rebased_by_others(stacks: StackRepo) -> None:
    """A branch that was rewritten here by collected work is restacked with what is above it, and no commit comes twice."""
    stacks.amend_lower("feat-a")
    end = await stacks.run(JobKind.RESTACK_REPO)
    assert end.failure is None
    assert set(end.result.changed) == {"feat-b", "feat-b2", "feat-c"}
    assert git(stacks.clone, "show", "feat-c:src/feat-a.txt") == "feat-a amended"
    assert git(stacks.clone, "rev-list", "--count", "feat-b..feat-c") == "2"
