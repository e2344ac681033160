"""Sync: what a fetch brings in, with plain git alone, and each way in which trunk or a branch may have diverged."""

import pytest

from git_repos import git, head_of
from stack_fixture import REPO, StackRepo
from taskdock.adapters.clone.git import GitClones
from taskdock.core.job_record import JobErrorKind, JobKind
from taskdock.ports.stack import JobEnd

pytestmark = pytest.mark.anyio

WITHOUT_TOOL = None


async def sync(repo: StackRepo, job_id: str = "job-1") -> JobEnd:
    """Sync without git-spice: whatever it does is plain git's."""
    return await repo.run(JobKind.SYNC_REPO, job_id=job_id, jobs=repo.jobs(WITHOUT_TOOL))


async def test_new_task_branch_survives(stacks: StackRepo) -> None:
    """A branch of just now, without a commit of its own, is still there after a sync, tracked and stacked."""
    head = stacks.new_here("task-1")
    await stacks.run(JobKind.REGISTER_EXISTING_BRANCH, branch="task-1")
    stacks.advance("one")
    end = await stacks.run(JobKind.SYNC_REPO, job_id="job-2")
    assert end.failure is None
    assert stacks.heads()["task-1"] == head
    assert end.branches is not None
    row = next(branch for branch in end.branches if branch.name == "task-1")
    assert (row.is_tracked, row.parent) == (True, "main")


async def test_sync_without_git_spice(plain: StackRepo) -> None:
    """Plain git fetches, moves trunk forward and shows what is there."""
    head = plain.advance("one")
    plain.push_branch("later", {"later.txt": "later\n"})
    end = await sync(plain)
    assert end.failure is None
    assert set(end.result.changed) == {"main"}
    assert end.trunk_head == head == plain.heads()["main"]
    assert end.branches is not None
    assert "later" in {branch.name for branch in end.branches}
    assert plain.disorder() == []


async def test_branch_that_others_pushed_to(stacks: StackRepo) -> None:
    """A tracked branch follows what was pushed on top of it."""
    head = stacks.push_branch("feat-b", {"more.txt": "more\n"})
    end = await stacks.run(JobKind.SYNC_REPO)
    assert set(end.result.changed) == {"feat-b"}
    assert stacks.heads()["feat-b"] == head


async def test_branch_moved_on_both_sides(stacks: StackRepo) -> None:
    """It is left alone with all above it, so that no restack or push drops what somebody pushed; the rest goes on."""
    here = stacks.move_here("feat-b", {"here.txt": "here\n"})
    stacks.push_branch("feat-b", {"there.txt": "there\n"})
    stacks.advance("one")
    end = await stacks.run(JobKind.RESTACK_REPO, push=True)
    assert end.failure is None
    assert end.result.blocked == {
        "feat-b": "was moved both here and on the remote",
        "feat-c": "stacked on feat-b, which has diverged",
    }
    assert (
        set(end.result.changed) == set(end.result.pushed) | {"main"} == {"main", "feat-a", "feat-b2", "fix-x"}
    )
    assert stacks.heads()["feat-b"] == here
    alone = await stacks.run(JobKind.REBASE_BRANCH, job_id="job-2", branch="feat-b")
    assert alone.failure is not None
    assert alone.failure.kind is JobErrorKind.DIVERGED
    again = await stacks.run(JobKind.REGISTER_EXISTING_BRANCH, job_id="job-3", branch="feat-b")
    assert again.failure is not None
    assert again.failure.kind is JobErrorKind.DIVERGED


async def test_restacked_branch_has_not_diverged(stacks: StackRepo) -> None:
    """What was restacked here and not pushed is taken for that by the next jobs, and tasks start from it."""
    stacks.advance("one")
    await stacks.run(JobKind.RESTACK_REPO)
    stacks.advance("two")
    end = await stacks.run(JobKind.RESTACK_REPO, job_id="job-2")
    assert (end.failure, end.result.blocked) == (None, {})
    assert stacks.contains("main", "feat-c")
    heads = await GitClones(stacks.root / "clones").branch_heads(REPO)
    assert stacks.heads().items() <= heads.items()


async def test_register_without_git_spice(plain: StackRepo) -> None:
    """A parent is written down until there is a git-spice, and shown meanwhile; then git-spice is told."""
    git(plain.clone, "update-ref", "-d", "refs/spice/data")
    jobs = plain.jobs(WITHOUT_TOOL)
    kind = JobKind.REGISTER_EXISTING_BRANCH
    first = await plain.run(kind, job_id="job-0", jobs=jobs, branch="feat-a")
    end = await plain.run(kind, job_id="job-1", jobs=jobs, branch="feat-b", parent="feat-a")
    assert (first.failure, end.failure) == (None, None)
    stacked = [("main", None, 0), ("feat-a", "main", 1), ("feat-b", "feat-a", 2)]
    assert end.branches is not None
    assert [(branch.name, branch.parent, branch.depth) for branch in end.branches][:3] == stacked
    assert not any(branch.needs_restack for branch in end.branches)
    plain.amend_lower("feat-a")
    end = await sync(plain, "job-2")
    assert end.branches is not None
    assert [branch.name for branch in end.branches if branch.needs_restack] == ["feat-b"]


async def test_written_parents_are_told_to_git_spice(stacks: StackRepo) -> None:
    """A git-spice that was installed later knows every branch that was registered without it."""
    git(stacks.clone, "update-ref", "-d", "refs/spice/data")
    for number, (name, parent) in enumerate({"feat-a": "main", "feat-b": "feat-a"}.items()):
        await stacks.run(
            JobKind.REGISTER_EXISTING_BRANCH,
            job_id=f"job-{number}",
            jobs=stacks.jobs(WITHOUT_TOOL),
            branch=name,
            parent=parent,
        )
    stacks.advance("one")
    end = await stacks.run(JobKind.RESTACK_REPO, job_id="job-9")
    assert end.failure is None
    assert set(end.result.changed) == {"main", "feat-a", "feat-b"}
    assert git(stacks.clone, "config", "--local", "--list").find("taskdock-stack") < 0


@pytest.mark.parametrize(
    "kind", [JobKind.RESTACK_REPO, JobKind.RESTACK_SUBTREE, JobKind.REBASE_BRANCH, JobKind.REPARENT_BRANCH]
)
async def test_what_needs_git_spice(plain: StackRepo, kind: JobKind) -> None:
    """Without git-spice the other kinds say what to install, and move nothing."""
    heads = plain.heads()
    end = await plain.run(kind, jobs=plain.jobs(WITHOUT_TOOL), branch="feat-a", parent="main")
    assert end.failure is not None
    assert end.failure.kind is JobErrorKind.UNSUPPORTED
    assert "install git-spice 0.26 or newer" in end.failure.hint
    assert plain.heads() == heads


async def test_forced_trunk(plain: StackRepo) -> None:
    """A trunk that was force-pushed is left as it was; the end says what happened and how to take it over."""
    before = plain.heads()["main"]
    git(plain.remote, "update-ref", "refs/heads/main", "main~1")
    plain.advance("one")
    hint = ""
    for job_id in ("job-1", "job-2"):
        end = await sync(plain, job_id)
        assert end.failure is not None
        hint = end.failure.hint
        assert end.failure.kind is JobErrorKind.DIVERGED
        assert f"main was force-pushed: the remote had it at {before[:10]}" in end.failure.reason
        assert plain.heads()["main"] == before
    order = hint.rpartition(": ")[2].split()
    assert order[:3] == ["git", "-C", str(plain.clone)]
    git(plain.clone, *order[3:])
    assert (await sync(plain, "job-3")).failure is None


async def test_diverged_trunk(plain: StackRepo) -> None:
    """A trunk with commits of its own is neither rebased nor dropped."""
    own = plain.move_here("main", {"own.txt": "own\n"})
    ahead = await sync(plain)
    assert ahead.failure is not None
    assert "main is ahead of the remote" in ahead.failure.reason
    plain.advance("one")
    end = await sync(plain, "job-2")
    assert end.failure is not None
    assert end.failure.kind is JobErrorKind.DIVERGED
    assert "main has diverged" in end.failure.reason
    assert plain.heads()["main"] == own


async def test_missing_trunk(plain: StackRepo) -> None:
    """A remote without its trunk is a configuration to mend, not a reason to drop anything."""
    git(plain.remote, "symbolic-ref", "HEAD", "refs/heads/loose")
    git(plain.remote, "update-ref", "-d", "refs/heads/main")
    heads = plain.heads()
    end = await sync(plain)
    assert end.failure is not None
    assert end.failure.kind is JobErrorKind.CONFIG_ERROR
    assert "the remote has no branch main any more" in end.failure.reason
    assert plain.heads() == heads
    assert end.branches is not None


async def test_shallow_clone(plain: StackRepo) -> None:
    """A shallow clone is refused before anything moves, with the command that mends it."""
    (plain.clone / ".git" / "shallow").write_text(f"{head_of(plain.clone, 'main')}\n")
    end = await sync(plain)
    assert end.failure is not None
    assert end.failure.kind is JobErrorKind.CONFIG_ERROR
    assert "fetch --unshallow" in end.failure.hint
    assert end.result.changed == {}


async def test_trunk_that_the_clone_lost(plain: StackRepo) -> None:
    """A clone without its trunk's branch gets it from the remote's."""
    git(plain.clone, "update-ref", "-d", "refs/heads/main")
    head = plain.advance("one")
    assert (await sync(plain)).failure is None
    assert plain.heads()["main"] == head


async def test_refspec_that_is_missing(plain: StackRepo) -> None:
    """A clone that says not what to fetch is fetched whole all the same."""
    git(plain.clone, "config", "--unset-all", "remote.origin.fetch")
    head = plain.advance("one")
    assert (await sync(plain)).trunk_head == head
