"""Pushing: only when asked, only from where the remote was seen, and taken back by an undo that pushes."""

from pathlib import Path

import pytest

from git_repos import git, head_of
from stack_fixture import REPO, STACKED, AtStep, Cut, Report, StackRepo, cut_at
from taskdock.core.job_record import JobErrorKind, JobKind
from taskdock.ports.stack import JobOrder

pytestmark = pytest.mark.anyio


def remote_heads(repo: StackRepo) -> dict[str, str | None]:
    """Where the remote has each stacked branch."""
    return {name: head_of(repo.remote, f"refs/heads/{name}") for name in STACKED}


async def test_nothing_is_pushed_unasked(stacks: StackRepo) -> None:
    """A restack without push leaves the remote as it is."""
    stacks.advance("one")
    before = remote_heads(stacks)
    end = await stacks.run(JobKind.RESTACK_REPO)
    assert end.result.pushed == {}
    assert remote_heads(stacks) == before


async def test_push_and_its_undo(stacks: StackRepo) -> None:
    """A pushed restack is on the remote; without push it is not undone, with push the remote is what it was."""
    stacks.advance("one")
    before, heads = remote_heads(stacks), stacks.heads()
    end = await stacks.run(JobKind.RESTACK_REPO, push=True)
    assert end.failure is None
    assert end.result.pushed == {name: stacks.heads()[name] for name in STACKED} == remote_heads(stacks)
    refused = await stacks.run(JobKind.UNDO, job_id="job-2", undo_of="job-1")
    assert refused.failure is not None
    assert refused.failure.kind is JobErrorKind.USER_ERROR
    assert "undo it with push" in refused.failure.hint
    undone = await stacks.run(JobKind.UNDO, job_id="job-3", undo_of="job-1", push=True)
    assert undone.failure is None
    assert remote_heads(stacks) == before == undone.result.pushed
    assert stacks.heads() == heads


async def test_undo_never_overwrites_the_remote(stacks: StackRepo) -> None:
    """A branch that somebody pushed to since refuses the undo, here and there."""
    stacks.advance("one")
    await stacks.run(JobKind.RESTACK_REPO, push=True)
    pushed = stacks.push_branch("feat-b", {"newer.txt": "newer\n"})
    heads = stacks.heads()
    end = await stacks.run(JobKind.UNDO, job_id="job-2", undo_of="job-1", push=True)
    assert end.failure is not None
    assert end.failure.kind is JobErrorKind.DIVERGED
    assert "feat-b" in end.failure.reason
    assert stacks.heads() == heads
    assert head_of(stacks.remote, "feat-b") == pushed


async def test_push_in_a_race(stacks: StackRepo) -> None:
    """A commit that an agent pushed while the job ran is not overwritten: that branch is told, the others are pushed."""
    raced: list[str] = []

    def race() -> None:
        raced.append(stacks.push_branch("feat-b", {"newer.txt": "newer\n"}))

    stacks.advance("one")
    order = JobOrder(job_id="job-1", repo_id=REPO, kind=JobKind.RESTACK_REPO, push=True)
    end = await stacks.jobs().run(order, AtStep([], [], "post_sync", race))
    assert end.failure is None
    assert end.result.blocked == {"feat-b": "the remote has newer commits; sync, then do it again"}
    assert set(end.result.pushed) == set(STACKED) - {"feat-b"}
    assert head_of(stacks.remote, "feat-b") == raced[0]


async def test_push_of_a_branch_born_here(stacks: StackRepo) -> None:
    """A branch that the remote does not know is made there when a push is asked for."""
    head = stacks.new_here("task-1", "feat-a")
    end = await stacks.run(JobKind.REGISTER_EXISTING_BRANCH, branch="task-1", parent="feat-a", push=True)
    assert end.result.pushed == {"task-1": head}
    assert head_of(stacks.remote, "task-1") == head


async def test_refusing_hook(stacks: StackRepo) -> None:
    """A remote that refuses says why; the branches are moved here, and the job says so."""
    stacks.advance("one")
    hook = stacks.remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    end = await stacks.run(JobKind.RESTACK_REPO, push=True)
    assert end.failure is not None
    assert end.failure.kind is JobErrorKind.CONFIG_ERROR
    assert (
        "the remote refused the push: feat-a [remote rejected] (pre-receive hook declined)"
        in end.failure.reason
    )
    assert "branch protection" in end.failure.hint
    assert set(end.result.changed) == {"main", *STACKED}
    assert end.result.pushed == {}


async def test_push_after_a_crash(stacks: StackRepo) -> None:
    """A job that died before its push pushes what its first attempt had moved."""
    stacks.advance("one")
    order = JobOrder(job_id="job-1", repo_id=REPO, kind=JobKind.RESTACK_REPO, push=True)
    with pytest.raises(Cut):
        await stacks.jobs().run(order, cut_at("post_sync"))
    end = await stacks.jobs().run(order, Report([], []))
    assert set(end.result.pushed) == set(STACKED)
    assert set(end.result.changed) == {"main", *STACKED}


async def test_no_local_hook_runs(stacks: StackRepo, tmp_path: Path) -> None:
    """A hook in the clone neither runs nor refuses."""
    for name in ("pre-push", "pre-rebase", "post-checkout", "reference-transaction", "post-rewrite"):
        hook = stacks.clone / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\nexit 1\n")
        hook.chmod(0o755)
    stacks.advance("one")
    end = await stacks.run(JobKind.RESTACK_REPO, push=True)
    assert end.failure is None
    assert not (tmp_path / "ran").exists()
    assert git(stacks.clone, "rev-parse", "feat-c") == head_of(stacks.remote, "feat-c")
